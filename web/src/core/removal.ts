/** Things that are removed together with a user or an access token, in words. */

import type { ClaimInfo, Removed, TokenInfo, UserInfo } from '../protocol';
import { plural, t, type PluralKey } from './text';

/** The lists that a removal is looked up in. */
export interface Given {
  readonly users: readonly UserInfo[];
  readonly tokens: readonly TokenInfo[];
  readonly claims: readonly ClaimInfo[];
}

/** Credentials that one user or token has given, that these have given on, and so on. */
export interface Belongings {
  readonly tokens: readonly TokenInfo[];
  readonly claims: number;
  /** True if somebody else has one of the names, so that some of it may stay. */
  readonly isUnclear: boolean;
}

/** So many access tokens are listed by name; the others are counted. */
const MAX_NAMED = 6;

/** The giver of what was given with a command on the host. */
const OPERATOR = 'operator';

/** Returns what is removed with a user or token, by the names that the lists have. */
export function belongings(name: string, { users, tokens, claims }: Given): Belongings {
  const names = new Set([name]);
  const found = new Set<TokenInfo>();
  // The set grows while it is walked through, and ends: no name is in it twice.
  for (const giver of names) {
    for (const token of tokens.filter((one) => one.giver === giver)) {
      found.add(token);
      names.add(token.name);
    }
  }
  const all = [OPERATOR, ...users.map((one) => one.name), ...tokens.map((one) => one.name)];
  return {
    tokens: [...found],
    claims: claims.filter(({ giver }) => giver !== undefined && names.has(giver)).length,
    isUnclear: all.filter((one) => names.has(one)).length > names.size,
  };
}

/** Returns one line for each thing that goes with a user. */
export function linesOfUser(user: UserInfo, given: Given): string[] {
  return [...counted('removal.browsers', user.signIns), ...linesOf(belongings(user.name, given))];
}

/** Returns one line for each thing that goes with an access token. */
export function linesOfToken(token: TokenInfo, given: Given): string[] {
  const { tokens, ...others } = belongings(token.name, given);
  return linesOf({ ...others, tokens: tokens.filter((one) => one !== token) });
}

function linesOf({ tokens, claims, isUnclear }: Belongings): string[] {
  const named = tokens.slice(0, MAX_NAMED).map(({ name }) => t('removal.token', { name }));
  return [
    ...named,
    ...counted('removal.more-tokens', tokens.length - named.length),
    ...counted('removal.claims', claims),
    ...(isUnclear && tokens.length + claims > 0 ? [t('removal.unclear')] : []),
  ];
}

function counted(key: PluralKey, count: number): string[] {
  return count > 0 ? [plural(key, count)] : [];
}

/** Returns one sentence about what a request has ended besides its object. */
export function doneText(name: string, removed: Removed): string {
  const { users, tokens, claims, invitations, signIns, sessions } = removed;
  const others = [
    ...counted('removed.tokens', users > 0 ? tokens : tokens - 1),
    ...counted('removed.claims', claims),
    ...counted('removed.invitations', invitations),
    ...counted('removed.browsers', signIns),
    ...counted('removed.pictures', sessions),
  ];
  if (others.length === 0) return t('removed.alone', { name });
  return t('removed.with', { name, others: others.join(t('removed.and')) });
}

/** Returns one sentence about browsers that were signed out. */
export function signedOutText({ signIns, sessions }: Removed): string {
  const browsers = plural('signed-out.browsers', signIns);
  return sessions === 0 ? browsers : `${browsers} ${plural('signed-out.pictures', sessions)}`;
}
