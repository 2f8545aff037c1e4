/** What every state machine here has in common. */

/** What a machine may not find out by itself. */
export interface Env {
  /** Milliseconds on a clock that never goes back. */
  readonly now: number;
  /** A fresh number in [0, 1). */
  readonly random: number;
}

export interface Step<State, Effect> {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/** The earliest of some moments, of which any may be absent. */
export function earliest(...moments: readonly (number | null)[]): number | null {
  const set = moments.filter((moment) => moment !== null);
  return set.length === 0 ? null : Math.min(...set);
}
