import { expect, test } from 'vitest';
import { areaPath, linePath } from './sparkline';

test('a chart starts at the right and never leaves its box', () => {
  const box = { width: 100, height: 10, capacity: 11 };
  expect(linePath([1], box)).toBe('');
  expect(linePath([0, 0], box)).toBe('M90.0 10.0L100.0 10.0');
  expect(areaPath([5, 5], box)).toMatch(/^M90\.0 .*L100 10L90\.0 10Z$/);
  expect(linePath(Array(50).fill(1) as number[], box).split('L')).toHaveLength(11);
});
