/** The logins of cameras that were typed on this page, to offer them again. In memory only. */

import type { KnownLogin } from '../core/wizard-contract';

let logins: readonly KnownLogin[] = [];

export function knownLogins(): readonly KnownLogin[] {
  return logins;
}

export function rememberLogins(typed: readonly KnownLogin[]): void {
  logins = typed;
}

/** Forgets them, when the person signs out. */
export function forgetLogins(): void {
  logins = [];
}
