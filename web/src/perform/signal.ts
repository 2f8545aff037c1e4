/** Performs `core/signal-socket` on a WebSocket. */

import * as rpc from '../core/rpc';
import type { Incoming, Outcome } from '../core/rpc';
import * as machine from '../core/signal-socket';
import type { SocketEffect, SocketEvent, SocketRequest, SocketState } from '../core/signal-socket';
import { SUBPROTOCOL, WEBSOCKET_PATH } from '../protocol';
import type { ClientNotices, ClientRequests, Fault, RequestId } from '../protocol';
import { Runner } from './runner';

/** What somebody who uses the way to the server wants to hear. */
export interface SignalListener {
  up?(): void;
  down?(): void;
  incoming?(incoming: Exclude<Incoming, { kind: 'response' }>): void;
  /** The server does not know us any more, or may not. */
  doubtful?(signedOut: boolean): void;
}

export class Signal {
  readonly #runner: Runner<SocketState, SocketEvent, SocketEffect>;
  readonly #listeners = new Set<SignalListener>();
  readonly #settle = new Map<number, (outcome: Outcome<unknown>) => void>();
  #nextToken = 1;
  #socket: WebSocket | null = null;

  constructor() {
    this.#runner = new Runner(
      { step: machine.step, wakeAt: machine.wakeAt, tick: { on: 'tick' } },
      machine.START,
      (effect) => this.#perform(effect),
      () => undefined,
    );
  }

  get isUp(): boolean {
    return this.#runner.state.phase === 'up';
  }

  start(): void {
    this.#runner.dispatch({ on: 'start' });
  }

  stop(): void {
    this.#runner.dispatch({ on: 'stop' });
  }

  hurry(): void {
    this.#runner.dispatch({ on: 'hurry' });
  }

  /** Returns what ends the subscription. */
  listen(listener: SignalListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Asks the server. Resolves always, never rejects. That the result fits its method is the
   * generated contract's promise; both sides are built from it.
   */
  request<M extends keyof ClientRequests>(
    method: M,
    params: ClientRequests[M]['params'],
  ): Promise<Outcome<ClientRequests[M]['result']>> {
    return new Promise((resolve) => {
      const token = this.#nextToken++;
      this.#settle.set(token, (outcome) =>
        resolve(outcome as Outcome<ClientRequests[M]['result']>),
      );
      this.#runner.dispatch({ on: 'request', token, method, params } as SocketRequest);
    });
  }

  notify<M extends keyof ClientNotices>(method: M, params: ClientNotices[M]['params']): void {
    this.#runner.dispatch({ on: 'send', text: rpc.notification(method, params) });
  }

  reply(id: RequestId, result: unknown): void {
    this.#runner.dispatch({ on: 'send', text: rpc.result(id, result) });
  }

  refuse(id: RequestId, fault: Fault): void {
    this.#runner.dispatch({ on: 'send', text: rpc.refusal(id, fault) });
  }

  #perform(effect: SocketEffect): void {
    switch (effect.do) {
      case 'open':
        return this.#open();
      case 'close':
        return this.#close();
      case 'send':
        return this.#socket?.send(effect.text);
      case 'settle': {
        const settle = this.#settle.get(effect.token);
        this.#settle.delete(effect.token);
        return settle?.(effect.outcome);
      }
      case 'deliver':
        return this.#tell((listener) => listener.incoming?.(effect.incoming));
      case 'up':
        return this.#tell((listener) => listener.up?.());
      case 'down':
        return this.#tell((listener) => listener.down?.());
      case 'check-session':
        return this.#tell((listener) => listener.doubtful?.(false));
      case 'signed-out':
        return this.#tell((listener) => listener.doubtful?.(true));
    }
  }

  #tell(what: (listener: SignalListener) => void): void {
    for (const listener of [...this.#listeners]) what(listener);
  }

  #open(): void {
    this.#close();
    const url = new URL(WEBSOCKET_PATH, location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    url.hash = '';
    const socket = new WebSocket(url, SUBPROTOCOL);
    this.#socket = socket;
    const current = () => this.#socket === socket;
    socket.onopen = () => current() && this.#runner.dispatch({ on: 'opened' });
    socket.onclose = () => current() && this.#runner.dispatch({ on: 'closed' });
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (current() && typeof data === 'string')
        this.#runner.dispatch({ on: 'message', text: data });
    };
  }

  #close(): void {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }
}
