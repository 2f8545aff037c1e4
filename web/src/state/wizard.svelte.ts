/** The page on which a camera is added or changed. */

import { newAddress } from '../core/streams';
import { initialState } from '../core/wizard';
import type { Purpose, WizardEvent, WizardState } from '../core/wizard-contract';
import { Wizard } from '../drivers/wizard';
import { live } from './live.svelte';
import { knownLogins, rememberLogins } from './logins';
import { moveThumbnail } from './thumbnails.svelte';

export class WizardPage {
  state = $state.raw<WizardState>(initialState({ kind: 'add' }, []));
  readonly #wizard: Wizard;
  #isStarted = false;

  constructor(purpose: Purpose) {
    this.state = initialState(purpose, knownLogins());
    this.#wizard = new Wizard(purpose, knownLogins(), live.signaling, {
      changed: (state) => this.#handleChange(state),
      remember: rememberLogins,
    });
  }

  /** Starts once the server is connected; a later call changes nothing. */
  start(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.dispatch({ type: 'start' });
  }

  stop(): void {
    this.dispatch({ type: 'stop' });
  }

  readonly dispatch = (event: WizardEvent): void => this.#wizard.dispatch(event);

  #handleChange(state: WizardState): void {
    const gateway = state.gateway ?? '';
    for (const { camera, savedAs } of state.targets.flatMap(({ choices }) => choices)) {
      if (savedAs === null) continue;
      moveThumbnail(`${camera.id}@${gateway}`, newAddress(live.cameras ?? [], savedAs, gateway));
    }
    this.state = state;
  }
}
