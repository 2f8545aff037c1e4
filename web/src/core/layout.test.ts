import { expect, test } from 'vitest';
import type { TileSize } from './arrangement';
import { columnsFor, filledRows } from './layout';

type Case = [count: number, width: number, height: number, size: TileSize, columns: number];
test.each<Case>([
  [1, 1280, 590, 'fit', 1],
  [2, 390, 640, 'fit', 1],
  [9, 358, 640, 'fit', 2],
  [9, 358, 640, 'large', 1],
  [9, 780, 970, 'fit', 3],
  [4, 1216, 590, 'fit', 3],
  [9, 1216, 590, 'fit', 4],
  [9, 1280, 800, 'fit', 3],
  [9, 1216, 590, 'large', 2],
  [9, 2500, 1230, 'fit', 4],
  [16, 2560, 1440, 'fit', 4],
  [64, 1216, 590, 'fit', 4],
  [200, 5120, 1440, 'fit', 12],
  [5, 0, 0, 'fit', 1],
])('%i cameras on %i × %i px, %s, take %i columns', (count, width, height, size, columns) => {
  expect(columnsFor(count, { width, height }, 12, size)).toBe(columns);
});

test.each([
  [9, 3, 1920, 1080, 3],
  [9, 3, 1280, 800, 3],
  [16, 4, 2560, 1440, 4],
  [7, 3, 1920, 1080, 3],
  [9, 2, 390, 844, null],
  [2, 2, 1920, 1080, null],
])(
  '%i cameras in %i columns fill %i × %i px with %o rows',
  (count, columns, width, height, rows) => {
    expect(filledRows(count, columns, { width, height })).toBe(rows);
  },
);
