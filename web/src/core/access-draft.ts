/** Rights of a person, as they are chosen in a form. */

import type { CameraAddress, CameraGrant, Role, UserAccess } from '../protocol';
import { administers } from './roles';
import { t } from './text';

export interface AccessDraft {
  readonly role: Role;
  /** False: for all cameras, also those that come later. */
  readonly limited: boolean;
  readonly cameras: readonly CameraAddress[];
  readonly control: boolean;
  readonly listen: boolean;
}

export const WATCHING: AccessDraft = {
  role: 'viewer',
  limited: false,
  cameras: [],
  control: false,
  listen: true,
};

/** Returns the sentence about the cameras if they are wrong. */
export function camerasProblem({ role, limited, cameras }: AccessDraft): string | null {
  const isMissing = !administers(role) && limited && cameras.length === 0;
  return isMissing ? t('new-token.cameras-missing') : null;
}

/** Returns the choices that a person has now. */
export function draftOf({ role, limited, cameras, listen, control }: UserAccess): AccessDraft {
  if (!limited) return { ...WATCHING, role, listen: listen ?? true, control: control ?? false };
  return {
    role,
    limited,
    cameras: cameras.map(({ camera }) => camera),
    listen: cameras.every((one) => one.listen ?? true),
    control: cameras.length > 0 && cameras.every((one) => one.control ?? false),
  };
}

/**
 * Returns the rights of a person. A camera that it had before keeps what differs from the other
 * cameras, unless that was changed for all of them.
 */
export function accessOf(draft: AccessDraft, before?: UserAccess): UserAccess {
  const { role, limited, cameras, listen, control } = draft;
  if (administers(role)) return { role, limited: false, cameras: [], listen: true, control: true };
  if (!limited) return { role, limited, cameras: [], listen, control };
  const former = before === undefined ? null : draftOf(before);
  const grants = cameras.map((camera): CameraGrant => {
    const had = before?.cameras.find((one) => one.camera === camera);
    return {
      camera,
      listen: former?.listen === listen ? (had?.listen ?? listen) : listen,
      control: former?.control === control ? (had?.control ?? control) : control,
    };
  });
  return { role, limited, cameras: grants, listen: true, control: false };
}
