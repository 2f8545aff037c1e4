import { expect, test } from 'vitest';
import type { AuditEvent } from '../protocol';
import { auditFacts, auditText, chosen, isRefusal, MAX_SHOWN, merged } from './audit';

const event = (changes: Partial<AuditEvent>): AuditEvent => ({
  id: 1,
  kind: 'signedIn',
  firstS: 1_000_000,
  lastS: 1_000_000,
  count: 1,
  ...changes,
});

test.each([
  [{ kind: 'setUp', actor: 'ada' }, 'ada set up the server'],
  [{ kind: 'signedIn', actor: 'ada' }, 'ada signed in'],
  [{ kind: 'signedIn', object: 'ada' }, 'ada signed in'],
  [{ kind: 'signInFailed', object: 'ada' }, 'Wrong password for ada'],
  [{ kind: 'codeMissing', object: 'ada' }, 'Right password for ada, and then no code'],
  [
    { kind: 'userRemoved', actor: 'ada', actorSubject: 'token:7', object: 'bob' },
    'Access token “ada” removed bob',
  ],
  [{ kind: 'signedIn', actor: 'ada', actorSubject: 'user:1' }, 'ada signed in'],
  [{ kind: 'signInFailed' }, 'Sign-in with a name that nobody has'],
  [{ kind: 'signedOut', actor: 'ada', object: 'ada' }, 'ada signed out'],
  [{ kind: 'signedOut', actor: 'ada', object: 'bob' }, 'ada signed bob out'],
  [{ kind: 'tokenCreated', actor: 'ada', object: 'TV' }, 'ada created the access token “TV”'],
  [{ kind: 'gatewayEnrolled', object: 'House' }, 'The gateway House was added'],
  [{ kind: 'userReset', actor: 'operator', object: 'bob' }, 'operator reset the password of bob'],
  [{ kind: 'identityRefused' }, 'An answer of the sign-in service was refused'],
  [
    { kind: 'identityRefused', object: 'bob' },
    'The account “bob” of the sign-in service was refused',
  ],
  [{ kind: 'userJoined', actor: 'bob' }, 'bob joined with an account of the sign-in service'],
  [
    { kind: 'cameraRemoved', actor: 'ada', object: 'door (House), with 1 right' },
    'ada removed the camera door (House), with 1 right',
  ],
  [
    { kind: 'cameraRightsEnded', actor: 'ada', object: 'door (House)' },
    'ada ended all access to the camera door (House)',
  ],
  [
    { kind: 'cameraReleased', actor: 'ada', object: 'door (House)' },
    'ada released the former camera door (House)',
  ],
  [
    { kind: 'cameraAdded', actor: 'ada', object: 'door (House)' },
    'ada added the camera door (House)',
  ],
  [
    { kind: 'cameraChanged', actor: 'ada', object: 'door (House)' },
    'ada changed the name or picture of the camera door (House)',
  ],
  [
    { kind: 'cameraReaddressed', actor: 'tv', actorSubject: 'token:7', object: 'door (House)' },
    'Access token “tv” replaced the address and password of the camera door (House)',
  ],
  [
    { kind: 'gatewayRenamed', actor: 'ada', object: 'Barn (gw-a) to House' },
    'ada renamed the gateway Barn (gw-a) to House',
  ],
  [{ kind: 'userRemoved' }, 'Somebody removed Somebody'],
] as const)('%o is one sentence', (changes, text) => {
  expect(auditText(event(changes))).toBe(text);
});

test('equal events are counted, with the time of the last', () => {
  const facts = auditFacts(event({ count: 7, lastS: 1_000_600, address: '192.0.2.1' }), 1_000_900);
  expect(facts[0]).toMatch(/^5 min ago, /);
  expect(facts[1]).toMatch(/^7 times since /);
  expect(facts[2]).toBe('from 192.0.2.1');
});

const EVENTS = [
  event({ id: 3, kind: 'signInFailed', object: 'ada', address: '192.0.2.1' }),
  event({ id: 2, kind: 'tokenCreated', actor: 'Ada', object: 'TV' }),
  event({ id: 1, kind: 'gatewayEnrolled', object: 'House' }),
];

test.each([
  ['all', '', [3, 2, 1]],
  ['all', ' ADA ', [3, 2]],
  ['all', '192.0', [3]],
  ['refused', '', [3]],
  ['sign-ins', '', [3]],
  ['access', 'tv', [2]],
  ['gateways', 'tv', []],
] as const)('%s with "%s"', (group, typed, ids) => {
  expect(chosen(EVENTS, group, typed).map(({ id }) => id)).toEqual(ids);
});

test('refusals are marked', () => {
  expect(EVENTS.map(isRefusal)).toEqual([true, false, false]);
});

test('pages are put together, each event as it was told last, and not without end', () => {
  const again = event({ id: 3, kind: 'signInFailed', count: 2 });
  const all = merged(EVENTS.slice(0, 2), [...EVENTS.slice(2), again]);
  expect(all.map(({ id }) => id)).toEqual([3, 2, 1]);
  expect(all[0]?.count).toBe(2);
  const many = Array.from({ length: MAX_SHOWN + 5 }, (_, id) => event({ id }));
  expect(merged([], many)).toHaveLength(MAX_SHOWN);
  expect(merged([], many)[0]?.id).toBe(MAX_SHOWN + 4);
});
