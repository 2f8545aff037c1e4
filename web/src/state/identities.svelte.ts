/** Accounts at a sign-in service: signing in with one, and the own ones. */

import { t } from '../core/text';
import { api } from '../drivers/api';
import { isOwnOrigin } from '../drivers/passkeys';
import { goTo, takeAnswer } from '../drivers/provider';
import type { IdentityInfo, IdentityList, OwnProof, ProviderSignIn } from '../protocol';
import { attempt } from './attempt';
import { auth } from './auth.svelte';

/** Returns the name of the service with which somebody can sign in on this page, or `null`. */
export async function offeredProvider(): Promise<string | null> {
  const { provider } = await api.signInWays();
  return provider !== undefined && isOwnOrigin(provider.origin) ? provider.name : null;
}

/** Goes to the service to sign in, or to accept an invitation. Returns an error, or `null`. */
export function goToProvider(body: ProviderSignIn): Promise<string | null> {
  return attempt(async () => goTo(await api.requestProvider(body)));
}

/** Finishes what was begun before the browser went to the service. */
export class ProviderReturn {
  /** `linked` to the user who is signed in, or `signed-in`. */
  phase = $state<'busy' | 'signed-in' | 'linked' | 'failed'>('busy');
  error = $state<string | null>(null);

  async finish(): Promise<void> {
    const answer = takeAnswer();
    if (answer === null) {
      [this.phase, this.error] = ['failed', t('provider.incomplete')];
      return auth.load();
    }
    this.error = await attempt(async () => {
      const me = await api.answerProvider(answer);
      if (me !== null) auth.signedIn(me);
      this.phase = me === null ? 'linked' : 'signed-in';
    });
    if (this.error === null) return;
    this.phase = 'failed';
    // Who wanted to link an account is still signed in.
    await auth.load();
  }
}

export class Identities {
  /** `null` before the first list. */
  list = $state.raw<IdentityList | null>(null);
  error = $state<string | null>(null);
  /** A sentence about what was done last. */
  done = $state('');

  /** True if there is something to show: a service, or accounts of a former one. */
  get isShown(): boolean {
    return this.list !== null && (this.list.provider !== undefined || this.#has);
  }

  /** Returns a sentence that says why no account can be linked here, or `null`. */
  get obstacle(): string | null {
    const provider = this.list?.provider;
    if (provider === undefined) return this.#has ? t('identities.gone') : null;
    const { origin } = provider;
    return isOwnOrigin(origin) ? null : t('identities.elsewhere', { origin });
  }

  get #has(): boolean {
    return (this.list?.identities.length ?? 0) > 0;
  }

  async load(): Promise<void> {
    this.error = await attempt(() => this.#reload());
  }

  /** Goes to the service to link an account. */
  async begin(proof: OwnProof): Promise<void> {
    goTo(await api.beginIdentity(proof));
  }

  /** Unlinks an account. Returns an error for people, or `null`. */
  remove(one: IdentityInfo): Promise<string | null> {
    return attempt(async () => {
      await api.removeIdentity(one);
      await this.#reload();
      this.done = t('identities.unlinked', { name: one.name });
    });
  }

  async #reload(): Promise<void> {
    this.list = await api.identities();
  }
}
