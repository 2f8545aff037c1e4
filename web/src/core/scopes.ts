/** The scopes of access tokens: parts of what administrators may do. */

import type { Scope } from '../protocol';
import { t } from './text';

/** All scopes, in the order in which they are shown. */
export const SCOPES: readonly Scope[] = ['watch', 'gateways', 'people', 'shares', 'read', 'audit'];

/** Returns true for a scope that is for the whole server, and not for some cameras. */
export function isOfServer(scope: Scope): boolean {
  switch (scope) {
    case 'gateways':
    case 'audit':
      return true;
    case 'watch':
    case 'people':
    case 'shares':
    case 'read':
      return false;
  }
}

/** Returns what a token with the scope may do. */
export function scopeText(scope: Scope): string {
  switch (scope) {
    case 'watch':
      return t('scope.watch');
    case 'gateways':
      return t('scope.gateways');
    case 'people':
      return t('scope.people');
    case 'shares':
      return t('scope.shares');
    case 'read':
      return t('scope.read');
    case 'audit':
      return t('scope.audit');
  }
}
