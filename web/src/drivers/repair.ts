/** Runs `core/repair` on the signaling. */

import * as machine from '../core/repair';
import type { RepairEffect, RepairEvent, RepairState } from '../core/repair';
import type { CameraParams } from '../protocol';
import { Runner } from './runner';
import type { Signaling } from './signaling';

export class Repair {
  readonly #params: CameraParams;
  readonly #signaling: Signaling;
  readonly #runner: Runner<RepairState, RepairEvent, RepairEffect>;
  /** Gives up the request that runs. */
  #cancel: () => void = () => undefined;

  constructor(params: CameraParams, signaling: Signaling, changed: (state: RepairState) => void) {
    this.#params = params;
    this.#signaling = signaling;
    const { step, nextTimeout } = machine;
    this.#runner = new Runner(
      { step, nextTimeout, timeout: { type: 'check' } },
      machine.initialState(),
      (effect) => this.#apply(effect),
      changed,
    );
  }

  dispatch(event: RepairEvent): void {
    this.#runner.dispatch(event);
  }

  /** Gives up a look; what is being set is set nevertheless. */
  stop(): void {
    this.#cancel();
  }

  #apply(effect: RepairEffect): void {
    const none = (): void => undefined;
    switch (effect.type) {
      case 'check':
        this.#cancel();
        this.#cancel = this.#signaling.exchange(
          'portholeCheckSettings',
          this.#params,
          none,
          (outcome) => this.dispatch({ type: 'checked', outcome }),
        );
        return;
      case 'apply':
        this.#cancel = this.#signaling.exchange(
          'portholeApplySettings',
          { ...this.#params, plan: effect.plan },
          none,
          (outcome) => this.dispatch({ type: 'applied', outcome }),
        );
    }
  }
}
