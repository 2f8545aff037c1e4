/** Things that are removed together with a user or an access token, in words. */

import type { ClaimInfo, InvitationInfo, Removed, ShareInfo } from '../protocol';
import type { TokenInfo, UserInfo } from '../protocol';
import { plural, t, type PluralKey } from './text';

/** The lists that a removal is looked up in. */
export interface Given {
  readonly tokens: readonly TokenInfo[];
  readonly claims: readonly ClaimInfo[];
  readonly invitations: readonly InvitationInfo[];
  readonly shares: readonly ShareInfo[];
}

/** Credentials that one user or token has given, that these have given on, and so on. */
export interface Belongings {
  readonly tokens: readonly TokenInfo[];
  readonly claims: number;
  readonly invitations: number;
  readonly shares: number;
}

/** So many access tokens are listed by name; the others are counted. */
const MAX_NAMED = 6;

/** Returns what is removed with a user or token, such as `user:3` or `token:7`. */
export function belongings(subject: string, given: Given): Belongings {
  const { tokens, claims, invitations, shares } = given;
  const subjects = new Set([subject]);
  const found: TokenInfo[] = [];
  // The set grows while it is walked through, and ends: no subject is in it twice.
  for (const giver of subjects) {
    for (const token of tokens.filter((one) => one.giverSubject === giver)) {
      found.push(token);
      subjects.add(`token:${token.id}`);
    }
  }
  const count = (all: readonly { readonly giverSubject?: string }[]) =>
    all.filter(({ giverSubject: giver }) => giver !== undefined && subjects.has(giver)).length;
  return {
    tokens: found,
    claims: count(claims),
    invitations: count(invitations),
    shares: count(shares),
  };
}

/** Returns one line for each thing that goes with a user. */
export function linesOfUser(user: UserInfo, given: Given): string[] {
  return [
    ...counted('removal.browsers', user.signIns),
    ...linesOf(belongings(`user:${user.id}`, given)),
  ];
}

/** Returns one line for each thing that goes with an access token. */
export function linesOfToken(token: TokenInfo, given: Given): string[] {
  return linesOf(belongings(`token:${token.id}`, given));
}

function linesOf({ tokens, claims, invitations, shares }: Belongings): string[] {
  const named = tokens.slice(0, MAX_NAMED).map(({ name }) => t('removal.token', { name }));
  return [
    ...named,
    ...counted('removal.more-tokens', tokens.length - named.length),
    ...counted('removal.claims', claims),
    ...counted('removal.invitations', invitations),
    ...counted('removal.shares', shares),
  ];
}

function counted(key: PluralKey, count: number): string[] {
  return count > 0 ? [plural(key, count)] : [];
}

/** Returns one sentence about what a request has ended besides its object. */
export function doneText(name: string, removed: Removed): string {
  const { users, tokens, claims, invitations, shares, signIns, sessions } = removed;
  const others = [
    ...counted('removed.tokens', users > 0 ? tokens : tokens - 1),
    ...counted('removed.claims', claims),
    ...counted('removed.invitations', invitations),
    ...counted('removed.shares', shares),
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
