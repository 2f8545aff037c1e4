import { expect, test } from 'vitest';
import type { Removed } from '../protocol';
import { doneText, linesOf, signedOutText } from './removal';

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

const MANY: Removed = {
  users: 1,
  signIns: 2,
  tokens: 3,
  claims: 4,
  invitations: 5,
  shares: 6,
  gateways: 1,
  cameras: 7,
  grants: 8,
  sessions: 9,
};

const NO_NAMES = { tokens: [], invitations: [], shares: [] };

test('everything that goes with something is listed, and the thing itself is not', () => {
  const names = {
    tokens: ['T1', 'T2'],
    invitations: ['dan'],
    shares: ['S1', 'S2', 'S3', 'S4', 'S5', 'S6', 'S7'],
  };
  const shares = ['S1', 'S2', 'S3', 'S4', 'S5', 'S6'].map((name) => `Share link “${name}”`);
  const rest = [
    '4 claim codes for gateways',
    'Invitation of “dan”',
    '4 more invitations',
    ...shares,
    '2 more share links',
    '8 rights of people, tokens or links to a camera',
    '9 pictures that somebody watches stop',
  ];
  const browsers = '2 browsers are signed out';
  const tokens = ['Access token “T1”', 'Access token “T2”'];
  const foreseen = { removed: { ...MANY, shares: 8 }, names };
  const more = '1 more access token';
  expect(linesOf(foreseen, 'user')).toEqual([browsers, ...tokens, more, ...rest]);
  expect(linesOf(foreseen, 'token')).toEqual([browsers, ...tokens, ...rest]);
  expect(linesOf(foreseen, 'gateway')).toEqual([browsers, '7 cameras', ...tokens, more, ...rest]);
  expect(linesOf(foreseen, 'camera')).toEqual([browsers, ...tokens, more, ...rest]);
});

test.each([
  [{ users: 1 }, 'user', []],
  [{ tokens: 1 }, 'token', []],
  [{ gateways: 1 }, 'gateway', []],
  [{ cameras: 1 }, 'camera', []],
  [{ cameras: 1, grants: 1 }, 'camera', ['1 right of a person, token or link to a camera']],
  [{ cameras: 1, sessions: 1 }, 'camera', ['1 picture that somebody watches stops']],
  [{ gateways: 1, cameras: 1 }, 'gateway', ['1 camera']],
] as const)('%o of a %s', (removed, what, lines) => {
  expect(linesOf({ removed: { ...NOTHING, ...removed }, names: NO_NAMES }, what)).toEqual(lines);
});

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
