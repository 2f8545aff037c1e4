import { expect, test } from 'vitest';
import { startParts, totalMs } from './start-parts';
import { initialState, updateSession, type Context } from './viewer-context';
import { newSession } from './viewer-connect';
import type { Stage, ViewerState } from './viewer-contract';

const REACHED = { requesting: 100, 'awaiting-offer': 140, answering: 150, checking: 170 };

test('there are no parts before the first picture', () => {
  expect(startParts({ ...REACHED, connected: 250 })).toEqual([]);
});

test('the parts are the times between the stages, and their sum is the whole', () => {
  const parts = startParts({ ...REACHED, connected: 250, playing: 300 });
  expect(parts.map(({ ms }) => ms)).toEqual([40, 10, 20, 80, 50]);
  expect(totalMs(parts)).toBe(200);
});

test('a session notes when it reaches a stage for the first time', () => {
  let state: ViewerState = { ...initialState('door', false), session: newSession(1, 100) };
  const reach = (now: number, stage: Stage) => {
    const ctx: Context = { state, effects: [], env: { now, random: 0 } };
    updateSession(ctx, { stage });
    ({ state } = ctx);
  };
  reach(140, 'awaiting-offer');
  reach(300, 'playing');
  reach(900, 'playing');
  expect(state.session?.reached).toEqual({ requesting: 100, 'awaiting-offer': 140, playing: 300 });
});
