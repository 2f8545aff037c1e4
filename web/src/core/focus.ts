/** Moves the focus between tiles in two dimensions. */

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export type Direction = 'left' | 'right' | 'up' | 'down';

/** An offset across the direction counts this much more than one along it. */
const ACROSS = 3;

/** Returns the box next to one of them in a direction, or the same if there is none. */
export function nextFocus(boxes: readonly Box[], from: number, direction: Direction): number {
  const start = boxes[from];
  if (start === undefined) return boxes.length > 0 ? 0 : -1;
  const isSideways = direction === 'left' || direction === 'right';
  const sign = direction === 'left' || direction === 'up' ? -1 : 1;
  let [best, least] = [from, Infinity];
  boxes.forEach((box, at) => {
    const [dx, dy] = [centre(box).x - centre(start).x, centre(box).y - centre(start).y];
    const along = (isSideways ? dx : dy) * sign;
    // A tile that is larger than its neighbours overlaps several of them: its edge decides.
    if (at === from || along <= 0 || !isBeyond(start, box, direction)) return;
    const cost = along + Math.abs(isSideways ? dy : dx) * ACROSS;
    if (cost < least) [best, least] = [at, cost];
  });
  return best;
}

function centre({ x, y, width, height }: Box): { x: number; y: number } {
  return { x: x + width / 2, y: y + height / 2 };
}

/** Returns true if a box begins behind the edge of another; a pixel of overlap is forgiven. */
function isBeyond(start: Box, box: Box, direction: Direction): boolean {
  switch (direction) {
    case 'left':
      return box.x + box.width <= start.x + 1;
    case 'right':
      return box.x >= start.x + start.width - 1;
    case 'up':
      return box.y + box.height <= start.y + 1;
    case 'down':
      return box.y >= start.y + start.height - 1;
  }
}
