/** Moving one camera: its pad and its saved views. */

import type { Velocity } from '../core/movement';
import { moveProblem, problemText } from '../core/problems';
import type { Outcome } from '../core/rpc';
import { Movement } from '../drivers/movement';
import type { CameraId, GatewayId, Preset } from '../protocol';
import { live } from './live.svelte';

export class Control {
  /** The reason why the last movement ended, or the last request failed. */
  problem = $state<string | null>(null);
  isMoving = $state(false);
  /** `null` before the first list. */
  presets = $state.raw<readonly Preset[] | null>(null);
  readonly #place: { readonly peer: GatewayId; readonly camera: CameraId };
  readonly #movement: Movement;

  constructor(peer: GatewayId, camera: CameraId) {
    this.#place = { peer, camera };
    this.#movement = new Movement(live.signaling, peer, camera, ({ problem, movingUntil }) => {
      this.isMoving = movingUntil !== null;
      if (problem !== null) this.problem = moveProblem(problem);
      else if (this.isMoving) this.problem = null;
    });
  }

  /** Ends every movement when the person cannot see the pad, or the server is lost. */
  start(): () => void {
    const ended = new AbortController();
    const { signal } = ended;
    const release = () => this.release();
    addEventListener('blur', release, { signal });
    addEventListener('pagehide', release, { signal });
    document.addEventListener('visibilitychange', release, { signal });
    const unlisten = live.signaling.listen({ down: release });
    return () => {
      release();
      ended.abort();
      unlisten();
    };
  }

  press(velocity: Velocity): void {
    this.#movement.press(velocity);
  }

  release(): void {
    this.#movement.release();
  }

  async loadPresets(): Promise<void> {
    const outcome = await live.signaling.request('portholePresets', this.#place);
    this.#note(outcome);
    if (outcome.ok) this.presets = outcome.result.presets;
  }

  async goTo(preset: Preset): Promise<void> {
    const params = { ...this.#place, preset: preset.token };
    this.#note(await live.signaling.request('portholeGoToPreset', params));
  }

  async save(name: string): Promise<boolean> {
    const outcome = await live.signaling.request('portholeSavePreset', { ...this.#place, name });
    this.#note(outcome);
    if (outcome.ok) await this.loadPresets();
    return outcome.ok;
  }

  /** Removes a saved view. Returns an error for people, or `null`. */
  async remove(preset: Preset): Promise<string | null> {
    const params = { ...this.#place, preset: preset.token };
    const outcome = await live.signaling.request('portholeRemovePreset', params);
    if (outcome.ok) await this.loadPresets();
    return outcome.ok ? null : problemText(outcome.fault);
  }

  #note(outcome: Outcome<unknown>): void {
    this.problem = outcome.ok ? null : moveProblem(outcome.fault);
  }
}
