/** Limits of what is sent for an access token or a share link. */

import * as format from './format';
import { t } from './text';

/** A rate in kbit/s; `null`: without a limit. */
export type Cap = number | null;

/** The choices, from none to the largest. */
export const CAPS: readonly { readonly value: Cap; readonly text: string }[] = [
  { value: null, text: t('cap.none') },
  ...[500, 1000, 2000, 4000].map((value) => ({ value, text: format.bitrate(value * 1000) })),
];

/** Returns the limit as a fact of a list; nothing without one. */
export function capFacts(maxKbitPerS: number | undefined): string[] {
  if (maxKbitPerS === undefined) return [];
  return [t('cap.fact', { rate: format.bitrate(maxKbitPerS * 1000) })];
}
