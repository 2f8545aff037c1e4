/** One camera being watched, for the page that shows it. */

import type { Sample } from '../core/stats';
import { start } from '../core/viewer-session';
import { viewOf, type View } from '../core/viewer-words';
import { Viewer } from '../perform/viewer';
import type { CameraId } from '../protocol';
import { live } from './live.svelte';
import { session } from './session.svelte';

/** A minute of samples. */
const HISTORY = 60;

export class Watch {
  view = $state.raw<View>(viewOf(start('')));
  stream = $state.raw<MediaStream | null>(null);
  sample = $state.raw<Sample | null>(null);
  bitrates = $state.raw<readonly number[]>([]);
  readonly #viewer: Viewer;

  constructor(cameraId: CameraId) {
    this.#viewer = new Viewer(cameraId, live.signal, {
      changed: (state) => (this.view = viewOf(state)),
      stream: (stream) => (this.stream = stream),
      sampled: (sample) => this.#sampled(sample),
      signedOut: () => session.ended(),
    });
  }

  start(): void {
    addEventListener('online', this.#networkChanged);
    this.#viewer.start(live.cameras);
  }

  stop(): void {
    removeEventListener('online', this.#networkChanged);
    this.#viewer.stop();
  }

  retry(): void {
    this.#viewer.retry();
  }

  readonly #networkChanged = () => this.#viewer.networkChanged();

  #sampled(sample: Sample | null): void {
    this.sample = sample;
    if (sample?.bitsPerSecond == null) return;
    this.bitrates = [...this.bitrates, sample.bitsPerSecond].slice(-HISTORY);
  }
}
