/** A form that gives access to somebody: runs its state machine on the REST interface. */

import { CLOSED, stepOf, type Event, type Form, type State } from '../core/giving';
import { attempt } from './attempt';

export class Giving<Draft, Body> {
  state = $state.raw<State<Draft>>(CLOSED);
  readonly #step;
  readonly #create: (body: Body) => Promise<string>;
  readonly #reload: () => Promise<void>;

  /** `create` returns the secret; `reload` loads the list that has it then. */
  constructor(
    form: Form<Draft, Body>,
    create: (body: Body) => Promise<string>,
    reload: () => Promise<void>,
  ) {
    this.#step = stepOf(form);
    this.#create = create;
    this.#reload = reload;
  }

  dispatch(event: Event<Draft>): void {
    const { state, effects } = this.#step(this.state, event);
    this.state = state;
    for (const effect of effects) {
      if (effect.type === 'create') void this.#run(effect.body);
      else void this.#reload();
    }
  }

  async #run(body: Body): Promise<void> {
    let secret = '';
    const error = await attempt(async () => void (secret = await this.#create(body)));
    this.dispatch(error === null ? { type: 'created', secret } : { type: 'refused', error });
  }
}
