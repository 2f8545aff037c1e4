/** Who is signed in. */

import { api } from '../perform/api';
import type { Me, Setup, SignIn } from '../protocol';

class Session {
  /** `undefined` until the server has said. */
  me = $state<Me | null | undefined>(undefined);
  /** Why the server has not said. */
  trouble = $state<string | null>(null);

  async load(): Promise<void> {
    try {
      this.me = await api.me();
      this.trouble = null;
    } catch (error) {
      this.trouble = error instanceof Error ? error.message : String(error);
    }
  }

  async signIn(body: SignIn): Promise<void> {
    this.me = await api.signIn(body);
  }

  async setUp(body: Setup): Promise<void> {
    this.me = await api.setUp(body);
  }

  async signOut(): Promise<void> {
    await api.signOut();
    this.me = null;
  }

  /** The server does not know the cookie any more. */
  ended(): void {
    this.me = null;
  }
}

export const session = new Session();
