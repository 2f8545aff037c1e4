/** One camera being watched, for the page that shows it. */

import type { Loudness } from '../core/loudness';
import type { Sample } from '../core/stats';
import { initialState } from '../core/viewer-context';
import { viewOf, type View } from '../core/viewer-text';
import { Viewer, type ViewerListener } from '../drivers/viewer';
import type { Camera, CameraAddress } from '../protocol';
import { live } from './live.svelte';

/** Number of bitrates kept for the chart: one minute of samples. */
const HISTORY = 60;

export class Watch {
  view = $state.raw<View>(viewOf(initialState('', false)));
  stream = $state.raw<MediaStream | null>(null);
  /** True if the stream has sound. */
  hasSound = $state(false);
  sample = $state.raw<Sample | null>(null);
  bitrates = $state.raw<readonly number[]>([]);
  readonly #viewer: Viewer;

  /** Watches a camera of the list, by its address; or one that was probed, which is in no list. */
  constructor(camera: CameraAddress | Camera, withSound = false) {
    const listener: ViewerListener = {
      changed: (state) => (this.view = viewOf(state)),
      stream: (stream) => this.#handleStream(stream),
      sampled: (sample) => this.#handleSample(sample),
      signedOut: () => live.signedOut(),
    };
    this.#viewer = new Viewer(camera, live.signaling, listener, withSound);
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

  /** Sees to it that there is sound, if the camera can be heard. */
  listen(): void {
    this.#viewer.listen();
  }

  /** Returns what has been heard so far. */
  loudness(): Promise<Loudness | null> {
    return this.#viewer.loudness();
  }

  readonly #networkChanged = () => this.#viewer.networkChanged();

  #handleStream(stream: MediaStream): void {
    this.stream = stream;
    this.hasSound = stream.getAudioTracks().length > 0;
  }

  #handleSample(sample: Sample | null): void {
    this.sample = sample;
    if (sample?.bitsPerSecond == null) return;
    this.bitrates = [...this.bitrates, sample.bitsPerSecond].slice(-HISTORY);
  }
}
