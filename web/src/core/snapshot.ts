/** Snapshots: their file names, and how the picture is turned. */

import { isSideways, type Shown } from './shown';

const MAX_NAME_CHARS = 64;

/** Returns the name of a snapshot's file: the camera, and the local time. */
export function fileName(camera: string, milliseconds: number): string {
  const name = camera
    .normalize('NFC')
    .replace(/[^\p{L}\p{N}]+/gu, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, MAX_NAME_CHARS);
  // Swedish writes years first and puts the parts in an order that sorts.
  const time = new Intl.DateTimeFormat('sv', {
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  });
  return `${name || 'camera'} ${time.format(milliseconds).replaceAll(':', '.')}.jpg`;
}

/** A drawing: the size of the canvas, and the matrix with which the frame is drawn. */
export interface Drawing {
  readonly width: number;
  readonly height: number;
  readonly matrix: readonly [number, number, number, number, number, number];
}

/** Returns how to draw a frame so that it looks as it is shown. */
export function drawingOf(width: number, height: number, shown: Shown): Drawing {
  const { rotation = 0, mirrored = false } = shown;
  const turns = (((rotation / 90) % 4) + 4) % 4;
  const [cos, sin] = [[1, 0, -1, 0][turns] ?? 1, [0, 1, 0, -1][turns] ?? 0];
  const size = isSideways(shown) ? { width: height, height: width } : { width, height };
  const flip = mirrored ? -1 : 1;
  // About the centre of the frame: mirrored, then turned, then moved to the canvas's centre.
  const [a, b, c, d] = [flip * cos, flip * sin, -sin, cos];
  const x = size.width / 2 - (a * width + c * height) / 2;
  const y = size.height / 2 - (b * width + d * height) / 2;
  return { ...size, matrix: [a, b, c, d, x, y] };
}
