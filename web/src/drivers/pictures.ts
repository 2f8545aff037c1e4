/** Pictures of a wall, each with a session of its own. */

import type { Picture, PictureListener, PictureSource } from '../core/picture-contract';
import { viewOf } from '../core/viewer-text';
import type { Camera, CameraAddress } from '../protocol';
import type { Signaling } from './signaling';
import { Viewer } from './viewer';

export class SessionPictures implements PictureSource {
  readonly #signaling: Signaling;
  readonly #cameras: () => readonly Camera[] | null;
  readonly #signedOut: () => void;

  /** Takes the function that returns the latest list of cameras. */
  constructor(
    signaling: Signaling,
    cameras: () => readonly Camera[] | null,
    signedOut: () => void,
  ) {
    this.#signaling = signaling;
    this.#cameras = cameras;
    this.#signedOut = signedOut;
  }

  open(address: CameraAddress, listener: PictureListener): Picture {
    const viewer = new Viewer(address, this.#signaling, {
      changed: (state) => listener.changed(viewOf(state)),
      stream: (stream) => listener.stream(stream),
      sampled: (sample) => listener.sampled(sample),
      signedOut: this.#signedOut,
    });
    viewer.start(this.#cameras());
    return { networkChanged: () => viewer.networkChanged(), close: () => viewer.stop() };
  }
}
