import { expect, test } from 'vitest';
import { bitrateChart, CAPACITY, disturbanceCharts, withSample } from './charts';
import { sample, type Sample } from './stats';

const EMPTY = sample([], 0, null);
const samples = (...changes: Partial<Sample>[]) =>
  changes.map((change): Sample => ({ ...EMPTY, ...change }));

test('a minute of samples is kept', () => {
  let kept: readonly Sample[] = [];
  for (let s = 0; s < CAPACITY + 5; s += 0.5) kept = withSample(kept, { ...EMPTY, at: s * 1000 });
  expect([kept.length, kept[0]?.at]).toEqual([CAPACITY, 5_000]);
});

test('a value that is not known is left out of its chart', () => {
  const some = samples({ bitsPerSecond: null }, { bitsPerSecond: 2e6 }, { bitsPerSecond: 1e6 });
  expect(bitrateChart(some)).toMatchObject({ value: '1.0 Mbit/s', values: [2e6, 1e6] });
  expect(bitrateChart([])).toMatchObject({ value: '–', values: [] });
});

test.each([
  ['loss', { loss: 0.02 }, '2.0%', [0.02]],
  ['rtt', { rttMs: 40 }, '40 ms', [40]],
  ['jitter', { jitterMs: 3 }, '3.0 ms', [3]],
  ['freezes', { freezes: 4 }, '4', [0]],
])('%s is charted', (key, change, value, values) => {
  const chart = disturbanceCharts(samples(change)).find((chart) => chart.key === key);
  expect(chart).toMatchObject({ value, values });
});

test('each freeze is charted once, and those of another connection are not', () => {
  const counts = [3, 3, 5, 0, 1].map((freezes) => ({ freezes }));
  const chart = disturbanceCharts(samples(...counts)).find(({ key }) => key === 'freezes');
  expect(chart).toMatchObject({ value: '1', values: [0, 0, 2, 0, 1] });
});
