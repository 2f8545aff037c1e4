/** Runs a state machine of `../core`: supplies the clock, keeps its timer, applies its effects. */

import type { Env, Step } from '../core/machine';

export interface Machine<State, Event, Effect> {
  readonly step: (state: State, event: Event, env: Env) => Step<State, Effect>;
  readonly nextTimeout: (state: State) => number | null;
  /** The event to dispatch at the time of `nextTimeout`. */
  readonly timeout: NoInfer<Event>;
}

export class Runner<State, Event, Effect> {
  readonly #machine: Machine<State, Event, Effect>;
  readonly #apply: (effect: Effect) => void;
  readonly #onChange: (state: State) => void;
  readonly #queue: Event[] = [];
  #running = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  state: State;

  constructor(
    machine: Machine<State, Event, Effect>,
    initialState: State,
    apply: (effect: Effect) => void,
    onChange: (state: State) => void,
  ) {
    this.#machine = machine;
    this.#apply = apply;
    this.#onChange = onChange;
    this.state = initialState;
  }

  /** Handles an event. If an effect dispatches another one, it waits for the effects before it. */
  dispatch(event: Event): void {
    this.#queue.push(event);
    if (this.#running) return;
    this.#running = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        this.#handle(next);
      }
    } finally {
      this.#running = false;
    }
    this.#onChange(this.state);
    this.#scheduleTimeout();
  }

  #handle(event: Event): void {
    const env = { now: performance.now(), random: Math.random() };
    const { state, effects } = this.#machine.step(this.state, event, env);
    this.state = state;
    for (const effect of effects) this.#apply(effect);
  }

  #scheduleTimeout(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const at = this.#machine.nextTimeout(this.state);
    if (at === null) return;
    const wait = Math.max(0, at - performance.now());
    this.#timer = setTimeout(() => this.dispatch(this.#machine.timeout), wait + 1);
  }
}
