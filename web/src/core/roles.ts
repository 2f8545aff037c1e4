/** The roles of people and access tokens. */

import type { Role } from '../protocol';
import { t } from './text';

/** Returns true for a role that may see and change who has access. */
export function administers(role: Role): boolean {
  switch (role) {
    case 'owner':
    case 'admin':
      return true;
    case 'viewer':
      return false;
  }
}

/** Returns the roles that somebody may give to others, and whose people it may change. */
export function rolesToGive(role: Role): readonly Role[] {
  switch (role) {
    case 'owner':
      return ['viewer', 'admin', 'owner'];
    case 'admin':
      return ['viewer', 'admin'];
    case 'viewer':
      return [];
  }
}

export function roleName(role: Role): string {
  switch (role) {
    case 'owner':
      return t('account.owner');
    case 'admin':
      return t('account.admin');
    case 'viewer':
      return t('account.viewer');
  }
}

/** Returns one sentence about what a role may do. */
export function roleText(role: Role): string {
  switch (role) {
    case 'owner':
      return t('account.owner-text');
    case 'admin':
      return t('account.admin-text');
    case 'viewer':
      return t('account.viewer-text');
  }
}
