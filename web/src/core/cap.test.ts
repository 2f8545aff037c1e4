import { expect, test } from 'vitest';
import { CAPS, capFacts } from './cap';

test('the limits to choose from are none, and rates that the server takes', () => {
  expect(CAPS.map(({ text }) => text)).toEqual([
    'No limit',
    '500 kbit/s',
    '1.0 Mbit/s',
    '2.0 Mbit/s',
    '4.0 Mbit/s',
  ]);
});

test.each([
  [undefined, []],
  [64, ['at most 64 kbit/s']],
  [2000, ['at most 2.0 Mbit/s']],
])('a limit of %o is told in a list', (maxKbitPerS, expected) => {
  expect(capFacts(maxKbitPerS)).toEqual(expected);
});
