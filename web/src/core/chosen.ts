/** Words for the picture that the gateway has chosen. */

import type { Camera, ShownParams } from '../protocol';
import * as format from './format';
import { t } from './text';

/** Returns what is shown, and why it is not more. */
export function chosenText({ picture, reason, kbitPerS }: ShownParams): string {
  const name = t(`chosen.${picture}`);
  if (reason === undefined) return name;
  if (kbitPerS === undefined) return t(`chosen.${reason}`, { picture: name });
  const rate = format.bitrate(kbitPerS * 1000);
  return t(`chosen.${reason}-rate`, { picture: name, rate });
}

/** Returns the notice over a picture that is smaller, or comes more rarely, than it could be. */
export function chosenNotice(chosen: ShownParams | null): string | null {
  // A picture that stands has its sentence on it.
  const isLess = chosen?.picture === 'sub' || chosen?.picture === 'keyFrames';
  return chosen !== null && isLess ? chosenText(chosen) : null;
}

/** Returns whether a low-resolution stream is what would help on this viewer's line. */
export function lacksSubStream(chosen: ShownParams | null, { streams }: Camera): boolean {
  const isLess = chosen?.picture === 'keyFrames' || chosen?.picture === 'still';
  return isLess && chosen.reason !== undefined && !streams?.some(({ role }) => role === 'sub');
}
