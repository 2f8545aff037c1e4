/** The form to sign in: runs its state machine on the REST interface. */

import { START, step, type Event, type State } from '../core/sign-in';
import { ApiError } from '../drivers/api';
import type { SignIn } from '../protocol';
import { auth } from './auth.svelte';

export class SignInForm {
  state = $state.raw<State>(START);

  dispatch(event: Event): void {
    const { state, effects } = step(this.state, event);
    this.state = state;
    for (const { body } of effects) void this.#signIn(body);
  }

  async #signIn(body: SignIn): Promise<void> {
    try {
      await auth.signIn(body);
    } catch (caught) {
      const error = caught instanceof Error ? caught.message : String(caught);
      const { status, needsCode } =
        caught instanceof ApiError ? caught : { status: 0, needsCode: false };
      this.dispatch({ type: 'refused', refusal: { status, error, needsCode } });
    }
  }
}
