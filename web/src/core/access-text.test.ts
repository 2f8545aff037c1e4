import { expect, test } from 'vitest';
import type { Camera, InvitationInfo, SignInInfo, TokenInfo } from '../protocol';
import { codeFacts, inOrder, invitationFacts, shareFacts, tokenFacts } from './access-text';
import { userFacts } from './access-text';

const NOW_S = 1_800_000_000;
const DAY_S = 86_400;
const token: TokenInfo = {
  id: 1,
  name: 'n',
  role: 'viewer',
  limited: false,
  cameras: [],
  control: false,
  listen: true,
  createdS: NOW_S,
};
const camera = (id: string, name: string) =>
  ({ id, name, gateway: 'gw-a', address: id }) as unknown as Camera;
const CAMERAS = ['a', 'b', 'c', 'd'].map((id) => camera(id, id.toUpperCase()));
const all = CAMERAS.map(({ id }) => `${id}@gw-a`);

test.each([
  [{}, ['all cameras', 'never used', 'without an end']],
  [{ seenS: NOW_S - 30 }, ['all cameras', 'in use now', 'without an end']],
  [{ seenS: NOW_S - 300 }, ['all cameras', 'last used 5 min ago', 'without an end']],
  [{ control: true, listen: false }, ['all cameras', 'moves cameras', 'without sound']],
  [{ role: 'admin', control: true, listen: false }, ['all cameras', 'never used']],
  [{ role: 'admin', scopes: ['people', 'read'] }, ['all cameras', 'only: people, read']],
  [{ maxKbitPerS: 1000 }, ['all cameras', 'at most 1.0 Mbit/s', 'never used']],
  [{ limited: true }, ['no camera any more']],
  [{ limited: true, cameras: ['a@gw-a', 'z@gw-b'] }, ['A, z@gw-b']],
  [{ limited: true, cameras: all.slice(0, 3) }, ['A, B, C']],
  [{ limited: true, cameras: all }, ['A, B, C and 1 more']],
] as const)('a token with %o has these facts: %o', (changes, expected) => {
  const facts = tokenFacts({ ...token, ...changes } as TokenInfo, CAMERAS, NOW_S);
  expect(facts.slice(0, expected.length)).toEqual(expected);
});

test.each([
  [NOW_S + 60, /^ends /],
  [NOW_S - 60, /^ended /],
])('a token that ends at %i says so', (expiresS, expected) => {
  expect(tokenFacts({ ...token, expiresS }, CAMERAS, NOW_S).at(-1)).toMatch(expected);
});

test.each([
  [0, undefined, ['not signed in', 'not seen yet']],
  [1, NOW_S - 60, ['1 browser signed in', 'here now']],
  [3, NOW_S - 3 * DAY_S, ['3 browsers signed in', 'here 3 days ago']],
])('a person with %i browsers, seen at %s', (signIns, seenS, expected) => {
  const rights = { secondFactor: false, limited: false, cameras: [] };
  const user = { id: 1, name: 'n', role: 'admin' as const, createdS: NOW_S, signIns, ...rights };
  const facts = userFacts(seenS === undefined ? user : { ...user, seenS }, CAMERAS, NOW_S);
  expect(facts.slice(1, 3)).toEqual(expected);
});

test('a claim code names the gateway whose place is taken; its id if that is gone', () => {
  const claim = { id: 'x', expiresS: NOW_S + 60, replaces: 'gw-a' };
  const gateway = { id: 'gw-a', name: 'House', online: false };
  expect(codeFacts(claim, [gateway], NOW_S)[0]).toBe('takes the place of House');
  expect(codeFacts(claim, [], NOW_S)[0]).toBe('takes the place of gw-a');
});

test('the browser of the page comes first, then the one that was used last', () => {
  const one = (id: string, seenS: number, current = false): SignInInfo => ({
    id,
    user: 'n',
    current,
    expiresS: NOW_S,
    seenS,
  });
  const list = [one('a', 1), one('b', 3), one('c', 2, true)];
  expect(inOrder(list).map(({ id }) => id)).toEqual(['c', 'b', 'a']);
});

test.each([
  [{ role: 'admin' }, ['Administrator', 'ends ']],
  [{ role: 'owner' }, ['Owner', 'ends ']],
  [{ role: 'viewer' }, ['Viewer', 'all cameras', 'ends ']],
  [{ listen: false, control: true }, ['Viewer', 'all cameras', 'moves cameras', 'without sound']],
  [
    { limited: true, cameras: [{ camera: 'a@gw-a', listen: false }] },
    ['Viewer', 'A', 'without sound'],
  ],
  [{ limited: true, cameras: [{ camera: 'a@gw-a' }, { camera: 'b@gw-a' }] }, ['Viewer', 'A, B']],
] as const)('an invitation with %o says what it gives: %o', (changes, expected) => {
  const invitation = {
    id: 1,
    name: 'n',
    role: 'viewer',
    limited: false,
    cameras: [],
    reset: false,
    createdS: NOW_S,
    expiresS: NOW_S + DAY_S,
    ...changes,
  } as unknown as InvitationInfo;
  const facts = invitationFacts(invitation, CAMERAS, NOW_S);
  const shown = facts.map((fact) => fact.replace(/^ends .*/, 'ends '));
  expect(shown.slice(0, expected.length)).toEqual(expected);
});

test.each([
  [{}, ['A', 'never used']],
  [{ password: true }, ['A', 'with a password', 'never used']],
  [{ kiosk: true, seenS: NOW_S - 60 }, ['A', 'for a screen on a wall', 'in use now']],
  [{ cameras: [{ camera: 'a@gw-a', listen: true }] }, ['A', 'with sound', 'never used']],
  [{ maxKbitPerS: 500 }, ['A', 'at most 500 kbit/s', 'never used']],
  [{ cameras: [] }, ['no camera any more', 'never used']],
])('a share link with %o says so', (changes, expected) => {
  const whole = { id: 1, name: 'n', password: false, kiosk: false, createdS: NOW_S };
  const cameras = [{ camera: 'a@gw-a', listen: false }];
  const share = { ...whole, cameras, expiresS: NOW_S + DAY_S, ...changes };
  expect(shareFacts(share, CAMERAS, NOW_S).slice(0, expected.length)).toEqual(expected);
});
