/** Lifetimes of access that is given, and in words until when it lasts. */

import * as format from './format';
import { t } from './text';

const HOUR_S = 3_600;
export const DAY_S = 24 * HOUR_S;

/** A time in seconds; `null`: without an end. */
export type Lifetime = number | null;

/** The choices, from the shortest to none. */
export const LIFETIMES: readonly { readonly lifetime: Lifetime; readonly text: string }[] = [
  { lifetime: HOUR_S, text: t('lifetime.hour') },
  { lifetime: DAY_S, text: t('lifetime.day') },
  { lifetime: 7 * DAY_S, text: t('lifetime.week') },
  { lifetime: 30 * DAY_S, text: t('lifetime.month') },
  { lifetime: 365 * DAY_S, text: t('lifetime.year') },
  { lifetime: null, text: t('lifetime.none') },
];

/** Returns until when something lasts; `nowS` is the time in seconds since 1970. */
export function endText(expiresS: number | undefined, nowS: number): string {
  if (expiresS === undefined) return t('access.no-end');
  return isOver(expiresS, nowS)
    ? t('access.over', { time: format.dateTime(expiresS) })
    : t('access.ends', { time: format.dateTime(expiresS) });
}

export function isOver(expiresS: number | undefined, nowS: number): boolean {
  return expiresS !== undefined && expiresS <= nowS;
}

/** Returns when something was used last. The server notes it to the minute. */
export function usedText(seenS: number | undefined, nowS: number): string {
  if (seenS === undefined) return t('access.never-used');
  const age = nowS - seenS;
  if (age < 120) return t('access.used-now');
  return t('access.used', { ago: format.ago(age) });
}
