import { expect, test } from 'vitest';
import { nextFocus, type Box, type Direction } from './focus';

const box = (x: number, y: number, width = 100, height = 60): Box => ({ x, y, width, height });
/**
 * 0 1 2
 * 3 4
 */
const GRID = [box(0, 0), box(110, 0), box(220, 0), box(0, 70), box(110, 70)];
/**
 * A A 1
 * A A 2
 * 3 4 5
 */
const FEATURED = [box(0, 0, 210, 130), box(220, 0), box(220, 70), box(0, 140), box(110, 140)];

type Case = [boxes: readonly Box[], from: number, direction: Direction, to: number];
test.each<Case>([
  [GRID, 0, 'right', 1],
  [GRID, 1, 'left', 0],
  [GRID, 1, 'down', 4],
  [GRID, 4, 'up', 1],
  [GRID, 2, 'down', 4],
  [GRID, 0, 'left', 0],
  [GRID, 0, 'up', 0],
  [GRID, 2, 'right', 2],
  [GRID, 3, 'down', 3],
  [FEATURED, 0, 'right', 1],
  [FEATURED, 0, 'down', 3],
  [FEATURED, 2, 'left', 0],
  [FEATURED, 4, 'up', 0],
  [FEATURED, 4, 'right', 2],
  [GRID, -1, 'down', 0],
  [[], -1, 'down', -1],
])('in %o, from %i %s is %i', (boxes, from, direction, to) => {
  expect(nextFocus(boxes, from, direction)).toBe(to);
});
