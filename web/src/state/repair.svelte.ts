/** The dialog in which the settings of a camera are put right. */

import { initialState } from '../core/repair';
import type { RepairState } from '../core/repair';
import { Repair } from '../drivers/repair';
import type { CameraParams } from '../protocol';
import { live } from './live.svelte';

export class RepairDialog {
  state = $state.raw<RepairState>(initialState());
  readonly #repair: Repair;

  constructor(params: CameraParams) {
    this.#repair = new Repair(params, live.signaling, (state) => (this.state = state));
  }

  readonly check = (): void => this.#repair.dispatch({ type: 'check' });
  readonly apply = (): void => this.#repair.dispatch({ type: 'apply' });
  readonly stop = (): void => this.#repair.stop();
}
