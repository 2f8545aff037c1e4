import { expect, test } from 'vitest';
import { levelBetween, loudnessOf } from './loudness';

const AUDIO = { id: 'a', type: 'inbound-rtp', kind: 'audio' };
const VIDEO = { id: 'v', type: 'inbound-rtp', kind: 'video' };

test.each([
  ['nothing', [], null],
  ['a picture only', [{ ...VIDEO, totalAudioEnergy: 1, totalSamplesDuration: 1 }], null],
  ['no counters', [AUDIO], null],
  [
    'sound',
    [VIDEO, { ...AUDIO, totalAudioEnergy: 0.5, totalSamplesDuration: 2 }],
    { energy: 0.5, seconds: 2 },
  ],
])('reports of %s are read', (_, reports, expected) => {
  expect(loudnessOf(reports)).toEqual(expected);
});

test.each([
  ['silence', 0, 0.1, 0],
  ['a quiet room', 1e-6 * 0.1, 0.1, 0],
  ['half-way', 10 ** -3.5 * 0.1, 0.1, 0.5],
  ['a loud voice', 0.1 * 0.1, 0.1, 1],
  ['the loudest there is', 0.1, 0.1, 1],
  ['no time', 1, 0, 0],
  ['counters that start again', -1, -2, 0],
])('the meter shows %s', (_, energy, seconds, expected) => {
  const before = { energy: 3, seconds: 7 };
  const after = { energy: 3 + energy, seconds: 7 + seconds };
  expect(levelBetween(before, after)).toBeCloseTo(expected, 3);
});

test('the meter is empty until it has two moments', () => {
  const moment = { energy: 1, seconds: 1 };
  expect([levelBetween(null, moment), levelBetween(moment, null)]).toEqual([0, 0]);
});
