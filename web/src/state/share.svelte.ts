/** A page that a share link opens: runs `core/share`. */

import { nextTimeout, OPENING, step } from '../core/share';
import type { Refusal, ShareEffect, ShareEvent, ShareState } from '../core/share';
import { api, ApiError } from '../drivers/api';
import { Runner } from '../drivers/runner';
import { forgetToken, keepToken, keptToken } from '../drivers/share-token';
import type { OpenedShare } from '../protocol';
import { live } from './live.svelte';

export class SharePage {
  state = $state.raw<ShareState>(OPENING);
  /** The token in the link. */
  readonly #link: string;
  readonly #runner: Runner<ShareState, ShareEvent, ShareEffect>;
  #isOver = false;

  constructor(link: string) {
    this.#link = link;
    this.#runner = new Runner(
      { step, nextTimeout, timeout: { type: 'timeout' } },
      OPENING,
      (effect: ShareEffect) => this.#apply(effect),
      (state) => (this.state = state),
    );
  }

  start(): void {
    void this.#open(null);
  }

  stop(): void {
    this.#isOver = true;
    live.stop();
  }

  dispatch(event: ShareEvent): void {
    if (!this.#isOver) this.#runner.dispatch(event);
  }

  #apply(effect: ShareEffect): void {
    switch (effect.type) {
      case 'open':
        return void this.#open(effect.password);
      case 'connect':
        return this.#connect(effect.share);
      case 'disconnect':
        return live.stop();
    }
  }

  async #open(password: string | null): Promise<void> {
    const token = password === null ? (keptToken(this.#link) ?? this.#link) : this.#link;
    try {
      const share = await api.openShare({ token, ...(password !== null && { password }) });
      this.dispatch({ type: 'opened', share, endS: Date.now() / 1000 + share.expiresInSeconds });
    } catch (error) {
      const refusal = refusalOf(error, password !== null);
      if (refusal.status === 403) forgetToken(this.#link);
      this.dispatch({ type: 'refused', refusal });
    }
  }

  #connect({ token, kiosk }: OpenedShare): void {
    if (token !== this.#link) keepToken(token, kiosk);
    live.startShared(token, () => this.dispatch({ type: 'lost' }));
  }
}

function refusalOf(error: unknown, hadPassword: boolean): Refusal {
  const { status, needsPassword } =
    error instanceof ApiError ? error : { status: 0, needsPassword: false };
  const text = error instanceof Error ? error.message : String(error);
  return { status, needsPassword, hadPassword, text };
}
