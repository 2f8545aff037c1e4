/** The time from the request of a session to its first picture, in its parts. */

import { t } from './text';
import type { Reached, Stage } from './viewer-contract';

export interface StartPart {
  readonly key: string;
  readonly title: string;
  readonly ms: number;
}

/** Stages in their order, with the name of the time that each takes. */
const PARTS: readonly (readonly [Stage, Stage, string])[] = [
  ['requesting', 'awaiting-offer', t('stats.start-server')],
  ['awaiting-offer', 'answering', t('stats.start-offer')],
  ['answering', 'checking', t('stats.start-answer')],
  ['checking', 'connected', t('stats.start-path')],
  ['connected', 'playing', t('stats.start-picture')],
];

/** Returns the parts, or none before the first picture. */
export function startParts(reached: Reached): StartPart[] {
  if (reached.playing === undefined) return [];
  return PARTS.flatMap(([from, to, title]) => {
    const [begin, end] = [reached[from], reached[to]];
    return begin === undefined || end === undefined ? [] : [{ key: from, title, ms: end - begin }];
  });
}

/** Returns the time of all parts together. */
export function totalMs(parts: readonly StartPart[]): number {
  return parts.reduce((sum, { ms }) => sum + ms, 0);
}
