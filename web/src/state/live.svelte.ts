/** The one connection to the signaling server, and the cameras it tells of. */

import { Signal } from '../perform/signal';
import type { Camera, CamerasParams } from '../protocol';
import { forgetGlimpses } from './glimpses';
import { session } from './session.svelte';

class Live {
  readonly signal = new Signal();
  /** `null` before the first list. The last one stays while the connection is lost. */
  cameras = $state<readonly Camera[] | null>(null);
  connected = $state(false);

  constructor() {
    this.signal.listen({
      up: () => (this.connected = true),
      down: () => (this.connected = false),
      doubtful: (signedOut) => (signedOut ? session.ended() : void session.load()),
      incoming: (incoming) => {
        if (incoming.kind !== 'notification' || incoming.method !== 'portholeCameras') return;
        const params: unknown = incoming.params;
        this.cameras = (params as CamerasParams).cameras;
      },
    });
    addEventListener('online', () => this.signal.hurry());
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') this.signal.hurry();
    });
  }

  start(): void {
    this.signal.start();
  }

  stop(): void {
    this.signal.stop();
    this.cameras = null;
    forgetGlimpses();
  }
}

export const live = new Live();
