/** Gives a machine of `../core` its clock, its timer and its turn. */

import type { Env, Step } from '../core/machine';

export interface Machine<State, Event, Effect> {
  readonly step: (state: State, event: Event, env: Env) => Step<State, Effect>;
  readonly wakeAt: (state: State) => number | null;
  readonly tick: NoInfer<Event>;
}

export class Runner<State, Event, Effect> {
  readonly #machine: Machine<State, Event, Effect>;
  readonly #perform: (effect: Effect) => void;
  readonly #changed: (state: State) => void;
  readonly #waiting: Event[] = [];
  #running = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  state: State;

  constructor(
    machine: Machine<State, Event, Effect>,
    start: State,
    perform: (effect: Effect) => void,
    changed: (state: State) => void,
  ) {
    this.#machine = machine;
    this.#perform = perform;
    this.#changed = changed;
    this.state = start;
  }

  /** What an effect causes at once waits until the effects before it are done. */
  dispatch(event: Event): void {
    this.#waiting.push(event);
    if (this.#running) return;
    this.#running = true;
    try {
      for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
        this.#one(next);
      }
    } finally {
      this.#running = false;
    }
    this.#changed(this.state);
    this.#schedule();
  }

  #one(event: Event): void {
    const env = { now: performance.now(), random: Math.random() };
    const { state, effects } = this.#machine.step(this.state, event, env);
    this.state = state;
    for (const effect of effects) this.#perform(effect);
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const at = this.#machine.wakeAt(this.state);
    if (at === null) return;
    const wait = Math.max(0, at - performance.now());
    this.#timer = setTimeout(() => this.dispatch(this.#machine.tick), wait + 1);
  }
}
