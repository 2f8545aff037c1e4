import { expect, test } from 'vitest';
import type { ClaimInfo, InvitationInfo, Removed, ShareInfo } from '../protocol';
import type { TokenInfo, UserInfo } from '../protocol';
import { belongings, doneText, linesOfToken, linesOfUser, signedOutText } from './removal';

const token = (id: number, giverSubject?: string): TokenInfo => ({
  id,
  name: `T${id}`,
  role: 'viewer',
  limited: false,
  cameras: [],
  control: false,
  listen: true,
  createdS: 0,
  ...(giverSubject !== undefined && { giverSubject }),
});
const claim = (id: string, giverSubject?: string): ClaimInfo => ({
  id,
  expiresS: 0,
  ...(giverSubject !== undefined && { giverSubject }),
});
const invitation = (id: number, giverSubject: string): InvitationInfo => ({
  id,
  name: 'n',
  role: 'viewer',
  limited: false,
  cameras: [],
  reset: false,
  createdS: 0,
  expiresS: 0,
  giverSubject,
});
const grace: UserInfo = {
  id: 2,
  name: 'grace',
  role: 'admin',
  createdS: 0,
  signIns: 2,
  secondFactor: false,
  limited: false,
  cameras: [],
};

function share(id: number, giverSubject?: string): ShareInfo {
  const whole = { id, name: 'S', cameras: [], password: false, kiosk: false };
  return { ...whole, createdS: 1, expiresS: 2, ...(giverSubject && { giverSubject }) };
}

/** Grace has given T1, that has given T3, and that T4; Ada has given T5. */
const GIVEN = {
  tokens: [token(5, 'user:1'), token(4, 'token:3'), token(3, 'token:1'), token(1, 'user:2')],
  claims: [claim('a', 'token:4'), claim('b', 'user:1'), claim('c'), claim('d', 'user:2')],
  invitations: [invitation(1, 'token:3'), invitation(2, 'user:1')],
  shares: [share(1, 'token:3'), share(2, 'user:1'), share(3)],
};

test.each([
  ['user:2', [1, 3, 4], 2, 1, 1],
  ['user:1', [5], 1, 1, 1],
  ['token:1', [3, 4], 1, 1, 1],
  ['token:4', [], 1, 0, 0],
  ['token:5', [], 0, 0, 0],
  ['user:3', [], 0, 0, 0],
])('what %s has given goes with it, and what that has given', (subject, ids, ...others) => {
  const { tokens, claims, invitations, shares } = belongings(subject, GIVEN);
  expect(tokens.map(({ id }) => id)).toEqual(ids);
  expect([claims, invitations, shares]).toEqual(others);
});

test('names do not matter: another person with the same name keeps what it has', () => {
  const other = { ...token(7, 'user:1'), name: 'T3' };
  const lines = linesOfToken(token(3), { ...GIVEN, tokens: [...GIVEN.tokens, other] });
  const expected = ['Access token “T4”', '1 claim code for a gateway', '1 invitation'];
  expect(lines).toEqual([...expected, '1 share link']);
});

test('a person goes with its browsers and what it has given, each in one line', () => {
  expect(linesOfUser(grace, GIVEN)).toEqual([
    '2 browsers are signed out',
    'Access token “T1”',
    'Access token “T3”',
    'Access token “T4”',
    '2 claim codes for gateways',
    '1 invitation',
    '1 share link',
  ]);
  expect(linesOfUser({ ...grace, id: 3, signIns: 0 }, GIVEN)).toEqual([]);
});

test('so many tokens that nobody would read their names are counted', () => {
  const tokens = Array.from({ length: 9 }, (_, index) => token(index + 10, 'token:1'));
  const lines = linesOfToken(token(1), { tokens, claims: [], invitations: [], shares: [] });
  expect(lines).toHaveLength(7);
  expect(lines.at(-1)).toBe('3 more access tokens');
});

const NOTHING: Removed = {
  users: 0,
  signIns: 0,
  tokens: 0,
  claims: 0,
  invitations: 0,
  shares: 0,
  gateways: 0,
  cameras: 0,
  grants: 0,
  sessions: 0,
};

test.each([
  [{ tokens: 1 }, 'X was removed.'],
  [{ tokens: 1, shares: 2 }, 'X was removed. Ended with it: 2 share links.'],
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
