/** Things that are removed together with another, in words. */

import type { Foreseen, Removed } from '../protocol';
import { plural, t, type PluralKey } from './text';

/** The kinds of things whose removal the server can tell about before it is done. */
export type Removable = 'user' | 'token' | 'gateway' | 'camera';

/** So many of one kind are listed by name; the others are counted. */
const MAX_NAMED = 6;

/** Returns the lines about everything that goes with a thing, which is counted as well. */
export function linesOf({ removed, names }: Foreseen, what: Removable): string[] {
  const { signIns, claims, cameras, grants, sessions } = removed;
  const tokens = removed.tokens - (what === 'token' ? 1 : 0);
  return [
    ...counted('removal.browsers', signIns),
    ...(what === 'gateway' ? counted('removal.cameras', cameras) : []),
    ...named('removal.token', names.tokens, 'removal.more-tokens', tokens),
    ...counted('removal.claims', claims),
    ...named(
      'removal.invitation',
      names.invitations,
      'removal.more-invitations',
      removed.invitations,
    ),
    ...named('removal.share', names.shares, 'removal.more-shares', removed.shares),
    ...counted('removal.grants', grants),
    ...counted('removal.pictures', sessions),
  ];
}

function named(
  one: 'removal.token' | 'removal.invitation' | 'removal.share',
  names: readonly string[],
  more: PluralKey,
  count: number,
): string[] {
  const listed = names.slice(0, MAX_NAMED).map((name) => t(one, { name }));
  return [...listed, ...counted(more, count - listed.length)];
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
