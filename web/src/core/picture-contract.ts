/**
 * The interface between a wall and the way its pictures come. Today each picture has a session of
 * its own (`drivers/pictures.ts`); one connection for many cameras can take its place.
 */

import type { CameraAddress } from '../protocol';
import type { Sample } from './stats';
import type { View } from './viewer-text';

export interface PictureListener {
  changed(view: View): void;
  /** The stream to show from now on. */
  stream(stream: MediaStream): void;
  /** Statistics of the shown stream; `null` once it is closed. */
  sampled(sample: Sample | null): void;
}

/** A picture that is open. It tries again by itself until it is closed. */
export interface Picture {
  networkChanged(): void;
  close(): void;
}

export interface PictureSource {
  /** Opens a stream by its address. */
  open(address: CameraAddress, listener: PictureListener): Picture;
}
