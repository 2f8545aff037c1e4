/** A form that asks for the own password again: runs its state machine on a request. */

import { START, step, type Event, type State } from '../core/own-proof';
import { ApiError } from '../drivers/api';
import type { OwnProof } from '../protocol';

export class ProofForm {
  state = $state.raw<State>(START);
  readonly #send: (proof: OwnProof) => Promise<void>;

  constructor(send: (proof: OwnProof) => Promise<void>) {
    this.#send = send;
  }

  dispatch(event: Event): void {
    const { state, effects } = step(this.state, event);
    this.state = state;
    for (const { proof } of effects) void this.#run(proof);
  }

  async #run(proof: OwnProof): Promise<void> {
    try {
      await this.#send(proof);
      this.dispatch({ type: 'done' });
    } catch (caught) {
      const error = caught instanceof Error ? caught.message : String(caught);
      const needsCode = caught instanceof ApiError && caught.needsCode;
      this.dispatch({ type: 'refused', error, needsCode });
    }
  }
}
