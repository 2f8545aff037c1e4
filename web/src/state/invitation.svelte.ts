/** A link that invites a person, or lets one set a new password. */

import { t } from '../core/text';
import { api, ApiError } from '../drivers/api';
import type { InvitationOffer } from '../protocol';
import { auth } from './auth.svelte';

const FORBIDDEN = 403;

/**
 * The states of a link: `unread` until the server has said what it offers, `open` until it is
 * accepted, `used` once its user is signed in, `set` if it still has to sign in, and `invalid`.
 */
export type Phase = 'unread' | 'open' | 'used' | 'set' | 'invalid';

export class InvitationLink {
  phase = $state<Phase>('unread');
  offer = $state.raw<InvitationOffer | null>(null);
  /** The sentence about the last request, if it failed. */
  error = $state<string | null>(null);
  busy = $state(false);
  readonly #token: string;

  /** Takes the token of the link, if it has one. */
  constructor(token: string | null) {
    this.#token = token ?? '';
    if (token !== null) return;
    [this.phase, this.error] = ['invalid', t('invitation.incomplete')];
  }

  /** Asks the server what the link offers. */
  read(): Promise<void> {
    return this.#attempt(async () => {
      this.offer = await api.readInvitation({ token: this.#token });
      this.phase = 'open';
    });
  }

  /** Accepts the offer: a new user gets this name. */
  accept(name: string, password: string): Promise<void> {
    const named = this.offer?.reset === true ? {} : { name: name.trim() };
    return this.#attempt(async () => {
      const isSignedIn = await auth.accept({ token: this.#token, password, ...named });
      this.phase = isSignedIn ? 'used' : 'set';
    });
  }

  async #attempt(run: () => Promise<void>): Promise<void> {
    if (this.busy) return;
    [this.busy, this.error] = [true, null];
    try {
      await run();
    } catch (error) {
      this.error = error instanceof Error ? error.message : String(error);
      if (error instanceof ApiError && error.status === FORBIDDEN) this.phase = 'invalid';
    }
    this.busy = false;
  }
}
