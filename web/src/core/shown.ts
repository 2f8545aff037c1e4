/** The way in which the picture of a camera is shown: turned, and mirrored. */

import type { Camera } from '../protocol';
import { TILE_RATIO } from './layout';

export type Shown = Pick<Camera, 'rotation' | 'mirrored'>;

/** A picture this much narrower or wider than its tile is cut at the edges; others are not. */
const MAX_CUT = 1.4;

/** Returns true if width and height change places. */
export function isSideways({ rotation = 0 }: Shown): boolean {
  return rotation % 180 !== 0;
}

/** Returns the CSS transform: mirrored first, then turned clockwise. */
export function transformOf({ rotation = 0, mirrored = false }: Shown): string {
  return `rotate(${rotation}deg)${mirrored ? ' scaleX(-1)' : ''}`;
}

/** Returns width divided by height of the picture as it is shown. */
export function shownRatio(width: number, height: number, shown: Shown): number {
  const ratio = width > 0 && height > 0 ? width / height : TILE_RATIO;
  return isSideways(shown) ? 1 / ratio : ratio;
}

/** Returns true if a picture fills its tile, which cuts a little of it. */
export function fillsTile(ratio: number): boolean {
  return ratio / TILE_RATIO < MAX_CUT && TILE_RATIO / ratio < MAX_CUT;
}
