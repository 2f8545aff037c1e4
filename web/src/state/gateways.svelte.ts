/** The gateways and the cameras that each of them keeps. */

import { problemText } from '../core/problems';
import { linesOf } from '../core/removal';
import type { Outcome } from '../core/rpc';
import { api } from '../drivers/api';
import { code, type CameraId, type ChangeCameraParams, type ChangedResult } from '../protocol';
import type { Gateway, GatewayId, StoredCamera, StoredCamerasResult } from '../protocol';
import { attempt } from './attempt';
import { live } from './live.svelte';

/** The settings of a camera that change without its password. */
export type CameraChanges = Pick<ChangeCameraParams, 'name' | 'rotation' | 'mirrored' | 'onDemand'>;

export class GatewaysPage {
  /** `null` before the first list. */
  gateways = $state.raw<readonly Gateway[] | null>(null);
  error = $state<string | null>(null);
  /** The stored cameras of each gateway that was asked. */
  cameras = $state.raw<ReadonlyMap<GatewayId, Outcome<StoredCamerasResult>>>(new Map());

  /** Loads the gateways, and the cameras of those that are newly connected. */
  async load(): Promise<void> {
    this.error = await attempt(async () => {
      const { gateways } = await api.gateways();
      this.gateways = gateways;
      // A gateway that was away, or is new, is asked for its cameras; the others were asked before.
      const online = new Set(gateways.filter((one) => one.online).map((one) => one.id));
      this.cameras = new Map([...this.cameras].filter(([id]) => online.has(id)));
      const unknown = [...online].filter((id) => !this.cameras.has(id));
      await Promise.all(unknown.map((id) => this.loadCameras(id)));
    });
  }

  async loadCameras(peer: GatewayId): Promise<void> {
    const outcome = await live.signaling.request('portholeStoredCameras', { peer });
    this.cameras = new Map([...this.cameras, [peer, outcome]]);
  }

  /** Renames a gateway. Returns an error for people, or `null`. */
  renameGateway(gateway: Gateway, name: string): Promise<string | null> {
    return attempt(async () => {
      await api.renameGateway(gateway.id, { name });
      await this.load();
    });
  }

  /** Removes a gateway and its cameras. Returns an error for people, or `null`. */
  removeGateway({ id }: Gateway): Promise<string | null> {
    return attempt(async () => {
      await api.removeGateway(id);
      await this.load();
    });
  }

  /** Returns one line for each thing that goes with a gateway. */
  async goesWith({ id }: Gateway): Promise<string[]> {
    return linesOf(await api.removalOfGateway(id), 'gateway');
  }

  /** Returns one line for each thing that goes with a camera. */
  async goesWithCamera(gateway: GatewayId, camera: CameraId): Promise<string[]> {
    return linesOf(await api.removalOfCamera(gateway, camera), 'camera');
  }

  /** Renames a camera. Returns an error for people, or `null`. */
  renameCamera(peer: GatewayId, camera: CameraId, name: string): Promise<string | null> {
    return this.changeCamera(peer, camera, { name });
  }

  /** Changes settings of a camera. Returns an error for people, or `null`. */
  changeCamera(peer: GatewayId, camera: CameraId, changes: CameraChanges): Promise<string | null> {
    return this.#change(peer, (revision) =>
      live.signaling.request('portholeChangeCamera', { peer, revision, camera, ...changes }),
    );
  }

  /** Removes a camera. Returns an error for people, or `null`. */
  removeCamera(peer: GatewayId, { id: camera }: StoredCamera): Promise<string | null> {
    return this.#change(peer, (revision) =>
      live.signaling.request('portholeRemoveCamera', { peer, revision, camera }),
    );
  }

  async #change(
    peer: GatewayId,
    request: (revision: number) => Promise<Outcome<ChangedResult>>,
  ): Promise<string | null> {
    const listed = this.cameras.get(peer);
    if (!listed?.ok) return problemText({ code: code.UNAVAILABLE, message: '' });
    const outcome = await request(listed.result.revision);
    // Also after a conflict: the next attempt is made with the list as it is now.
    await this.loadCameras(peer);
    return outcome.ok ? null : problemText(outcome.fault);
  }
}
