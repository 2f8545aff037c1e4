/** Tests of a viewer whose gateway sends less than was asked for. */

import { expect, test } from 'vitest';
import type { ShownParams } from '../protocol';
import { Bench } from './viewer-bench';

const playing = () => new Bench().start().playFirstFrame({ expiryTimeSeconds: 600 }).playFor(8);

/** Lets the gateway choose a picture, and no frame come for some time, with a path that works. */
function chosen(picture: ShownParams['picture'], ms: number): Bench {
  const bench = playing();
  bench.dispatch({ type: 'shown', shown: { session: 's1', picture, reason: 'path' } });
  bench.takeEffects();
  const { framesDecoded } = bench.state.session ?? { framesDecoded: 0 };
  for (let past = 0; past < ms; past += 250) {
    bench.advance(250).frames(framesDecoded, bench.generation, 200);
  }
  return bench;
}

test.each<[ShownParams['picture'], number, string, string, string[]]>([
  ['sub', 3_000, 'interrupted', 'The video stopped', []],
  ['sub', 8_000, 'reconnecting', 'Contacting the gateway', ['close-peer', 'send-close', 'connect']],
  ['keyFrames', 9_000, 'playing', 'Playing', []],
  ['keyFrames', 20_000, 'interrupted', 'The video stopped', []],
  ['still', 60_000, 'interrupted', 'The connection is too slow for video', []],
])('of %s, no frame for %i ms is %s: %s', (picture, ms, phase, title, effects) => {
  const bench = chosen(picture, ms);
  expect([bench.phase, bench.title]).toEqual([phase, title]);
  expect(bench.takeEffects()).toEqual(effects);
});

test('the picture goes on by itself', () => {
  const bench = chosen('still', 10_000);
  bench.dispatch({ type: 'shown', shown: { session: 's1', picture: 'keyFrames', reason: 'path' } });
  expect(bench.phase).toBe('playing');
  bench.dispatch({ type: 'shown', shown: { session: 's1', picture: 'main' } });
  expect([bench.phase, bench.state.session?.chosen?.picture]).toEqual(['playing', 'main']);
});

test('a still picture whose path is silent is replaced', () => {
  const bench = chosen('still', 1_000);
  expect(bench.silence(1_750).takeEffects()).toEqual(['doubt-server', 'connect']);
});

test.each([
  ['cap', 'What may be sent'],
  ['path', 'The picture goes on'],
] as const)('a still picture says whose line is slow: %s', (reason, begin) => {
  const bench = playing();
  bench.dispatch({ type: 'shown', shown: { session: 's1', picture: 'still', reason } });
  expect(bench.detail.startsWith(begin)).toBe(true);
});

test('what is told of another session changes nothing', () => {
  const bench = playing();
  bench.dispatch({ type: 'shown', shown: { session: 's9', picture: 'still' } });
  expect([bench.phase, bench.state.session?.chosen]).toEqual(['playing', null]);
});
