/**
 * The way to the signaling server: one WebSocket that comes back by itself, requests paired with
 * their answers, nothing kept without bound.
 *
 * down → opening → registering → up → (lost) → waiting → opening …
 */

import { code, type ClientRequests, type Fault, type RequestId } from '../protocol';
import { delayMs } from './backoff';
import { earliest, type Env, type Step } from './machine';
import * as rpc from './rpc';
import { LOCAL, type Incoming, type Outcome } from './rpc';

/** A server that restarts is back within seconds; one that is gone for long is not hammered. */
const BACKOFF = { firstMs: 400, maxMs: 8_000 };
/** A TCP and TLS handshake that takes longer will not succeed. */
const OPEN_TIMEOUT_MS = 10_000;
/** Longer than the server waits for a gateway, so that its reason arrives first. */
const REQUEST_TIMEOUT_MS = 20_000;
/** A connection that lasts this long was a good one: the next loss starts at the shortest wait. */
const STEADY_MS = 5_000;
/** Nobody watches more cameras than this in one page. */
const MAX_PENDING = 32;

export type SocketPhase = 'stopped' | 'waiting' | 'opening' | 'registering' | 'up';

interface Pending {
  readonly id: number;
  readonly token: number;
  readonly sentAt: number;
}

export interface SocketState {
  readonly phase: SocketPhase;
  /** Losses since the last steady connection. */
  readonly attempt: number;
  readonly upSince: number | null;
  readonly deadline: number | null;
  readonly nextId: number;
  readonly pending: readonly Pending[];
  readonly heardAt: number;
}

export type SocketEvent =
  | { readonly on: 'start' }
  | { readonly on: 'stop' }
  /** The network came back, or the page was looked at again: do not wait any longer. */
  | { readonly on: 'hurry' }
  | { readonly on: 'opened' }
  | { readonly on: 'message'; readonly text: string }
  | { readonly on: 'closed' }
  | { readonly on: 'tick' }
  | SocketRequest
  /** A notification or an answer, ready to send. */
  | { readonly on: 'send'; readonly text: string };

/** `token` is whatever the caller wants to know the answer by. */
export type SocketRequest = {
  [M in keyof ClientRequests]: {
    readonly on: 'request';
    readonly token: number;
    readonly method: M;
    readonly params: ClientRequests[M]['params'];
  };
}[keyof ClientRequests];

export type SocketEffect =
  | { readonly do: 'open' }
  | { readonly do: 'close' }
  | { readonly do: 'send'; readonly text: string }
  | { readonly do: 'settle'; readonly token: number; readonly outcome: Outcome<unknown> }
  | { readonly do: 'deliver'; readonly incoming: Exclude<Incoming, { kind: 'response' }> }
  | { readonly do: 'up' }
  | { readonly do: 'down' }
  /** It could not be opened: find out whether the sign-in still holds. */
  | { readonly do: 'check-session' }
  | { readonly do: 'signed-out' };

export const START: SocketState = {
  phase: 'stopped',
  attempt: 0,
  upSince: null,
  deadline: null,
  nextId: 1,
  pending: [],
  heardAt: 0,
};

const REGISTER_TOKEN = -1;

type Result = Step<SocketState, SocketEffect>;

export function step(state: SocketState, event: SocketEvent, env: Env): Result {
  switch (event.on) {
    case 'start':
      return state.phase === 'stopped' ? open({ ...state, attempt: 0 }, env) : same(state);
    case 'stop':
      return stop(state);
    case 'hurry':
      return state.phase === 'waiting' ? open({ ...state, attempt: 0 }, env) : same(state);
    case 'opened':
      return opened(state, env);
    case 'message':
      return message({ ...state, heardAt: env.now }, event.text, env);
    case 'closed':
      return state.phase === 'stopped' || state.phase === 'waiting'
        ? same(state)
        : lost(state, [], env);
    case 'tick':
      return tick(state, env);
    case 'request':
      return request(state, event, env);
    case 'send':
      return state.phase === 'up'
        ? { state, effects: [{ do: 'send', text: event.text }] }
        : same(state);
  }
}

/** When the machine wants its next `tick`. */
export function wakeAt(state: SocketState): number | null {
  const oldest = state.pending[0];
  return earliest(state.deadline, oldest ? oldest.sentAt + REQUEST_TIMEOUT_MS : null);
}

function same(state: SocketState): Result {
  return { state, effects: [] };
}

function open(state: SocketState, env: Env): Result {
  return {
    state: { ...state, phase: 'opening', deadline: env.now + OPEN_TIMEOUT_MS },
    effects: [{ do: 'open' }],
  };
}

function opened(state: SocketState, env: Env): Result {
  if (state.phase !== 'opening') return same(state);
  const registering: SocketState = { ...state, phase: 'registering', heardAt: env.now };
  return transmit(registering, { token: REGISTER_TOKEN, method: 'register', params: {} }, env);
}

function stop(state: SocketState): Result {
  if (state.phase === 'stopped') return same(state);
  const effects: SocketEffect[] = [{ do: 'close' }, ...abandon(state)];
  if (state.phase === 'up') effects.push({ do: 'down' });
  return { state: { ...START, nextId: state.nextId }, effects };
}

/** The socket is gone, or as good as gone: everything asked for fails, then it is tried again. */
function lost(state: SocketState, first: readonly SocketEffect[], env: Env): Result {
  const wasUp = state.phase === 'up';
  const effects: SocketEffect[] = [...first, ...abandon(state)];
  effects.push(wasUp ? { do: 'down' } : { do: 'check-session' });
  const steady = state.upSince !== null && env.now - state.upSince >= STEADY_MS;
  const attempt = steady ? 0 : state.attempt;
  const wait = delayMs(BACKOFF, attempt, env.random);
  return {
    state: {
      ...state,
      phase: 'waiting',
      attempt: attempt + 1,
      upSince: null,
      deadline: env.now + wait,
      pending: [],
    },
    effects,
  };
}

function abandon(state: SocketState): SocketEffect[] {
  return state.pending
    .filter(({ token }) => token !== REGISTER_TOKEN)
    .map(({ token }) =>
      settleLocally(token, LOCAL.OFFLINE, 'The connection to the server is lost.'),
    );
}

function settleLocally(token: number, number: number, text: string): SocketEffect {
  return { do: 'settle', token, outcome: { ok: false, fault: { code: number, message: text } } };
}

function tick(state: SocketState, env: Env): Result {
  if (state.deadline !== null && env.now >= state.deadline) {
    if (state.phase === 'waiting') return open(state, env);
    return lost(state, [{ do: 'close' }], env);
  }
  const late = state.pending.filter(({ sentAt }) => env.now >= sentAt + REQUEST_TIMEOUT_MS);
  if (late.length === 0) return same(state);
  // Nothing at all since the request: the connection is dead although nobody has closed it.
  const dead = late.some(({ sentAt }) => state.heardAt <= sentAt);
  if (dead) return lost(state, [{ do: 'close' }], env);
  return {
    state: { ...state, pending: state.pending.filter((one) => !late.includes(one)) },
    effects: late.map(({ token }) =>
      settleLocally(token, LOCAL.TIMED_OUT, 'The server did not answer in time.'),
    ),
  };
}

function request(state: SocketState, event: SocketRequest, env: Env): Result {
  if (state.phase !== 'up') {
    return {
      state,
      effects: [settleLocally(event.token, LOCAL.OFFLINE, 'There is no connection to the server.')],
    };
  }
  if (state.pending.length >= MAX_PENDING) {
    return {
      state,
      effects: [settleLocally(event.token, LOCAL.TOO_MANY, 'Too many requests are under way.')],
    };
  }
  return transmit(state, event, env);
}

type Transmission = Pick<SocketRequest, 'token' | 'method' | 'params'>;

function transmit(state: SocketState, { token, method, params }: Transmission, env: Env): Result {
  const id = state.nextId;
  return {
    state: {
      ...state,
      nextId: id + 1,
      pending: [...state.pending, { id, token, sentAt: env.now }],
    },
    effects: [{ do: 'send', text: rpc.request(id, method, params) }],
  };
}

function message(state: SocketState, text: string, env: Env): Result {
  const incoming = rpc.parse(text);
  if (incoming === null || (state.phase !== 'up' && state.phase !== 'registering')) {
    return same(state);
  }
  if (incoming.kind === 'response') return response(state, incoming.id, incoming.outcome, env);
  if (incoming.kind === 'request' && incoming.method !== 'invite') {
    const fault: Fault = { code: code.METHOD_NOT_FOUND, message: 'A viewer has no such method.' };
    return { state, effects: [{ do: 'send', text: rpc.refusal(incoming.id, fault) }] };
  }
  return { state, effects: [{ do: 'deliver', incoming }] };
}

function response(
  state: SocketState,
  id: RequestId | null,
  outcome: Outcome<unknown>,
  env: Env,
): Result {
  const asked = state.pending.find((one) => one.id === id);
  if (asked === undefined) return same(state);
  const rest = { ...state, pending: state.pending.filter((one) => one !== asked) };
  if (asked.token !== REGISTER_TOKEN) {
    return { state: rest, effects: [{ do: 'settle', token: asked.token, outcome }] };
  }
  if (outcome.ok) {
    return {
      state: { ...rest, phase: 'up', upSince: env.now, deadline: null },
      effects: [{ do: 'up' }],
    };
  }
  if (outcome.fault.code === code.UNAUTHORIZED) {
    return {
      state: { ...START, nextId: state.nextId },
      effects: [{ do: 'close' }, { do: 'signed-out' }],
    };
  }
  return lost(rest, [{ do: 'close' }], env);
}
