/** The people, access tokens and claim codes of the server. */

import { doneText, linesOf, signedOutText } from '../core/removal';
import { codeName } from '../core/access-text';
import { t } from '../core/text';
import { api } from '../drivers/api';
import type { ClaimInfo, Gateway, Invitation, InvitationInfo, Removed } from '../protocol';
import type { ShareInfo, TokenInfo, UserAccess, UserInfo } from '../protocol';
import { attempt } from './attempt';
import { auth } from './auth.svelte';
import { SignIns } from './sign-ins.svelte';

export class AccessPage {
  /** `null` before the first list; the others are there with it. */
  users = $state.raw<readonly UserInfo[] | null>(null);
  tokens = $state.raw<readonly TokenInfo[]>([]);
  claims = $state.raw<readonly ClaimInfo[]>([]);
  invitations = $state.raw<readonly InvitationInfo[]>([]);
  shares = $state.raw<readonly ShareInfo[]>([]);
  gateways = $state.raw<readonly Gateway[]>([]);
  readonly signIns = new SignIns();
  error = $state<string | null>(null);
  /** A sentence about the last removal. */
  done = $state('');

  async load(): Promise<void> {
    this.error = await attempt(() => this.#reload());
  }

  async #reload(): Promise<void> {
    const [{ users }, { tokens }, { claims }, { gateways }, { invitations }, { shares }] =
      await Promise.all([
        api.users(),
        api.tokens(),
        api.claims(),
        api.gateways(),
        api.invitations(),
        api.shares(),
        this.signIns.reload(),
      ]);
    this.invitations = invitations;
    [this.users, this.tokens, this.claims, this.gateways] = [users, tokens, claims, gateways];
    this.shares = shares;
  }

  /** Returns one line for each thing that goes with a user. */
  async goesWithUser(user: UserInfo): Promise<string[]> {
    return linesOf(await api.removalOfUser(user), 'user');
  }

  /** Returns one line for each thing that goes with an access token. */
  async goesWithToken(token: TokenInfo): Promise<string[]> {
    return linesOf(await api.removalOfToken(token), 'token');
  }

  /** Forgets what was done, once another part of the page is shown. */
  forgetDone(): void {
    [this.done, this.signIns.done] = ['', ''];
  }

  /** Removes a user. Returns an error for people, or `null`. */
  removeUser(user: UserInfo): Promise<string | null> {
    return this.#end(
      () => api.removeUser(user),
      (removed) => doneText(user.name, removed),
    );
  }

  /** Signs a user out everywhere. Returns an error for people, or `null`. */
  signUserOut(user: UserInfo): Promise<string | null> {
    return this.#end(() => api.signUserOut(user), signedOutText);
  }

  /** Changes what a user may do. Returns an error for people, or `null`. */
  changeUser(user: UserInfo, access: UserAccess): Promise<string | null> {
    return this.#end(
      () => api.changeUser(user, access),
      () => t('person.changed', { name: user.name }),
    );
  }

  /** Makes a link with which a user sets a new password. Returns it, or an error for people. */
  async resetPassword(user: UserInfo): Promise<Invitation | { readonly error: string }> {
    try {
      const invitation = await api.resetPassword(user);
      void this.load();
      return invitation;
    } catch (error) {
      return { error: error instanceof Error ? error.message : String(error) };
    }
  }

  /** Takes the second factor off a user. Returns an error for people, or `null`. */
  takeFactorOff(user: UserInfo): Promise<string | null> {
    return attempt(async () => {
      await api.takeFactorOff(user);
      await this.#reload();
      this.done = t('person.factor-done', { name: user.name });
    });
  }

  /** Revokes an invitation. Returns an error for people, or `null`. */
  revokeInvitation(invitation: InvitationInfo): Promise<string | null> {
    return this.#end(
      () => api.revokeInvitation(invitation),
      () => t('removed.alone', { name: t('invitation.link-for', invitation) }),
    );
  }

  /** Revokes an access token. Returns an error for people, or `null`. */
  revokeToken(token: TokenInfo): Promise<string | null> {
    return this.#end(
      () => api.revokeToken(token),
      (removed) => doneText(token.name, removed),
    );
  }

  /** Revokes a share link. Returns an error for people, or `null`. */
  revokeShare(share: ShareInfo): Promise<string | null> {
    return this.#end(
      () => api.revokeShare(share),
      (removed) => doneText(share.name, { ...removed, shares: 0 }),
    );
  }

  /** Revokes a claim code. Returns an error for people, or `null`. */
  revokeClaim(claim: ClaimInfo): Promise<string | null> {
    return this.#end(
      () => api.revokeClaim(claim),
      () => t('removed.alone', { name: codeName(claim) }),
    );
  }

  #end(run: () => Promise<Removed>, text: (removed: Removed) => string): Promise<string | null> {
    return attempt(async () => {
      const removed = await run();
      // Whoever has signed out itself is not told how many browsers it had.
      await auth.load();
      if (auth.me == null) return;
      await this.#reload();
      this.done = text(removed);
    });
  }
}
