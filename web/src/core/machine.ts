/** The contract of every state machine in this folder. */

/** The inputs that a machine cannot compute: time and randomness. */
export interface Env {
  /** Current time in milliseconds, on a clock that never goes back. */
  readonly now: number;
  /** A fresh random number in [0, 1). */
  readonly random: number;
}

/** The outcome of one event: the next state, and the effects for the driver to apply in order. */
export interface Step<State, Effect> {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/** Returns the earliest of the times that are set, or `null` if none is. */
export function earliest(...times: readonly (number | null)[]): number | null {
  const set = times.filter((time) => time !== null);
  return set.length === 0 ? null : Math.min(...set);
}
