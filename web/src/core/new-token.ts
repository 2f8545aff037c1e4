/** The form for a new access token. */

import type { CameraAddress, NewToken, Role, Scope } from '../protocol';
import type { Cap } from './cap';
import type { Form, Problems } from './giving';
import { DAY_S, type Lifetime } from './lifetime';
import { isOfServer } from './scopes';
import { t } from './text';

export interface TokenDraft {
  readonly name: string;
  readonly role: Role;
  /** False: for all cameras, also those that come later. */
  readonly limited: boolean;
  readonly cameras: readonly CameraAddress[];
  readonly control: boolean;
  readonly listen: boolean;
  /** The parts of what administrators may do; `null` for everything. */
  readonly scopes: readonly Scope[] | null;
  readonly cap: Cap;
  readonly lifetime: Lifetime;
}

export const TOKEN_FORM: Form<TokenDraft, NewToken> = {
  empty: {
    name: '',
    role: 'viewer',
    limited: false,
    cameras: [],
    control: false,
    listen: true,
    scopes: null,
    cap: null,
    lifetime: 30 * DAY_S,
  },
  problemsOf({ name, role, limited, cameras, scopes }): Problems<TokenDraft> {
    const chosen = role === 'viewer' ? null : scopes;
    return {
      ...(name.trim() === '' && { name: t('new-token.name-missing') }),
      ...(limited && cameras.length === 0 && { cameras: t('new-token.cameras-missing') }),
      ...(limited && chosen?.some(isOfServer) && { scopes: t('new-token.scopes-of-server') }),
      ...(chosen?.length === 0 && { scopes: t('new-token.scopes-missing') }),
    };
  },
  bodyOf({ name, role, limited, cameras, control, listen, scopes, cap, lifetime }): NewToken {
    // An administrator of cameras may do all with them anyway.
    const isViewer = role === 'viewer';
    return {
      name: name.trim(),
      role,
      cameras: limited ? [...cameras] : [],
      control: isViewer && control,
      listen: isViewer ? listen : true,
      ...(!isViewer && scopes !== null && { scopes: [...scopes] }),
      ...(cap !== null && { maxKbitPerS: cap }),
      ...(lifetime !== null && { expiresInSeconds: lifetime }),
    };
  },
};
