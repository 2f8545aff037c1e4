/** The connection to the signaling server, and the list of cameras it sends. */

import { Signaling } from '../drivers/signaling';
import type { Camera, CamerasParams } from '../protocol';
import { auth } from './auth.svelte';
import { forgetLogins } from './logins';
import { clearThumbnails } from './thumbnails';

class Live {
  readonly signaling = new Signaling();
  /** The latest list, also while the connection is lost; `null` before the first one. */
  cameras = $state<readonly Camera[] | null>(null);
  connected = $state(false);

  constructor() {
    this.signaling.listen({
      up: () => (this.connected = true),
      down: () => (this.connected = false),
      checkSignIn: () => void auth.load(),
      signedOut: () => auth.signedOut(),
      incoming: (incoming) => {
        if (incoming.kind !== 'notification' || incoming.method !== 'portholeCameras') return;
        const params: unknown = incoming.params;
        this.cameras = (params as CamerasParams).cameras;
      },
    });
    addEventListener('online', () => this.signaling.reconnectNow());
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') this.signaling.reconnectNow();
    });
  }

  start(): void {
    this.signaling.start();
  }

  stop(): void {
    this.signaling.stop();
    this.cameras = null;
    clearThumbnails();
    forgetLogins();
  }
}

export const live = new Live();
