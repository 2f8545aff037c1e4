/**
 * The state machine of a page that a share link opens: it asks for the password if the link has
 * one, shows the cameras until the link ends, and comes back by itself when the server was away.
 *
 * opening → (password) locked → opening → shown → ended
 */

import type { OpenedShare } from '../protocol';
import type { Env, Step } from './machine';

/** Time after which a server that was not there, or busy, is asked again. */
const RETRY_MS = 5_000;
/** Time before the end in which a loss is the end: the server's clock may be a little ahead. */
const NEAR_END_MS = 5_000;
/** Longest wait of a timer. Browsers wake up at once if it is longer than 24 days. */
const MAX_WAIT_MS = 24 * 3600 * 1000;

export type ShareState =
  | { readonly phase: 'opening' }
  /** The password is asked for; with what was wrong with the last one. */
  | { readonly phase: 'locked'; readonly error: string | null }
  | { readonly phase: 'waiting'; readonly error: string; readonly wakeAt: number }
  | {
      readonly phase: 'shown';
      readonly share: OpenedShare;
      /** The end of the link, in seconds since 1970. */
      readonly endS: number;
      readonly endsAt: number;
      readonly wakeAt: number;
    }
  /** The link has ended, with the sentence of the server if there is one. */
  | { readonly phase: 'ended'; readonly reason: string | null };

export type ShareEvent =
  | { readonly type: 'opened'; readonly share: OpenedShare; readonly endS: number }
  | { readonly type: 'refused'; readonly refusal: Refusal }
  | { readonly type: 'submit'; readonly password: string }
  /** The server no longer accepts the link, or the password that was given once. */
  | { readonly type: 'lost' }
  | { readonly type: 'retry' | 'timeout' };

/** The answer of a server that does not open the link. */
export interface Refusal {
  /** Status of HTTP; 0 if the server was not reached. */
  readonly status: number;
  readonly needsPassword: boolean;
  /** True if a password was sent. */
  readonly hadPassword: boolean;
  /** The reason, for people. */
  readonly text: string;
}

export type ShareEffect =
  | { readonly type: 'open'; readonly password: string | null }
  /** Connects with the access token of the link. */
  | { readonly type: 'connect'; readonly share: OpenedShare }
  | { readonly type: 'disconnect' };

export const OPENING: ShareState = { phase: 'opening' };

type Result = Step<ShareState, ShareEffect>;

export function step(state: ShareState, event: ShareEvent, env: Env): Result {
  switch (event.type) {
    case 'opened':
      return state.phase === 'opening' ? shown(event, env) : stay(state);
    case 'refused':
      return state.phase === 'opening' ? stay(refused(event.refusal, env)) : stay(state);
    case 'submit':
      return state.phase === 'locked' ? open(event.password) : stay(state);
    case 'lost':
      if (state.phase !== 'shown') return stay(state);
      if (state.endsAt - env.now <= NEAR_END_MS) return ended();
      // The answer says whether it has ended, or only the password has to be given again.
      return withDisconnect(open(null));
    case 'retry':
      return state.phase === 'waiting' ? open(null) : stay(state);
    case 'timeout':
      return handleTimeout(state, env);
  }
}

/** Returns the time of the next `timeout` event, or `null` if nothing is due. */
export function nextTimeout(state: ShareState): number | null {
  return 'wakeAt' in state ? state.wakeAt : null;
}

function stay(state: ShareState): Result {
  return { state, effects: [] };
}

function open(password: string | null): Result {
  return { state: OPENING, effects: [{ type: 'open', password }] };
}

function withDisconnect({ state, effects }: Result): Result {
  return { state, effects: [{ type: 'disconnect' }, ...effects] };
}

function shown({ share, endS }: Extract<ShareEvent, { type: 'opened' }>, { now }: Env): Result {
  const endsAt = now + share.expiresInSeconds * 1000;
  const wakeAt = Math.min(endsAt, now + MAX_WAIT_MS);
  return {
    state: { phase: 'shown', share, endS, endsAt, wakeAt },
    effects: [{ type: 'connect', share }],
  };
}

function refused({ status, needsPassword, hadPassword, text }: Refusal, { now }: Env): ShareState {
  if (needsPassword) return { phase: 'locked', error: hadPassword ? text : null };
  if (status === 403) return { phase: 'ended', reason: text };
  // What was typed is asked for again; a screen on a wall has nobody who would press a button.
  if (hadPassword) return { phase: 'locked', error: text };
  return { phase: 'waiting', error: text, wakeAt: now + RETRY_MS };
}

function handleTimeout(state: ShareState, { now }: Env): Result {
  if (state.phase === 'waiting') return open(null);
  if (state.phase !== 'shown') return stay(state);
  if (now < state.endsAt) {
    return stay({ ...state, wakeAt: Math.min(state.endsAt, now + MAX_WAIT_MS) });
  }
  return ended();
}

function ended(): Result {
  return withDisconnect(stay({ phase: 'ended', reason: null }));
}
