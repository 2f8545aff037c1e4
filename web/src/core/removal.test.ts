import { describe, expect, test } from 'vitest';
import type { ClaimInfo, Removed, TokenInfo, UserInfo } from '../protocol';
import { belongings, doneText, linesOfToken, linesOfUser, signedOutText } from './removal';

const token = (id: number, giver?: string): TokenInfo => ({
  id,
  name: `T${id}`,
  role: 'viewer',
  limited: false,
  cameras: [],
  control: false,
  listen: true,
  createdS: 0,
  ...(giver !== undefined && { giver }),
});
const claim = (id: string, giver?: string): ClaimInfo => ({
  id,
  expiresS: 0,
  ...(giver !== undefined && { giver }),
});
const user: UserInfo = {
  id: 2,
  name: 'grace',
  role: 'admin',
  createdS: 0,
  signIns: 2,
  secondFactor: false,
  limited: false,
  cameras: [],
};

/** Grace has given T1, that has given T3, and that T4; Ada has given T5. */
const GIVEN = {
  users: [user, { ...user, id: 1, name: 'ada' }],
  tokens: [token(5, 'ada'), token(4, 'T3'), token(3, 'T1'), token(1, 'grace')],
  claims: [claim('a', 'T4'), claim('b', 'ada'), claim('c'), claim('d', 'grace')],
};

describe('what was given with something goes with it, as far as that has given on', () => {
  test.each([
    ['grace', [1, 3, 4], 2],
    ['ada', [5], 1],
    ['T1', [3, 4], 1],
    ['T4', [], 1],
    ['T5', [], 0],
    ['bob', [], 0],
  ])('%s', (name, tokens, claims) => {
    const found = belongings(name, GIVEN);
    expect(found.tokens.map(({ id }) => id)).toEqual(tokens);
    expect(found).toMatchObject({ claims, isUnclear: false });
  });

  test('two tokens that have given each other end the search', () => {
    const tokens = [token(1, 'T2'), token(2, 'T1')];
    expect(linesOfToken(tokens[0] ?? token(1), { ...GIVEN, tokens })).toEqual([
      'Access token “T2”',
    ]);
  });

  test.each([
    ['grace', { ...token(7, 'ada'), name: 'grace' }],
    ['grace', { ...token(7, 'ada'), name: 'T3' }],
    ['operator', token(7, 'operator')],
  ])('%s is not the only one with a name that has given something', (name, other) => {
    const users = [...GIVEN.users, { ...user, id: 3, name: 'operator' }];
    const given = { ...GIVEN, users, tokens: [...GIVEN.tokens, other] };
    expect(belongings(name, given).isUnclear).toBe(true);
    expect(linesOfUser({ ...user, name }, given).at(-1)).toMatch(/^Somebody else/);
  });
});

test('a person goes with its browsers and what it has given, each in one line', () => {
  expect(linesOfUser(user, GIVEN)).toEqual([
    '2 browsers are signed out',
    'Access token “T1”',
    'Access token “T3”',
    'Access token “T4”',
    '2 claim codes for gateways',
  ]);
  expect(linesOfUser({ ...user, name: 'bob', signIns: 0 }, GIVEN)).toEqual([]);
});

test('so many tokens that nobody would read their names are counted', () => {
  const tokens = Array.from({ length: 9 }, (_, index) => token(index + 10, 'T1'));
  const lines = linesOfToken(token(1), { users: [], tokens, claims: [] });
  expect(lines).toHaveLength(7);
  expect(lines.at(-1)).toBe('3 more access tokens');
});

const NOTHING: Removed = {
  users: 0,
  signIns: 0,
  tokens: 0,
  claims: 0,
  invitations: 0,
  gateways: 0,
  cameras: 0,
  grants: 0,
  sessions: 0,
};

test.each([
  [{ tokens: 1 }, 'X was removed.'],
  [{ users: 1 }, 'X was removed.'],
  [{ tokens: 2, sessions: 1 }, 'X was removed. Ended with it: 1 more access token, 1 picture.'],
  [
    { users: 1, tokens: 2, claims: 1, signIns: 3, sessions: 4 },
    'X was removed. Ended with it: 2 more access tokens, 1 claim code, 3 sign-ins, 4 pictures.',
  ],
])('what a removal has ended is said: %o', (removed, text) => {
  expect(doneText('X', { ...NOTHING, ...removed })).toBe(text);
});

test.each([
  [1, 0, '1 browser was signed out.'],
  [2, 1, '2 browsers were signed out. 1 picture there was stopped.'],
  [2, 3, '2 browsers were signed out. 3 pictures there were stopped.'],
])('%i browsers with %i pictures are signed out', (signIns, sessions, text) => {
  expect(signedOutText({ ...NOTHING, signIns, sessions })).toBe(text);
});
