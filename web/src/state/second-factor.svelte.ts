/** The second factor of the account: runs its state machine on the REST interface. */

import { step, type Effect, type Event, type State } from '../core/second-factor';
import { api } from '../drivers/api';
import { attempt } from './attempt';

export class SecondFactorCard {
  state = $state.raw<State>({ phase: 'loading' });
  /** The error of the last load, if it failed. */
  error = $state<string | null>(null);

  async load(): Promise<void> {
    this.error = await attempt(async () =>
      this.dispatch({ type: 'loaded', factor: await api.secondFactor() }),
    );
  }

  dispatch(event: Event): void {
    const { state, effects } = step(this.state, event);
    this.state = state;
    for (const effect of effects) void this.#apply(effect);
  }

  async #apply(effect: Effect): Promise<void> {
    if (effect.type === 'load') return this.load();
    const error = await attempt(async () => this.dispatch(await request(effect)));
    if (error !== null) this.dispatch({ type: 'refused', error });
  }
}

async function request(effect: Exclude<Effect, { type: 'load' }>): Promise<Event> {
  switch (effect.type) {
    case 'start': {
      const { password } = effect;
      return { type: 'secret', totp: await api.startSecondFactor({ password }) };
    }
    case 'confirm': {
      const { code } = effect;
      return { type: 'confirmed', codes: (await api.confirmSecondFactor({ code })).codes };
    }
    case 'end': {
      const { password, code } = effect;
      await api.endSecondFactor({ password, code });
      return { type: 'ended' };
    }
  }
}
