/** The own passkeys, and signing in with one. */

import { t } from '../core/text';
import { api } from '../drivers/api';
import { askForPasskey, isOwnOrigin, knowsPasskeys, makePasskey } from '../drivers/passkeys';
import type { OwnProof, PasskeyInfo, PasskeyList } from '../protocol';
import { attempt } from './attempt';
import { auth } from './auth.svelte';

/** Returns true if somebody can sign in with a passkey on this page. */
export async function offersPasskeys(): Promise<boolean> {
  if (!knowsPasskeys()) return false;
  const { passkeyOrigin } = await api.signInWays();
  return passkeyOrigin !== undefined && isOwnOrigin(passkeyOrigin);
}

/** Signs in with a passkey, unless the person does not want to. Returns an error, or `null`. */
export function signInWithPasskey(): Promise<string | null> {
  return attempt(async () => {
    const found = await askForPasskey(await api.requestPasskey());
    if (found !== null) auth.signedIn(await api.signInWithPasskey(found));
  });
}

export class Passkeys {
  /** `null` before the first list. */
  list = $state.raw<PasskeyList | null>(null);
  error = $state<string | null>(null);
  /** A sentence about what was done last. */
  done = $state('');

  /** Returns a sentence that says why no passkey can be added here, or `null`. */
  get obstacle(): string | null {
    const { origin, unavailable } = this.list ?? {};
    if (unavailable !== undefined) return unavailable;
    if (origin !== undefined && !isOwnOrigin(origin)) return t('passkeys.elsewhere', { origin });
    return knowsPasskeys() ? null : t('passkeys.unsupported');
  }

  async load(): Promise<void> {
    this.error = await attempt(() => this.#reload());
  }

  /** Adds a passkey, unless the person does not want to. */
  async add(name: string, proof: OwnProof): Promise<void> {
    const made = await makePasskey(await api.beginPasskey(proof), name);
    if (made === null) return;
    await api.addPasskey(made);
    await this.#reload();
    this.done = t('passkeys.added', { name });
  }

  /** Removes a passkey. Returns an error for people, or `null`. */
  remove(one: PasskeyInfo): Promise<string | null> {
    return attempt(async () => {
      await api.removePasskey(one);
      await this.#reload();
      this.done = t('passkeys.removed', { name: one.name });
    });
  }

  async #reload(): Promise<void> {
    this.list = await api.passkeys();
  }
}
