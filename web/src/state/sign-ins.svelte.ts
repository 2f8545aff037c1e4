/** The browsers that are signed in: all for an administrator, else one's own. */

import { signedOutText } from '../core/removal';
import { inOrder } from '../core/access-text';
import { api } from '../drivers/api';
import type { Removed, SignInInfo } from '../protocol';
import { attempt } from './attempt';
import { auth } from './auth.svelte';

export class SignIns {
  /** `null` before the first list. */
  list = $state.raw<readonly SignInInfo[] | null>(null);
  error = $state<string | null>(null);
  /** A sentence about the last sign-out. */
  done = $state('');

  async load(): Promise<void> {
    this.error = await attempt(() => this.reload());
  }

  async reload(): Promise<void> {
    this.list = inOrder((await api.signIns()).signIns);
  }

  /** Returns the browsers of one user. */
  of(user: string): readonly SignInInfo[] {
    return (this.list ?? []).filter((one) => one.user === user);
  }

  /** Signs one browser out. Returns an error for people, or `null`. */
  signOut(one: SignInInfo): Promise<string | null> {
    return this.#end(() => api.signOutBrowser(one), one.current);
  }

  /** Signs this user out everywhere. Returns an error for people, or `null`. */
  signOutEverywhere(): Promise<string | null> {
    return this.#end(() => api.signOutEverywhere(), true);
  }

  #end(run: () => Promise<Removed>, isOwn: boolean): Promise<string | null> {
    return attempt(async () => {
      const removed = await run();
      if (isOwn) return auth.signedOut();
      await this.reload();
      this.done = signedOutText(removed);
    });
  }
}
