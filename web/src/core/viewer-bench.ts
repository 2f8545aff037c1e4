/** A bench for the tests of the viewer's state machine. */

import type { Camera, ConnectResult } from '../protocol';
import { initialState } from './viewer-context';
import type { ViewerEffect, ViewerEvent, ViewerState } from './viewer-contract';
import { nextTimeout, step } from './viewer-session';
import { viewOf } from './viewer-text';

export const CAMERA: Camera = {
  gateway: 'gw-1',
  address: 'door',
  id: 'door',
  name: 'Door',
  state: 'idle',
  viewers: 0,
  permissions: ['watch'],
};
const ANSWER = 'v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n';
export const CANDIDATE = {
  candidate: 'candidate:1 1 udp 1 192.168.1.9 5000 typ host',
  sdpMid: '0',
};

/** A viewer machine with a clock that the test moves; it collects the effects. */
export class Bench {
  state: ViewerState = initialState('door', false);
  now = 1_000;
  effects: ViewerEffect[] = [];

  dispatch(event: ViewerEvent): this {
    const { state, effects } = step(this.state, event, { now: this.now, random: 1 });
    this.state = state;
    this.effects.push(...effects);
    return this;
  }

  /** Advances the clock, and dispatches each timeout when it is due. */
  advance(ms: number): this {
    const end = this.now + ms;
    for (let turn = 0; turn < 100; turn++) {
      const at = nextTimeout(this.state);
      if (at === null || at > end) break;
      this.now = Math.max(this.now, at);
      this.dispatch({ type: 'timeout' });
    }
    this.now = end;
    return this;
  }

  /** Returns the types of the effects since the last call. */
  takeEffects(): string[] {
    return this.effects.splice(0).map((effect) => effect.type);
  }

  get phase(): string {
    return viewOf(this.state).phase;
  }

  get title(): string {
    return viewOf(this.state).title;
  }

  get detail(): string {
    return viewOf(this.state).detail;
  }

  get generation(): number {
    return this.state.generation;
  }

  start(camera: Camera | null = CAMERA): this {
    this.dispatch({ type: 'signaling', up: true });
    this.dispatch({ type: 'cameras', cameras: camera ? [camera] : [] });
    return this.dispatch({ type: 'start' });
  }

  updateCamera(changes: Partial<Camera>): this {
    return this.dispatch({ type: 'cameras', cameras: [{ ...CAMERA, ...changes }] });
  }

  acceptConnect(session = 's1', more: Partial<ConnectResult> = {}): this {
    const outcome = { ok: true as const, result: { session, iceServers: [], ...more } };
    return this.dispatch({ type: 'connect-result', generation: this.generation, outcome });
  }

  refuseConnect(code: number, message = 'because'): this {
    const outcome = { ok: false as const, fault: { code, message } };
    return this.dispatch({ type: 'connect-result', generation: this.generation, outcome });
  }

  receiveOffer(session = 's1'): this {
    return this.dispatch({ type: 'invite', id: 7, session, offer: 'v=0' });
  }

  sendAnswer(answer = ANSWER): this {
    return this.dispatch({ type: 'answered', generation: this.generation, id: 7, answer });
  }

  ice(state: 'connected' | 'disconnected' | 'failed', generation = this.generation): this {
    return this.dispatch({ type: 'ice', generation, state });
  }

  frames(decoded: number, generation = this.generation, silentMs: number | null = 0): this {
    return this.dispatch({ type: 'frames', generation, decoded, silentMs });
  }

  playFirstFrame(more: Partial<ConnectResult> = {}, session = 's1'): this {
    this.acceptConnect(session, more).receiveOffer(session).sendAnswer().ice('connected').frames(1);
    this.effects = [];
    return this;
  }

  /** Plays for some seconds, with one sample per second. */
  playFor(seconds: number): this {
    for (let second = 0; second < seconds; second++) {
      this.advance(1_000).frames((this.state.session?.framesDecoded ?? 0) + 25);
    }
    return this;
  }

  /**
   * Lets some time pass in which nothing arrives, with samples as often as a driver takes them.
   * `before` is the silence until now.
   */
  silence(ms: number, before = 0): this {
    for (let silentMs = before + 250; silentMs <= before + ms; silentMs += 250) {
      this.advance(250);
      const shown = this.state.previous ?? this.state.session;
      if (shown !== null) this.frames(shown.framesDecoded, shown.generation, silentMs);
    }
    return this;
  }

  /** Lets some seconds pass without a new frame. */
  stallFor(seconds: number): this {
    for (let second = 0; second < seconds; second++) {
      this.advance(1_000);
      if (this.state.session !== null) this.frames(this.state.session.framesDecoded);
    }
    return this;
  }
}
