import { expect, test } from 'vitest';
import { MAX_SHOWN, pairOf, pairStateText, shownPairs, type Pair } from './pairs';
import type { CandidateInfo } from './path';

const HOST: CandidateInfo = { type: 'host', address: null, protocol: 'udp', relayProtocol: null };
const pair = (state: unknown, used = false): Pair => pairOf(HOST, HOST, state, used, null);

test.each([
  ['succeeded', true, 'Used'],
  ['succeeded', false, 'Works'],
  ['in-progress', false, 'Trying'],
  ['failed', false, 'No answer'],
  ['frozen', false, 'Waiting'],
  ['waiting', false, 'Waiting'],
  [undefined, false, 'Waiting'],
])('%s, used: %s, is shown as %s', (state, used, text) => {
  expect(pairStateText(pair(state, used))).toBe(text);
});

test('the pair in use comes first, those without an answer last, and not all of many', () => {
  const many = Array.from({ length: 20 }, () => pair('failed'));
  const { shown, more } = shownPairs([...many, pair('succeeded'), pair('succeeded', true)]);
  expect(shown.map(({ state }) => state).slice(0, 3)).toEqual(['used', 'works', 'failed']);
  expect([shown.length, more]).toEqual([MAX_SHOWN, 22 - MAX_SHOWN]);
});
