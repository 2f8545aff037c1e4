/** The pad that moves a camera: from places and keys to velocities. */

import type { Direction } from './focus';
import { STILL, type Velocity } from './movement';
import type { Shown } from './shown';

/** A direction on the screen: right and up are positive, −1 to 1. */
export interface Aim {
  readonly x: number;
  readonly y: number;
}

/** This close to the centre, a finger rests. */
const DEAD_SHARE = 0.18;
/** A camera moves at all from about this speed on. */
const LEAST_PERCENT = 15;
const MOST_PERCENT = 100;
/** Speed of keys and of the buttons for screen readers, which have no distance. */
const KEY_SHARE = 0.55;
export const ZOOM_PERCENT = 60;

const AIMS: Record<Direction, Aim> = {
  left: { x: -1, y: 0 },
  right: { x: 1, y: 0 },
  up: { x: 0, y: 1 },
  down: { x: 0, y: -1 },
};

/** Returns the aim of a place on the pad, from its centre in shares of its radius; y grows down. */
export function aimAt(x: number, y: number): Aim {
  const distance = Math.hypot(x, y);
  if (distance < DEAD_SHARE) return { x: 0, y: 0 };
  const share = (Math.min(1, distance) - DEAD_SHARE) / (1 - DEAD_SHARE);
  return { x: (x / distance) * share, y: (-y / distance) * share };
}

/** Returns the aim of the arrow keys that are held. */
export function aimOf(directions: Iterable<Direction>): Aim {
  let [x, y] = [0, 0];
  for (const direction of directions) {
    x += AIMS[direction].x * KEY_SHARE;
    y += AIMS[direction].y * KEY_SHARE;
  }
  return { x, y };
}

/**
 * Returns the velocity of the camera for an aim at its picture as it is shown: turned clockwise
 * after it was mirrored, so that is undone from the end.
 */
export function velocityOf({ x, y }: Aim, { rotation = 0, mirrored = false }: Shown): Velocity {
  const turns = (((rotation / 90) % 4) + 4) % 4;
  const [right, up] = [
    [x, y],
    [-y, x],
    [-x, -y],
    [y, -x],
  ][turns] ?? [x, y];
  return {
    ...STILL,
    pan: percent(mirrored ? -(right ?? 0) : (right ?? 0)),
    tilt: percent(up ?? 0),
  };
}

function percent(share: number): number {
  const size = Math.min(1, Math.abs(share));
  if (size < 0.01) return 0;
  return Math.sign(share) * Math.round(LEAST_PERCENT + (MOST_PERCENT - LEAST_PERCENT) * size);
}
