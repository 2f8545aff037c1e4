/** The columns of the wall. */

import type { TileSize } from './arrangement';

export interface Space {
  readonly width: number;
  /** The height that is visible without scrolling. */
  readonly height: number;
}

/** Width divided by height of every tile. */
export const TILE_RATIO = 16 / 9;
const PHONE_WIDTH = 600;
/** Below this width a face at the door cannot be told. */
const MIN_TILE = 240;
/** Two columns fit on a phone. */
const MIN_PHONE_TILE = 150;
/** Width from which tiles count as large. */
const LARGE_TILE = 520;
const MAX_COLUMNS = 12;
/** Share of the height that may be missing: gaps keep 16 tiles from fitting exactly on 16:9. */
const SLACK = 0.03;
/** Tiles that fill the whole screen may differ this much from their usual shape. */
const FILL_RATIOS = { least: 1.35, most: 2.3 };

/**
 * Returns the number of columns with which `count` tiles are largest: all of them fit on the
 * screen if they are not too small then; otherwise the page scrolls.
 */
export function columnsFor(count: number, { width, height }: Space, gap: number, size: TileSize) {
  if (count <= 1 || width <= 0) return 1;
  const isPhone = width < PHONE_WIDTH;
  if (isPhone && size === 'large') return 1;
  const smallest = size === 'large' ? LARGE_TILE : isPhone ? MIN_PHONE_TILE : MIN_TILE;
  const most = Math.max(1, Math.floor((width + gap) / (smallest + gap)));
  const bound = Math.min(count, most, MAX_COLUMNS);
  for (let columns = 1; columns < bound; columns++) {
    if (heightOf(count, columns, width, gap) <= height * (1 + SLACK)) return columns;
  }
  return bound;
}

/**
 * Returns the number of rows if the tiles can fill the whole screen without gaps around them, or
 * `null` if they would become too narrow or too wide.
 */
export function filledRows(count: number, columns: number, { width, height }: Space) {
  const rows = Math.ceil(count / columns);
  const ratio = width / columns / (height / rows);
  return ratio >= FILL_RATIOS.least && ratio <= FILL_RATIOS.most ? rows : null;
}

function heightOf(count: number, columns: number, width: number, gap: number): number {
  const tile = (width - gap * (columns - 1)) / columns;
  const rows = Math.ceil(count / columns);
  return rows * (tile / TILE_RATIO) + (rows - 1) * gap;
}
