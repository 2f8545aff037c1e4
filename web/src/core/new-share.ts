/** The form for a new share link. */

import type { Camera, NewShare } from '../protocol';
import type { Cap } from './cap';
import type { Form, Problems } from './giving';
import { DAY_S } from './lifetime';
import { t } from './text';

export interface ShareDraft {
  readonly name: string;
  readonly lifetimeS: number;
  /** Empty: the link asks for no password. */
  readonly password: string;
  readonly listen: boolean;
  readonly kiosk: boolean;
  readonly cap: Cap;
}

/** The most cameras that the server takes for one link. */
export const MAX_SHARED = 16;
const MIN_PASSWORD_CHARS = 10;

/** The longest lifetime: every link ends. */
export const LONGEST_SHARE_S = 365 * DAY_S;

/** Returns the form for a link to these cameras, whose name is proposed. */
export function shareForm(name: string, cameras: readonly Camera[]): Form<ShareDraft, NewShare> {
  return {
    empty: { name, lifetimeS: DAY_S, password: '', listen: false, kiosk: false, cap: null },
    problemsOf(draft): Problems<ShareDraft> {
      const isWeak = draft.password !== '' && [...draft.password].length < MIN_PASSWORD_CHARS;
      return {
        ...(draft.name.trim() === '' && { name: t('new-share.name-missing') }),
        ...(isWeak && { password: t('setup.password-short', { count: MIN_PASSWORD_CHARS }) }),
      };
    },
    bodyOf({ name: chosen, lifetimeS, password, listen, kiosk, cap }): NewShare {
      return {
        name: chosen.trim(),
        cameras: cameras.map(({ id, gateway }) => ({ camera: `${id}@${gateway}`, listen })),
        expiresInSeconds: lifetimeS,
        ...(password !== '' && { password }),
        ...(cap !== null && { maxKbitPerS: cap }),
        kiosk,
      };
    },
  };
}
