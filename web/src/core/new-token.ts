/** The form for a new access token. */

import type { CameraAddress, NewToken, Role } from '../protocol';
import type { Form, Problems } from './giving';
import { DAY_S, type Lifetime } from './lifetime';
import { t } from './text';

export interface TokenDraft {
  readonly name: string;
  readonly role: Role;
  /** False: for all cameras, also those that come later. */
  readonly limited: boolean;
  readonly cameras: readonly CameraAddress[];
  readonly control: boolean;
  readonly listen: boolean;
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
    lifetime: 30 * DAY_S,
  },
  problemsOf({ name, limited, cameras }): Problems<TokenDraft> {
    return {
      ...(name.trim() === '' && { name: t('new-token.name-missing') }),
      ...(limited && cameras.length === 0 && { cameras: t('new-token.cameras-missing') }),
    };
  },
  bodyOf({ name, role, limited, cameras, control, listen, lifetime }): NewToken {
    // An administrator of cameras may do all with them anyway.
    const isViewer = role === 'viewer';
    return {
      name: name.trim(),
      role,
      cameras: limited ? [...cameras] : [],
      control: isViewer && control,
      listen: isViewer ? listen : true,
      ...(lifetime !== null && { expiresInSeconds: lifetime }),
    };
  },
};
