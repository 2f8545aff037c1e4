/** The connection to the signaling server: runs `core/signaling-socket` on a WebSocket. */

import * as rpc from '../core/rpc';
import type { Incoming, Outcome } from '../core/rpc';
import * as machine from '../core/signaling-socket';
import type {
  SocketEffect,
  SocketEvent,
  SocketRequest,
  SocketState,
} from '../core/signaling-socket';
import { code, SUBPROTOCOL, WEBSOCKET_PATH } from '../protocol';
import type { ClientNotifications, ClientRequests, Fault, RequestId } from '../protocol';
import { root } from './root';
import { Runner } from './runner';

export interface SignalingListener {
  up?(): void;
  down?(): void;
  incoming?(incoming: Exclude<Incoming, { kind: 'response' | 'request' }>): void;
  /** Returns true if the request is for this listener, which answers it. */
  request?(request: Extract<Incoming, { kind: 'request' }>): boolean;
  /** The connection could not be opened; the sign-in may have ended. */
  checkSignIn?(): void;
  /** The server no longer accepts the sign-in. */
  signedOut?(): void;
}

export class Signaling {
  readonly #runner: Runner<SocketState, SocketEvent, SocketEffect>;
  readonly #listeners = new Set<SignalingListener>();
  /** Resolvers of the pending requests, by token. */
  readonly #resolvers = new Map<number, (outcome: Outcome<unknown>) => void>();
  /** Receivers of the progress of pending requests, by token. */
  readonly #receivers = new Map<number, (value: unknown) => void>();
  #nextToken = 1;
  #socket: WebSocket | null = null;

  constructor() {
    this.#runner = new Runner(
      { step: machine.step, nextTimeout: machine.nextTimeout, timeout: { type: 'timeout' } },
      machine.INITIAL_STATE,
      (effect) => this.#apply(effect),
      () => undefined,
    );
  }

  get isUp(): boolean {
    return this.#runner.state.phase === 'up';
  }

  /** Connects with an access token; without one, with the browser's sign-in. */
  start(authorization?: string): void {
    const token = authorization === undefined ? {} : { authorization };
    this.#runner.dispatch({ type: 'start', ...token });
  }

  stop(): void {
    this.#runner.dispatch({ type: 'stop' });
  }

  /** Ends the wait before the next attempt, if there is one. */
  reconnectNow(): void {
    this.#runner.dispatch({ type: 'reconnect-now' });
  }

  /** Asks the server for a sign of life, and connects again if there is none within this time. */
  doubt(withinMs: number): void {
    this.#runner.dispatch({ type: 'doubt', withinMs });
  }

  /** Adds a listener. Returns the function that removes it. */
  listen(listener: SignalingListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Sends a request. The promise always resolves, with a fault if there is no response. The result
   * is not checked: client and server types come from one definition.
   */
  request<M extends keyof ClientRequests>(
    method: M,
    params: ClientRequests[M]['params'],
  ): Promise<Outcome<ClientRequests[M]['result']>> {
    return new Promise((resolve) => {
      const token = this.#nextToken++;
      this.#resolvers.set(token, (outcome) =>
        resolve(outcome as Outcome<ClientRequests[M]['result']>),
      );
      this.#runner.dispatch({ type: 'request', token, method, params } as SocketRequest);
    });
  }

  /**
   * Sends a request whose answer comes in pieces. Returns the function that gives it up, after
   * which neither a piece nor the end is reported.
   */
  exchange<M extends keyof ClientRequests>(
    method: M,
    params: ClientRequests[M]['params'],
    progress: (value: unknown) => void,
    end: (outcome: Outcome<ClientRequests[M]['result']>) => void,
  ): () => void {
    const token = this.#nextToken++;
    this.#receivers.set(token, progress);
    this.#resolvers.set(token, (outcome) => end(outcome as Outcome<ClientRequests[M]['result']>));
    this.#runner.dispatch({ type: 'request', token, method, params } as SocketRequest);
    return () => {
      if (!this.#resolvers.delete(token)) return;
      this.#receivers.delete(token);
      this.#runner.dispatch({ type: 'cancel', token });
    };
  }

  notify<M extends keyof ClientNotifications>(
    method: M,
    params: ClientNotifications[M]['params'],
  ): void {
    this.#runner.dispatch({ type: 'send', text: rpc.notification(method, params) });
  }

  respond(id: RequestId, result: unknown): void {
    this.#runner.dispatch({ type: 'send', text: rpc.response(id, result) });
  }

  respondWithError(id: RequestId, fault: Fault): void {
    this.#runner.dispatch({ type: 'send', text: rpc.errorResponse(id, fault) });
  }

  #apply(effect: SocketEffect): void {
    switch (effect.type) {
      case 'open':
        return this.#open();
      case 'close':
        return this.#close();
      case 'send':
        return this.#socket?.send(effect.text);
      case 'resolve': {
        const resolve = this.#resolvers.get(effect.token);
        this.#resolvers.delete(effect.token);
        this.#receivers.delete(effect.token);
        return resolve?.(effect.outcome);
      }
      case 'progress':
        return this.#receivers.get(effect.token)?.(effect.value);
      case 'deliver':
        return this.#deliver(effect.incoming);
      case 'up':
        return this.#forEachListener((listener) => listener.up?.());
      case 'down':
        return this.#forEachListener((listener) => listener.down?.());
      case 'check-sign-in':
        return this.#forEachListener((listener) => listener.checkSignIn?.());
      case 'signed-out':
        return this.#forEachListener((listener) => listener.signedOut?.());
    }
  }

  #deliver(incoming: Exclude<Incoming, { kind: 'response' }>): void {
    if (incoming.kind !== 'request') {
      return this.#forEachListener((listener) => listener.incoming?.(incoming));
    }
    let isTaken = false;
    this.#forEachListener((listener) => {
      isTaken = listener.request?.(incoming) === true || isTaken;
    });
    const fault: Fault = { code: code.NOT_FOUND, message: 'The viewer has no such session.' };
    if (!isTaken) this.respondWithError(incoming.id, fault);
  }

  #forEachListener(call: (listener: SignalingListener) => void): void {
    for (const listener of [...this.#listeners]) call(listener);
  }

  #open(): void {
    this.#close();
    const url = new URL(root + WEBSOCKET_PATH, location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    url.hash = '';
    const socket = new WebSocket(url, SUBPROTOCOL);
    this.#socket = socket;
    const isCurrent = () => this.#socket === socket;
    socket.onopen = () => isCurrent() && this.#runner.dispatch({ type: 'opened' });
    socket.onclose = ({ code }) => isCurrent() && this.#runner.dispatch({ type: 'closed', code });
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (isCurrent() && typeof data === 'string')
        this.#runner.dispatch({ type: 'message', text: data });
    };
  }

  #close(): void {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }
}
