/** The form for an invitation, and the link that comes of it. */

import type { Invitation, NewInvitation } from '../protocol';
import { accessOf, camerasProblem, WATCHING, type AccessDraft } from './access-draft';
import type { Form, Problems } from './giving';
import { DAY_S, type Lifetime } from './lifetime';
import { t } from './text';

export interface InvitationDraft extends AccessDraft {
  readonly name: string;
  readonly lifetime: Lifetime;
}

/** The longest lifetime of a link in seconds, which is the server's own limit. */
export const LONGEST_INVITATION_S = 30 * DAY_S;

export const INVITATION_FORM: Form<InvitationDraft, NewInvitation> = {
  empty: { ...WATCHING, name: '', lifetime: 7 * DAY_S },
  problemsOf(draft): Problems<InvitationDraft> {
    const cameras = camerasProblem(draft);
    return {
      ...(draft.name.trim() === '' && { name: t('invitation.name-missing') }),
      ...(cameras !== null && { cameras }),
    };
  },
  bodyOf({ name, lifetime, ...access }): NewInvitation {
    return {
      name: name.trim(),
      ...accessOf(access),
      ...(lifetime !== null && { expiresInSeconds: lifetime }),
    };
  },
};

/** Returns the whole link; `root` is the address of the dashboard without a slash at its end. */
export function linkOf(root: string, { path }: Invitation): string {
  return root + path;
}
