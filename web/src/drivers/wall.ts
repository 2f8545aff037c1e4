/** Runs `core/wall`: opens and closes the pictures of the tiles. */

import type { Hints } from '../core/pace';
import type { Picture, PictureSource } from '../core/picture-contract';
import type { Sample } from '../core/stats';
import type { View } from '../core/viewer-text';
import * as machine from '../core/wall';
import type { WallEffect, WallEvent, WallState } from '../core/wall';
import type { CameraAddress } from '../protocol';
import { Runner } from './runner';

export interface WallListener {
  changed(address: CameraAddress, view: View): void;
  stream(address: CameraAddress, stream: MediaStream): void;
  /** The picture of a tile was closed. */
  closed(address: CameraAddress): void;
  /** Returns the number of frames of a tile that were decoded but never shown. */
  skipped(address: CameraAddress): number;
}

export class Wall {
  readonly #source: PictureSource;
  readonly #listener: WallListener;
  readonly #runner: Runner<WallState, WallEvent, WallEffect>;
  readonly #pictures = new Map<CameraAddress, Picture>();

  constructor(source: PictureSource, hints: Hints, listener: WallListener) {
    this.#source = source;
    this.#listener = listener;
    this.#runner = new Runner(
      { step: machine.step, nextTimeout: machine.nextTimeout, timeout: { type: 'timeout' } },
      machine.initialState(hints),
      (effect) => this.#apply(effect),
      () => undefined,
    );
  }

  dispatch(event: WallEvent): void {
    this.#runner.dispatch(event);
  }

  networkChanged(): void {
    for (const picture of this.#pictures.values()) picture.networkChanged();
  }

  /** Gives away the picture of a tile, which whoever takes it must close. */
  lend(address: CameraAddress): Picture | null {
    const picture = this.#pictures.get(address) ?? null;
    this.#pictures.delete(address);
    if (picture !== null) this.dispatch({ type: 'lent', address });
    return picture;
  }

  #apply(effect: WallEffect): void {
    const { address } = effect;
    if (effect.type === 'open') return this.#open(address, effect.stream);
    this.#listener.closed(address);
    const picture = this.#pictures.get(address);
    this.#pictures.delete(address);
    picture?.close();
  }

  #open(address: CameraAddress, stream: CameraAddress): void {
    let isFailed = false;
    let isKnown = false;
    // What a picture says at its end, or after it was lent, is no longer about the tile.
    const isGone = () => isKnown && this.#pictures.get(address) !== picture;
    const picture: Picture = this.#source.open(stream, {
      changed: (view) => {
        if (isGone()) return;
        this.#listener.changed(address, view);
        const wasFailed = isFailed;
        isFailed = view.phase === 'failed';
        if (isFailed && !wasFailed) this.dispatch({ type: 'failed', address });
      },
      stream: (each) => isGone() || this.#listener.stream(address, each),
      sampled: (sample) => isGone() || sample === null || this.#measure(address, sample),
    });
    this.#pictures.set(address, picture);
    isKnown = true;
  }

  #measure(address: CameraAddress, { counters }: Sample): void {
    const { frames, framesReceived, framesDropped } = counters;
    const shown = Math.max(0, frames - this.#listener.skipped(address));
    const received = Math.max(framesReceived, frames + framesDropped);
    this.dispatch({ type: 'frames', address, frames: { received, shown } });
  }
}
