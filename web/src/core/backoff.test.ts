import { expect, test } from 'vitest';
import { delayMs } from './backoff';

test('delays double up to a bound, and only their upper half is random', () => {
  const backoff = { firstMs: 400, maxMs: 8_000 };
  expect([0, 1, 2, 9, 99].map((n) => delayMs(backoff, n, 1))).toEqual([400, 800, 1600, 8000, 8000]);
  expect([0, 1, 2, 9, 99].map((n) => delayMs(backoff, n, 0))).toEqual([200, 400, 800, 4000, 4000]);
});
