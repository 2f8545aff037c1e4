/** The connection to the signaling server, and the list of cameras it sends. */

import { offlineSince } from '../core/camera-text';
import { isUpdated } from '../drivers/release';
import { Signaling } from '../drivers/signaling';
import type { Camera, CameraAddress, CamerasParams } from '../protocol';
import { auth } from './auth.svelte';
import { forgetLogins } from './logins';
import { clearThumbnails } from './thumbnails.svelte';

/** Time for a sign of life of the server when a page is shown again; a radio may have to wake. */
const WAKING_MS = 3_000;

class Live {
  readonly signaling = new Signaling();
  /** The latest list, also while the connection is lost; `null` before the first one. */
  cameras = $state<readonly Camera[] | null>(null);
  connected = $state(false);
  /** True once the server was seen to have another release of the dashboard. */
  isUpdated = $state(false);
  /** Times since when cameras are offline, in milliseconds since 1970. */
  offlineSince = $state.raw<ReadonlyMap<CameraAddress, number>>(new Map());

  #wasUp = false;
  /** Called when the server no longer accepts the link with which it is watched, if it is one. */
  #lost: (() => void) | null = null;

  constructor() {
    this.signaling.listen({
      up: () => this.#handleUp(),
      down: () => (this.connected = false),
      checkSignIn: () => void (this.#lost === null && auth.load()),
      signedOut: () => this.signedOut(),
      incoming: (incoming) => {
        if (incoming.kind !== 'notification' || incoming.method !== 'portholeCameras') return;
        const params: unknown = incoming.params;
        this.#handleCameras((params as CamerasParams).cameras);
      },
    });
    addEventListener('online', () => this.#doubt());
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') this.#doubt();
    });
  }

  start(): void {
    this.#lost = null;
    this.signaling.start();
  }

  /** Connects with the access token of a share link instead of the sign-in. */
  startShared(token: string, lost: () => void): void {
    this.#lost = lost;
    this.signaling.start(token);
  }

  /** Connects now if there is no connection, and makes sure of the one that there is. */
  #doubt(): void {
    this.signaling.reconnectNow();
    this.signaling.doubt(WAKING_MS);
  }

  /** Notes that the server no longer accepts the sign-in, or the link. */
  signedOut(): void {
    if (this.#lost === null) auth.signedOut();
    else this.#lost();
  }

  #handleUp(): void {
    this.connected = true;
    // A server that was away may be another release. The first connection follows the page itself.
    if (this.#wasUp) void isUpdated().then((is) => (this.isUpdated ||= is));
    this.#wasUp = true;
  }

  #handleCameras(cameras: readonly Camera[]): void {
    const { cameras: before, offlineSince: times } = this;
    this.offlineSince = offlineSince(before ?? [], cameras, times, Date.now());
    this.cameras = cameras;
  }

  stop(): void {
    this.signaling.stop();
    this.cameras = null;
    clearThumbnails();
    forgetLogins();
  }
}

export const live = new Live();
