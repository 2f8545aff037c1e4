/**
 * The state machine of the connection to the signaling server: one WebSocket that reconnects
 * automatically, and a bounded number of requests paired with their responses.
 *
 * stopped → opening → registering → up → (connection lost) → waiting → opening …
 */

import { code, type ClientRequests, type Fault, type RequestId } from '../protocol';
import { delayMs } from './backoff';
import { earliest, type Env, type Step } from './machine';
import * as rpc from './rpc';
import { LOCAL, type Incoming, type Outcome } from './rpc';

/** A server that is down for long is not flooded. */
const BACKOFF = { firstMs: 400, maxMs: 8_000 };
/** Waits for a server that has said goodbye: it is probably being restarted. */
const RETURN_BACKOFF = { firstMs: 400, maxMs: 400 };
/** Time in which such a server is expected back. */
const RETURN_MS = 10_000;
/** Codes of close frames with which a server says goodbye (RFC 6455 §7.4.1): away, restarting. */
const GOODBYES: ReadonlySet<number> = new Set([1001, 1012]);
/** A TCP and TLS handshake that takes longer is not going to succeed. */
const OPEN_TIMEOUT_MS = 10_000;
/** Longer than the server waits for a gateway, so that the server's error arrives first. */
const REQUEST_TIMEOUT_MS = 20_000;
/** Longer than the silence that the server allows a gateway in an answer that comes in pieces. */
const EXCHANGE_TIMEOUT_MS = 35_000;
/** A connection that lasted this long resets the backoff. */
const STEADY_MS = 5_000;
/** Bound of the requests without a response; one page never watches as many cameras. */
const MAX_PENDING = 32;

export type SocketPhase = 'stopped' | 'waiting' | 'opening' | 'registering' | 'up';

interface Pending {
  readonly id: number;
  readonly token: number;
  /** Time at which it was sent, or at which its last progress came. */
  readonly since: number;
  readonly timeoutMs: number;
}

export interface SocketState {
  /** The access token to register with; `null` for the browser's sign-in. */
  readonly authorization: string | null;
  readonly phase: SocketPhase;
  /** Number of losses since the last steady connection. */
  readonly attempt: number;
  readonly upSince: number | null;
  /** End of the time in which a server that has said goodbye is expected back. */
  readonly returnsBy: number | null;
  /** End of the handshake's time, or of the wait before the next attempt. */
  readonly deadline: number | null;
  readonly nextId: number;
  readonly pending: readonly Pending[];
  readonly lastReceivedAt: number;
}

export type SocketEvent =
  | { readonly type: 'start'; readonly authorization?: string }
  | { readonly type: 'stop' }
  /** The network is back, or the page is visible again: reconnect now. */
  | { readonly type: 'reconnect-now' }
  /** A sign that the network has changed: is the server still there? */
  | { readonly type: 'doubt'; readonly withinMs: number }
  | { readonly type: 'opened' }
  | { readonly type: 'message'; readonly text: string }
  /** The WebSocket is closed, with the code of its close frame. */
  | { readonly type: 'closed'; readonly code: number }
  | { readonly type: 'timeout' }
  | SocketRequest
  /** A request is given up: nobody waits for its response any more. */
  | { readonly type: 'cancel'; readonly token: number }
  /** A notification or a response, ready to send. */
  | { readonly type: 'send'; readonly text: string };

/** A request; the response comes with the same `token`, which the caller chooses. */
export type SocketRequest = {
  [M in keyof ClientRequests]: {
    readonly type: 'request';
    readonly token: number;
    readonly method: M;
    readonly params: ClientRequests[M]['params'];
  };
}[keyof ClientRequests];

export type SocketEffect =
  | { readonly type: 'open' }
  | { readonly type: 'close' }
  | { readonly type: 'send'; readonly text: string }
  | { readonly type: 'resolve'; readonly token: number; readonly outcome: Outcome<unknown> }
  | { readonly type: 'progress'; readonly token: number; readonly value: unknown }
  | { readonly type: 'deliver'; readonly incoming: Exclude<Incoming, { kind: 'response' }> }
  | { readonly type: 'up' }
  | { readonly type: 'down' }
  /** The WebSocket could not be opened; the sign-in may have ended. */
  | { readonly type: 'check-sign-in' }
  | { readonly type: 'signed-out' };

export const INITIAL_STATE: SocketState = {
  authorization: null,
  phase: 'stopped',
  attempt: 0,
  upSince: null,
  returnsBy: null,
  deadline: null,
  nextId: 1,
  pending: [],
  lastReceivedAt: 0,
};

const REGISTER_TOKEN = -1;
const PING_TOKEN = -2;
/** Requests of the machine itself, whose responses nobody waits for. */
const OWN_TOKENS: ReadonlySet<number> = new Set([REGISTER_TOKEN, PING_TOKEN]);

type Result = Step<SocketState, SocketEffect>;

export function step(state: SocketState, event: SocketEvent, env: Env): Result {
  switch (event.type) {
    case 'start':
      return state.phase === 'stopped'
        ? open({ ...state, authorization: event.authorization ?? null, attempt: 0 }, env)
        : unchanged(state);
    case 'stop':
      return stop(state);
    case 'reconnect-now':
      return state.phase === 'waiting' ? open({ ...state, attempt: 0 }, env) : unchanged(state);
    case 'doubt':
      return handleDoubt(state, event.withinMs, env);
    case 'opened':
      return handleOpened(state, env);
    case 'message':
      return handleMessage({ ...state, lastReceivedAt: env.now }, event.text, env);
    case 'closed':
      return state.phase === 'stopped' || state.phase === 'waiting'
        ? unchanged(state)
        : handleLoss(noteGoodbye(state, event.code, env), [], env);
    case 'timeout':
      return handleTimeout(state, env);
    case 'request':
      return handleRequest(state, event, env);
    case 'cancel':
      return handleCancel(state, event.token);
    case 'send':
      return state.phase === 'up'
        ? { state, effects: [{ type: 'send', text: event.text }] }
        : unchanged(state);
  }
}

/** Returns the time of the next `timeout` event, or `null` if nothing is due. */
export function nextTimeout(state: SocketState): number | null {
  return earliest(state.deadline, ...state.pending.map(dueAt));
}

function dueAt({ since, timeoutMs }: Pending): number {
  return since + timeoutMs;
}

function unchanged(state: SocketState): Result {
  return { state, effects: [] };
}

function open(state: SocketState, env: Env): Result {
  return {
    state: { ...state, phase: 'opening', deadline: env.now + OPEN_TIMEOUT_MS },
    effects: [{ type: 'open' }],
  };
}

/** Asks for a sign of life, unless that was done already. */
function handleDoubt(state: SocketState, withinMs: number, env: Env): Result {
  const isAsked = state.pending.some(({ token }) => token === PING_TOKEN);
  if (state.phase !== 'up' || isAsked) return unchanged(state);
  const ping = { token: PING_TOKEN, method: 'portholePing', params: {} } as const;
  return transmit(state, ping, env, withinMs);
}

function handleOpened(state: SocketState, env: Env): Result {
  if (state.phase !== 'opening') return unchanged(state);
  const registering: SocketState = { ...state, phase: 'registering', lastReceivedAt: env.now };
  const { authorization } = state;
  const params = authorization === null ? {} : { authorization };
  return transmit(registering, { token: REGISTER_TOKEN, method: 'register', params }, env);
}

function stop(state: SocketState): Result {
  if (state.phase === 'stopped') return unchanged(state);
  const effects: SocketEffect[] = [{ type: 'close' }, ...failPending(state)];
  if (state.phase === 'up') effects.push({ type: 'down' });
  return { state: { ...INITIAL_STATE, nextId: state.nextId }, effects };
}

/** Expects a server back soon that says goodbye, unless it does so again and again. */
function noteGoodbye(state: SocketState, closeCode: number, env: Env): SocketState {
  const isSteady = state.upSince !== null && env.now - state.upSince >= STEADY_MS;
  const saysGoodbye = isSteady && GOODBYES.has(closeCode);
  return saysGoodbye ? { ...state, returnsBy: env.now + RETURN_MS } : state;
}

/** Handles the end of a connection: pending requests fail, and a new connection is scheduled. */
function handleLoss(state: SocketState, first: readonly SocketEffect[], env: Env): Result {
  const wasUp = state.phase === 'up';
  const effects: SocketEffect[] = [...first, ...failPending(state)];
  effects.push(wasUp ? { type: 'down' } : { type: 'check-sign-in' });
  const steady = state.upSince !== null && env.now - state.upSince >= STEADY_MS;
  const attempt = steady ? 0 : state.attempt;
  const returns = state.returnsBy !== null && env.now < state.returnsBy;
  const wait = delayMs(returns ? RETURN_BACKOFF : BACKOFF, attempt, env.random);
  return {
    state: {
      ...state,
      phase: 'waiting',
      attempt: returns ? attempt : attempt + 1,
      upSince: null,
      deadline: env.now + wait,
      pending: [],
    },
    effects,
  };
}

/** Opens another connection at once, in place of one that the network no longer carries. */
function reopen(state: SocketState, env: Env): Result {
  const lost = handleLoss(state, [{ type: 'close' }], env);
  const opened = open(lost.state, env);
  return { state: opened.state, effects: [...lost.effects, ...opened.effects] };
}

/** Returns the effects that fail every pending request. */
function failPending(state: SocketState): SocketEffect[] {
  return state.pending
    .filter(({ token }) => !OWN_TOKENS.has(token))
    .map(({ token }) =>
      resolveWithFault(token, LOCAL.OFFLINE, 'The connection to the server was lost.'),
    );
}

function resolveWithFault(token: number, localCode: number, message: string): SocketEffect {
  return { type: 'resolve', token, outcome: { ok: false, fault: { code: localCode, message } } };
}

function handleTimeout(state: SocketState, env: Env): Result {
  if (state.deadline !== null && env.now >= state.deadline) {
    if (state.phase === 'waiting') return open(state, env);
    return handleLoss(state, [{ type: 'close' }], env);
  }
  const late = state.pending.filter((one) => env.now >= dueAt(one));
  if (late.length === 0) return unchanged(state);
  // Nothing was received since the request: the connection is dead, although it looks open.
  const dead = late.filter(({ since }) => state.lastReceivedAt <= since);
  if (dead.some(({ token }) => token === PING_TOKEN)) return reopen(state, env);
  if (dead.length > 0) return handleLoss(state, [{ type: 'close' }], env);
  return {
    state: { ...state, pending: state.pending.filter((one) => !late.includes(one)) },
    effects: late
      .filter(({ token }) => !OWN_TOKENS.has(token))
      .map(({ token }) =>
        resolveWithFault(token, LOCAL.TIMED_OUT, 'The server did not respond in time.'),
      ),
  };
}

function handleRequest(state: SocketState, event: SocketRequest, env: Env): Result {
  if (state.phase !== 'up') {
    return {
      state,
      effects: [resolveWithFault(event.token, LOCAL.OFFLINE, 'Not connected to the server.')],
    };
  }
  if (state.pending.length >= MAX_PENDING) {
    return {
      state,
      effects: [resolveWithFault(event.token, LOCAL.TOO_MANY, 'Too many requests are pending.')],
    };
  }
  return transmit(state, event, env);
}

type Transmission = Pick<SocketRequest, 'token' | 'method' | 'params'>;

function transmit(
  state: SocketState,
  { token, method, params }: Transmission,
  env: Env,
  timeoutMs = timeoutOf(method),
): Result {
  const id = state.nextId;
  return {
    state: {
      ...state,
      nextId: id + 1,
      pending: [...state.pending, { id, token, since: env.now, timeoutMs }],
    },
    effects: [{ type: 'send', text: rpc.request(id, method, params) }],
  };
}

/** Returns the time that a request may take; one to a gateway may take longer. */
function timeoutOf(method: keyof ClientRequests): number {
  return method.startsWith('porthole') ? EXCHANGE_TIMEOUT_MS : REQUEST_TIMEOUT_MS;
}

/** Gives up a request: its response is ignored, and the server is told. */
function handleCancel(state: SocketState, token: number): Result {
  const request = state.pending.find((one) => one.token === token);
  if (request === undefined) return unchanged(state);
  const text = rpc.notification('portholeCancel', { request: request.id });
  return {
    state: { ...state, pending: state.pending.filter((one) => one !== request) },
    effects: [{ type: 'send', text }],
  };
}

/** Handles a piece of an answer, which gives the request new time. */
function handleProgress(state: SocketState, params: Record<string, unknown>, env: Env): Result {
  const request = state.pending.find((one) => one.id === params.request);
  if (request === undefined) return unchanged(state);
  const renewed = { ...request, since: env.now };
  return {
    state: { ...state, pending: state.pending.map((one) => (one === request ? renewed : one)) },
    effects: [{ type: 'progress', token: request.token, value: params.value }],
  };
}

function handleMessage(state: SocketState, text: string, env: Env): Result {
  const incoming = rpc.parse(text);
  if (incoming === null || (state.phase !== 'up' && state.phase !== 'registering')) {
    return unchanged(state);
  }
  if (incoming.kind === 'response')
    return handleResponse(state, incoming.id, incoming.outcome, env);
  if (incoming.kind === 'request' && incoming.method !== 'invite') {
    const fault: Fault = { code: code.METHOD_NOT_FOUND, message: 'A viewer has no such method.' };
    return { state, effects: [{ type: 'send', text: rpc.errorResponse(incoming.id, fault) }] };
  }
  if (incoming.kind === 'notification' && incoming.method === 'portholeProgress') {
    return handleProgress(state, incoming.params, env);
  }
  return { state, effects: [{ type: 'deliver', incoming }] };
}

function handleResponse(
  state: SocketState,
  id: RequestId | null,
  outcome: Outcome<unknown>,
  env: Env,
): Result {
  const request = state.pending.find((one) => one.id === id);
  if (request === undefined) return unchanged(state);
  const rest = { ...state, pending: state.pending.filter((one) => one !== request) };
  if (request.token === PING_TOKEN) return unchanged(rest);
  if (request.token !== REGISTER_TOKEN) {
    return { state: rest, effects: [{ type: 'resolve', token: request.token, outcome }] };
  }
  if (outcome.ok) {
    return {
      state: { ...rest, phase: 'up', upSince: env.now, returnsBy: null, deadline: null },
      effects: [{ type: 'up' }],
    };
  }
  if (outcome.fault.code === code.UNAUTHORIZED) {
    return {
      state: { ...INITIAL_STATE, nextId: state.nextId },
      effects: [{ type: 'close' }, { type: 'signed-out' }],
    };
  }
  return handleLoss(rest, [{ type: 'close' }], env);
}
