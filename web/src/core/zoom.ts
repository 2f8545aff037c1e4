/** Digital zoom: which part of a picture is shown. */

import type { Direction } from './focus';

/** The picture is enlarged `scale` times and moved by shares of its frame. */
export interface Zoom {
  readonly scale: number;
  readonly x: number;
  readonly y: number;
}

/** A place in the frame in shares of its size, from the centre: −0.5 to 0.5. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** More shows only blocks of the video's compression. */
export const MAX_SCALE = 8;
/** Enlargement by one key or one click on a button. */
export const STEP = 1.5;
/** Enlargement by a double tap. */
const TAP_SCALE = 2.5;
/** Share of the frame that one arrow key moves the picture by. */
const PAN_SHARE = 0.15;
/** A wheel's notch is about 100 units. */
const WHEEL_UNITS = 400;
/** Closer to the whole picture than this is the whole picture. */
const MIN_SCALE = 1.02;

export const WHOLE: Zoom = { scale: 1, x: 0, y: 0 };
const CENTRE: Point = { x: 0, y: 0 };

/** Returns the zoom after enlarging by a factor; what is at the point stays there. */
export function zoomedBy(zoom: Zoom, factor: number, at: Point = CENTRE): Zoom {
  const scale = Math.min(MAX_SCALE, Math.max(1, zoom.scale * factor));
  const ratio = scale / zoom.scale;
  const x = at.x - (at.x - zoom.x) * ratio;
  const y = at.y - (at.y - zoom.y) * ratio;
  return bounded({ scale, x, y });
}

/** Returns the zoom after the picture was moved by shares of the frame. */
export function movedBy(zoom: Zoom, x: number, y: number): Zoom {
  return bounded({ scale: zoom.scale, x: zoom.x + x, y: zoom.y + y });
}

/** Returns the zoom after an arrow key: the part of the picture in that direction comes nearer. */
export function panned(zoom: Zoom, direction: Direction): Zoom {
  switch (direction) {
    case 'left':
      return movedBy(zoom, PAN_SHARE, 0);
    case 'right':
      return movedBy(zoom, -PAN_SHARE, 0);
    case 'up':
      return movedBy(zoom, 0, PAN_SHARE);
    case 'down':
      return movedBy(zoom, 0, -PAN_SHARE);
  }
}

/** Returns the factor of a turn of the wheel. */
export function wheelFactor(deltaY: number): number {
  return 2 ** (-Math.max(-WHEEL_UNITS, Math.min(WHEEL_UNITS, deltaY)) / WHEEL_UNITS);
}

/** Returns the zoom after a double tap: closer to the point, or the whole picture again. */
export function tapped(zoom: Zoom, at: Point): Zoom {
  return zoom.scale > 1 ? WHOLE : zoomedBy(zoom, TAP_SCALE, at);
}

/** Two fingers on the picture: the place between them, and their distance in pixels. */
export interface Pinch {
  readonly at: Point;
  readonly distance: number;
}

/** Returns the zoom after two fingers moved. */
export function pinched(zoom: Zoom, before: Pinch, after: Pinch): Zoom {
  const moved = movedBy(zoom, after.at.x - before.at.x, after.at.y - before.at.y);
  if (before.distance <= 0 || after.distance <= 0) return moved;
  return zoomedBy(moved, after.distance / before.distance, after.at);
}

/** Keeps the frame filled. */
function bounded({ scale, x, y }: Zoom): Zoom {
  if (scale < MIN_SCALE) return WHOLE;
  const most = (scale - 1) / 2;
  const within = (value: number) => Math.min(most, Math.max(-most, value));
  return { scale, x: within(x), y: within(y) };
}

/** Returns the CSS transform of the picture in its frame. */
export function transformOf({ scale, x, y }: Zoom): string {
  return scale === 1 ? 'none' : `translate(${x * 100}%, ${y * 100}%) scale(${scale})`;
}
