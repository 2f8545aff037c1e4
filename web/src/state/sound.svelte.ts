/** The sound of one player, and the cameras that are to be heard, kept in this browser. */

import { keyOf, type CameraKey } from '../core/arrangement';
import { parseHeard, serializeHeard, withHeard } from '../core/heard';
import { levelBetween, type Loudness } from '../core/loudness';
import { MUTED, nextTimeout, offeredBy, step } from '../core/sound';
import type { Offered, SoundEffect, SoundEvent, SoundState } from '../core/sound';
import { Runner } from '../drivers/runner';
import { readStored, store } from '../drivers/storage';
import type { Camera } from '../protocol';
import type { Watch } from './watch.svelte';

const STORED_AS = 'porthole.sound';
/** Often enough for a meter that moves with a voice; it costs about 2 % of a core. */
const LEVEL_EVERY_MS = 200;
/** Interval for those who asked for less motion. */
const CALM_LEVEL_EVERY_MS = 1_000;

export class PlayerSound {
  isOn = $state(false);
  /** Share of the meter that is filled, from 0 to 1. */
  level = $state(0);
  readonly #watch: Watch;
  readonly #camera: () => Camera | null;
  readonly #runner: Runner<SoundState, SoundEvent, SoundEffect>;
  #video: HTMLVideoElement | null = null;

  /** Takes the function that returns the camera, or `null` until it is known. */
  constructor(watch: Watch, camera: () => Camera | null) {
    this.#watch = watch;
    this.#camera = camera;
    this.#runner = new Runner(
      { step, nextTimeout, timeout: { type: 'toggle' } },
      MUTED,
      (effect: SoundEffect) => this.#apply(effect),
      ({ isOn }) => (this.isOn = isOn),
    );
  }

  /** Returns what the player offers. */
  get offered(): Offered {
    return offeredBy(this.#camera(), this.hasTrack);
  }

  /** Returns true if the stream that is shown has sound. */
  get hasTrack(): boolean {
    return this.#watch.hasSound;
  }

  /** Follows the element that plays. */
  follow(video: HTMLVideoElement): () => void {
    this.#video = video;
    const changed = () => this.#runner.dispatch({ type: 'volume', isMuted: video.muted });
    video.addEventListener('volumechange', changed);
    changed();
    return () => {
      video.removeEventListener('volumechange', changed);
      this.#video = null;
    };
  }

  /** Plays the stream of the element, with sound if this camera was heard before. */
  play(hasTrack: boolean): void {
    const key = this.#key();
    const isWanted = key !== null && heard.has(key);
    this.#runner.dispatch({ type: 'stream', hasTrack, isWanted });
  }

  toggle(): void {
    this.#runner.dispatch({ type: 'toggle' });
  }

  /** Keeps `level` up to date until the returned function is called. */
  measure(): () => void {
    const calm = matchMedia('(prefers-reduced-motion: reduce)');
    let before: Loudness | null = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isOver = false;
    const take = async () => {
      const after = document.hidden ? null : await this.#watch.loudness();
      if (isOver) return;
      this.level = levelBetween(before, after);
      before = after;
      timer = setTimeout(() => void take(), calm.matches ? CALM_LEVEL_EVERY_MS : LEVEL_EVERY_MS);
    };
    void take();
    return () => {
      isOver = true;
      clearTimeout(timer);
      this.level = 0;
    };
  }

  #apply(effect: SoundEffect): void {
    const video = this.#video;
    switch (effect.type) {
      case 'mute':
      case 'unmute':
        if (video !== null) video.muted = effect.type === 'mute';
        return;
      case 'play':
        return void this.#play(video);
      case 'listen':
        return this.#watch.listen();
      case 'remember': {
        const key = this.#key();
        if (key !== null) heard.set(key, effect.isWanted);
      }
    }
  }

  async #play(video: HTMLVideoElement | null): Promise<void> {
    try {
      await video?.play();
    } catch (error) {
      // Another stream, or the end of the page, ends the wait without a refusal.
      if (video === null || (error as Error).name !== 'NotAllowedError') return;
      this.#runner.dispatch({ type: 'refused', isMuted: video.muted });
    }
  }

  #key(): CameraKey | null {
    const camera = this.#camera();
    return camera === null ? null : keyOf(camera);
  }
}

/** The cameras that were heard last, kept in this browser. */
class HeardCameras {
  #cameras = parseHeard(readStored(STORED_AS));

  constructor() {
    addEventListener('storage', ({ key, newValue }) => {
      if (key === STORED_AS) this.#cameras = parseHeard(newValue);
    });
  }

  has(camera: CameraKey): boolean {
    return this.#cameras.includes(camera);
  }

  set(camera: CameraKey, isHeard: boolean): void {
    this.#cameras = withHeard(this.#cameras, camera, isHeard);
    store(STORED_AS, serializeHeard(this.#cameras));
  }
}

const heard = new HeardCameras();
