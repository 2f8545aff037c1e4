import { expect, test } from 'vitest';
import type { OpenedShare } from '../protocol';
import { nextTimeout, OPENING, step, type Refusal, type ShareState } from './share';

const HOUR_S = 3600;
const SHARE: OpenedShare = { token: 'phs_x', name: 'Yard', kiosk: false, expiresInSeconds: HOUR_S };
const REFUSAL: Refusal = { status: 0, needsPassword: false, hadPassword: false, text: 'Away.' };

const at = (now: number) => ({ now, random: 0 });

function shownAt(now: number, share = SHARE): ShareState {
  return step(OPENING, { type: 'opened', share, endS: 7 }, at(now)).state;
}

test('a link that opens is connected, and ends at its hour', () => {
  const opened = step(OPENING, { type: 'opened', share: SHARE, endS: 7 }, at(1_000));
  expect(opened.effects).toEqual([{ type: 'connect', share: SHARE }]);
  expect(nextTimeout(opened.state)).toBe(1_000 + HOUR_S * 1000);
  const early = step(opened.state, { type: 'timeout' }, at(2_000));
  expect([early.state.phase, early.effects]).toEqual(['shown', []]);
  const over = step(opened.state, { type: 'timeout' }, at(1_000 + HOUR_S * 1000));
  expect(over).toEqual({
    state: { phase: 'ended', reason: null },
    effects: [{ type: 'disconnect' }],
  });
  expect(nextTimeout(over.state)).toBeNull();
});

test('a link for a year never waits longer than a day for its timer', () => {
  const year = { ...SHARE, expiresInSeconds: 365 * 24 * HOUR_S };
  let state = shownAt(0, year);
  for (let day = 1; day < 365; day++) {
    const wakeAt = nextTimeout(state) ?? 0;
    expect(wakeAt).toBe(day * 24 * HOUR_S * 1000);
    const next = step(state, { type: 'timeout' }, at(wakeAt));
    expect(next.effects).toEqual([]);
    ({ state } = next);
  }
  expect(step(state, { type: 'timeout' }, at(nextTimeout(state) ?? 0)).state.phase).toBe('ended');
});

test.each<[string, Partial<Refusal>, ShareState]>([
  [
    'has a password',
    { status: 401, needsPassword: true, text: 'Enter it.' },
    { phase: 'locked', error: null },
  ],
  [
    'was given a wrong one',
    { status: 401, needsPassword: true, hadPassword: true, text: 'Wrong.' },
    { phase: 'locked', error: 'Wrong.' },
  ],
  [
    'was given too many',
    { status: 429, hadPassword: true, text: 'Wait.' },
    { phase: 'locked', error: 'Wait.' },
  ],
  ['was revoked', { status: 403, text: 'Gone.' }, { phase: 'ended', reason: 'Gone.' }],
  ['cannot be asked about', {}, { phase: 'waiting', error: 'Away.', wakeAt: 5_100 }],
  [
    'is asked about too often',
    { status: 429, text: 'Wait.' },
    { phase: 'waiting', error: 'Wait.', wakeAt: 5_100 },
  ],
])('a link that %s says so', (_, refusal, expected) => {
  const event = { type: 'refused', refusal: { ...REFUSAL, ...refusal } } as const;
  expect(step(OPENING, event, at(100))).toEqual({ state: expected, effects: [] });
});

test('a password is sent once, and a server that was away is asked again by itself', () => {
  const locked: ShareState = { phase: 'locked', error: null };
  const sent = step(locked, { type: 'submit', password: 'p' }, at(0));
  expect(sent).toEqual({ state: OPENING, effects: [{ type: 'open', password: 'p' }] });
  expect(step(sent.state, { type: 'submit', password: 'p' }, at(0)).effects).toEqual([]);
  const waiting: ShareState = { phase: 'waiting', error: 'Away.', wakeAt: 10 };
  for (const type of ['timeout', 'retry'] as const) {
    const again = step(waiting, { type }, at(10));
    expect(again).toEqual({ state: OPENING, effects: [{ type: 'open', password: null }] });
  }
});

test('a link that the server no longer accepts is closed at once and asked about', () => {
  expect(step(shownAt(0), { type: 'lost' }, at(5))).toEqual({
    state: OPENING,
    effects: [{ type: 'disconnect' }, { type: 'open', password: null }],
  });
});

test('a loss near the end of the link is its end', () => {
  const state = shownAt(0) as Extract<ShareState, { phase: 'shown' }>;
  for (const [before, phase] of [
    [5_000, 'ended'],
    [5_001, 'opening'],
  ] as const) {
    expect(step(state, { type: 'lost' }, at(state.endsAt - before)).state.phase).toBe(phase);
  }
});

test('what comes too late changes nothing', () => {
  const ended: ShareState = { phase: 'ended', reason: null };
  for (const event of [
    { type: 'opened', share: SHARE, endS: 7 },
    { type: 'refused', refusal: REFUSAL },
    { type: 'submit', password: 'p' },
    { type: 'lost' },
    { type: 'retry' },
    { type: 'timeout' },
  ] as const) {
    expect(step(ended, event, at(9))).toEqual({ state: ended, effects: [] });
  }
});
