/** Runs `core/movement` on the signaling. */

import * as machine from '../core/movement';
import type { MoveEffect, MoveEvent, MoveState, Velocity } from '../core/movement';
import type { CameraId, GatewayId } from '../protocol';
import { Runner } from './runner';
import type { Signaling } from './signaling';

export class Movement {
  readonly #runner: Runner<MoveState, MoveEvent, MoveEffect>;

  constructor(
    signaling: Signaling,
    peer: GatewayId,
    camera: CameraId,
    changed: (state: MoveState) => void,
  ) {
    const move = async (velocity: Velocity) => {
      const outcome = await signaling.request('portholeMove', { peer, camera, ...velocity });
      this.#runner.dispatch({ type: 'result', outcome });
    };
    this.#runner = new Runner(
      { step: machine.step, nextTimeout: machine.nextTimeout, timeout: { type: 'timeout' } },
      machine.INITIAL_STATE,
      (effect: MoveEffect) => void move(effect.velocity),
      changed,
    );
  }

  press(velocity: Velocity): void {
    this.#runner.dispatch({ type: 'press', velocity });
  }

  release(): void {
    this.#runner.dispatch({ type: 'release' });
  }
}
