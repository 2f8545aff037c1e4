/** The signed-in user. */

import { api } from '../drivers/api';
import type { AcceptInvitation, Me, Setup, SignIn } from '../protocol';

class Auth {
  /** The signed-in user, `null` if nobody is signed in, `undefined` before the server answered. */
  me = $state<Me | null | undefined>(undefined);
  /** The error of the last `load`, if it failed. */
  error = $state<string | null>(null);

  /** Asks the server who is signed in. */
  async load(): Promise<void> {
    try {
      this.me = await api.me();
      this.error = null;
    } catch (error) {
      this.error = error instanceof Error ? error.message : String(error);
    }
  }

  /** True after the first administrator was created on this page, until the wall has seen it. */
  isFirstRun = false;

  async signIn(body: SignIn): Promise<void> {
    this.me = await api.signIn(body);
  }

  /** Notes that somebody has signed in on another way. */
  signedIn(me: Me): void {
    this.me = me;
  }

  async setUp(body: Setup): Promise<void> {
    this.me = await api.setUp(body);
    this.isFirstRun = true;
  }

  /**
   * Accepts an invitation. Returns true if its user is signed in then: with a second factor, it
   * still has to.
   */
  async accept(body: AcceptInvitation): Promise<boolean> {
    const me = await api.accept(body);
    if (me !== null) this.me = me;
    return me !== null;
  }

  async signOut(): Promise<void> {
    await api.signOut();
    this.me = null;
    this.isFirstRun = false;
  }

  /** Notes that the server no longer accepts the session cookie. */
  signedOut(): void {
    this.me = null;
  }
}

export const auth = new Auth();
