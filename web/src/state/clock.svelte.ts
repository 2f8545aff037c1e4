/** The time of day, for texts such as "2 min ago". */

import { createSubscriber } from 'svelte/reactivity';

const TICK_MS = 5_000;

class Clock {
  readonly #subscribe = createSubscriber((update) => {
    const timer = setInterval(update, TICK_MS);
    return () => clearInterval(timer);
  });

  /** Milliseconds since 1970; effects that read it run again every few seconds. */
  get now(): number {
    this.#subscribe();
    return Date.now();
  }
}

export const clock = new Clock();
