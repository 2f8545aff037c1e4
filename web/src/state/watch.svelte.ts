/** One camera being watched, for the page that shows it. */

import { withSample } from '../core/charts';
import type { Loudness } from '../core/loudness';
import { startParts, type StartPart } from '../core/start-parts';
import type { Sample } from '../core/stats';
import { initialState } from '../core/viewer-context';
import type { ViewerState } from '../core/viewer-contract';
import { viewOf, type View } from '../core/viewer-text';
import { Viewer, type ViewerListener } from '../drivers/viewer';
import type { Camera, CameraAddress, ShownParams } from '../protocol';
import { live } from './live.svelte';

export class Watch {
  view = $state.raw<View>(viewOf(initialState('', false)));
  stream = $state.raw<MediaStream | null>(null);
  /** True if the stream has sound. */
  hasSound = $state(false);
  sample = $state.raw<Sample | null>(null);
  /** The samples of the last minute, the latest last. */
  samples = $state.raw<readonly Sample[]>([]);
  /** Parts of the time to the first picture of the latest session. */
  startParts = $state.raw<readonly StartPart[]>([]);
  /** The picture that the gateway has chosen; `null` for the stream that was asked for. */
  chosen = $state.raw<ShownParams | null>(null);
  readonly #viewer: Viewer;

  /** Watches a camera of the list, by its address; or one that was probed, which is in no list. */
  constructor(camera: CameraAddress | Camera, withSound = false) {
    const listener: ViewerListener = {
      changed: (state) => this.#handleChange(state),
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

  #handleChange(state: ViewerState): void {
    this.view = viewOf(state);
    this.chosen = (state.previous ?? state.session)?.chosen ?? null;
    if (state.session?.stage === 'playing') this.startParts = startParts(state.session.reached);
  }

  #handleStream(stream: MediaStream): void {
    this.stream = stream;
    this.hasSound = stream.getAudioTracks().length > 0;
  }

  #handleSample(sample: Sample | null): void {
    this.sample = sample;
    if (sample !== null) this.samples = withSample(this.samples, sample);
  }
}
