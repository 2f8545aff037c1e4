/** The people, access tokens and claim codes of the server. */

import { doneText, signedOutText, type Given } from '../core/removal';
import { codeName } from '../core/access-text';
import { t } from '../core/text';
import { api } from '../drivers/api';
import type { ClaimInfo, Gateway, Removed, TokenInfo, UserInfo } from '../protocol';
import { attempt } from './attempt';
import { auth } from './auth.svelte';
import { SignIns } from './sign-ins.svelte';

export class AccessPage {
  /** `null` before the first list; the others are there with it. */
  users = $state.raw<readonly UserInfo[] | null>(null);
  tokens = $state.raw<readonly TokenInfo[]>([]);
  claims = $state.raw<readonly ClaimInfo[]>([]);
  gateways = $state.raw<readonly Gateway[]>([]);
  readonly signIns = new SignIns();
  error = $state<string | null>(null);
  /** A sentence about the last removal. */
  done = $state('');

  async load(): Promise<void> {
    this.error = await attempt(() => this.#reload());
  }

  async #reload(): Promise<void> {
    const [{ users }, { tokens }, { claims }, { gateways }] = await Promise.all([
      api.users(),
      api.tokens(),
      api.claims(),
      api.gateways(),
      this.signIns.reload(),
    ]);
    [this.users, this.tokens, this.claims, this.gateways] = [users, tokens, claims, gateways];
  }

  /** Returns the lists that a removal is looked up in. */
  get given(): Given {
    return { users: this.users ?? [], tokens: this.tokens, claims: this.claims };
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

  /** Revokes an access token. Returns an error for people, or `null`. */
  revokeToken(token: TokenInfo): Promise<string | null> {
    return this.#end(
      () => api.revokeToken(token),
      (removed) => doneText(token.name, removed),
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
