/** The candidate pairs of a connection: what was tried, what works and what is used. */

import { pathOf, type CandidateInfo, type Path } from './path';
import { t } from './text';

/** Most pairs that are shown; a machine with many addresses has dozens. */
export const MAX_SHOWN = 8;

export interface Pair {
  readonly path: Path;
  readonly state: PairState;
  readonly rttMs: number | null;
}

export type PairState = 'used' | 'works' | 'trying' | 'waiting' | 'failed';

const ORDER: readonly PairState[] = ['used', 'works', 'trying', 'waiting', 'failed'];
const OF_STATS: ReadonlyMap<unknown, PairState> = new Map([
  ['succeeded', 'works'],
  ['in-progress', 'trying'],
  ['failed', 'failed'],
]);
const WORDS: Record<PairState, string> = {
  used: t('stats.pair-used'),
  works: t('stats.pair-works'),
  trying: t('stats.pair-trying'),
  waiting: t('stats.pair-waiting'),
  failed: t('stats.pair-failed'),
};

/** Returns a pair; `state` is that of `RTCIceCandidatePairStats`. */
export function pairOf(
  local: CandidateInfo,
  remote: CandidateInfo,
  state: unknown,
  used: boolean,
  rttMs: number | null,
): Pair {
  const known = OF_STATS.get(state) ?? 'waiting';
  return { path: pathOf(local, remote), state: used ? 'used' : known, rttMs };
}

/** Returns the pairs that are shown, the best first, and how many more there are. */
export function shownPairs(pairs: readonly Pair[]): { shown: Pair[]; more: number } {
  const rank = ({ state }: Pair) => ORDER.indexOf(state);
  const sorted = [...pairs].sort((one, other) => rank(one) - rank(other));
  return { shown: sorted.slice(0, MAX_SHOWN), more: Math.max(0, pairs.length - MAX_SHOWN) };
}

export function pairStateText({ state }: Pair): string {
  return WORDS[state];
}
