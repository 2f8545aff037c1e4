/** One camera being watched: runs `core/viewer-session` on peer connections and the signaling. */

import type { Loudness } from '../core/loudness';
import type { Incoming } from '../core/rpc';
import type { Sample } from '../core/stats';
import { initialState } from '../core/viewer-context';
import * as machine from '../core/viewer-session';
import type { ViewerEffect, ViewerEvent, ViewerState } from '../core/viewer-contract';
import type { Camera, CameraAddress, IceServersParams, InviteParams } from '../protocol';
import type { SessionParams, ShownParams, TrickleParams } from '../protocol';
import { PeerConnection } from './peer-connection';
import { Runner } from './runner';
import type { Signaling } from './signaling';

export interface ViewerListener {
  changed(state: ViewerState): void;
  /** The stream to show from now on. */
  stream(stream: MediaStream): void;
  /** Statistics of the shown stream; `null` once it is closed. */
  sampled(sample: Sample | null): void;
  signedOut(): void;
}

export class Viewer {
  readonly #signaling: Signaling;
  readonly #listener: ViewerListener;
  readonly #runner: Runner<ViewerState, ViewerEvent, ViewerEffect>;
  readonly #peers = new Map<number, PeerConnection>();
  readonly #unlisten: () => void;
  /** The camera, if it is in no list because it was only probed. */
  readonly #provisional: Camera | null;
  #shown: number | null = null;

  /** Watches a camera of the list, by its address; or one that was probed, which is in no list. */
  constructor(
    camera: CameraAddress | Camera,
    signaling: Signaling,
    listener: ViewerListener,
    withSound = false,
  ) {
    this.#provisional = typeof camera === 'string' ? null : camera;
    this.#signaling = signaling;
    this.#listener = listener;
    this.#runner = new Runner(
      { step: machine.step, nextTimeout: machine.nextTimeout, timeout: { type: 'timeout' } },
      initialState(typeof camera === 'string' ? camera : camera.address, withSound),
      (effect) => this.#apply(effect),
      (state) => listener.changed(state),
    );
    this.#unlisten = signaling.listen({
      up: () => this.#runner.dispatch({ type: 'signaling', up: true }),
      down: () => this.#runner.dispatch({ type: 'signaling', up: false }),
      incoming: (incoming) => this.#handleIncoming(incoming),
      request: (request) => this.#handleRequest(request),
    });
  }

  /** Starts watching. `cameras` is the latest list, or `null` if none has arrived. */
  start(cameras: readonly Camera[] | null): void {
    this.#runner.dispatch({ type: 'signaling', up: this.#signaling.isUp });
    const list = this.#provisional === null ? cameras : [this.#provisional];
    if (list !== null) this.#runner.dispatch({ type: 'cameras', cameras: list });
    this.#runner.dispatch({ type: 'start' });
  }

  retry(): void {
    this.#runner.dispatch({ type: 'retry' });
  }

  networkChanged(): void {
    this.#runner.dispatch({ type: 'network-changed' });
  }

  /** Sees to it that the session carries sound, if the camera can be heard. */
  listen(): void {
    this.#runner.dispatch({ type: 'listen' });
  }

  /** Returns what has been heard of the stream that is shown. */
  async loudness(): Promise<Loudness | null> {
    const peer = this.#shown === null ? undefined : this.#peers.get(this.#shown);
    return (await peer?.loudness()) ?? null;
  }

  stop(): void {
    this.#runner.dispatch({ type: 'stop' });
    this.#unlisten();
  }

  #handleRequest({ id, params }: Extract<Incoming, { kind: 'request' }>): boolean {
    const { session, offer } = params as unknown as InviteParams;
    if (!machine.expects(this.#runner.state, session)) return false;
    this.#runner.dispatch({ type: 'invite', id, session, offer });
    return true;
  }

  #handleIncoming(incoming: Exclude<Incoming, { kind: 'response' | 'request' }>): void {
    if (incoming.kind === 'error') {
      return this.#runner.dispatch({ type: 'fault', fault: incoming.fault });
    }
    const params: unknown = incoming.params;
    if (incoming.method === 'trickle') {
      const { session, candidate } = params as TrickleParams;
      this.#runner.dispatch({ type: 'remote-candidate', session, candidate });
    } else if (incoming.method === 'portholeIceServers') {
      const { session, iceServers } = params as IceServersParams;
      this.#runner.dispatch({ type: 'ice-servers', session, iceServers });
    } else if (incoming.method === 'portholeShown') {
      this.#runner.dispatch({ type: 'shown', shown: params as ShownParams });
    } else if (incoming.method === 'portholeClose') {
      this.#runner.dispatch({ type: 'closed', session: (params as SessionParams).session });
    } else if (incoming.method === 'portholeCameras' && this.#provisional === null) {
      const { cameras } = params as { cameras: Camera[] };
      this.#runner.dispatch({ type: 'cameras', cameras });
    }
  }

  #apply(effect: ViewerEffect): void {
    switch (effect.type) {
      case 'connect':
        return void this.#connect(effect);
      case 'extend':
        return void this.#extend(effect);
      case 'open-peer':
        return this.#openPeer(effect);
      case 'set-ice-servers':
        return this.#setIceServers(effect);
      case 'answer':
        return void this.#answer(effect);
      case 'add-candidate':
        return void this.#addCandidate(effect);
      case 'close-peer':
        return this.#closePeer(effect.generation);
      case 'show':
        return this.#show(effect.generation);
      case 'send-answer':
        return this.#signaling.respond(effect.id, { answer: effect.answer });
      case 'send-error':
        return this.#signaling.respondWithError(effect.id, effect.fault);
      case 'send-candidate': {
        const { session, candidate } = effect;
        return this.#signaling.notify('trickle', { session, candidate });
      }
      case 'send-close':
        return this.#signaling.notify('portholeClose', { session: effect.session });
      case 'doubt-server':
        return this.#signaling.doubt(effect.withinMs);
      case 'signed-out':
        return this.#listener.signedOut();
    }
  }

  async #connect({ generation, params }: EffectOf<'connect'>): Promise<void> {
    const outcome = await this.#signaling.request('connect', params);
    this.#runner.dispatch({ type: 'connect-result', generation, outcome });
  }

  async #extend({ generation, session }: EffectOf<'extend'>): Promise<void> {
    const outcome = await this.#signaling.request('extend', { session });
    this.#runner.dispatch({ type: 'extend-result', generation, outcome });
  }

  #openPeer({ generation, iceServers }: EffectOf<'open-peer'>): void {
    const peer = new PeerConnection(iceServers, {
      candidate: (candidate) =>
        this.#runner.dispatch({ type: 'local-candidate', generation, candidate }),
      ice: (state) => this.#runner.dispatch({ type: 'ice', generation, state }),
      stream: (stream) => {
        if (this.#shown === generation) this.#listener.stream(stream);
      },
      sampled: (sample) => {
        if (this.#shown === generation) this.#listener.sampled(sample);
        const { framesDecoded: decoded, silentMs } = sample;
        this.#runner.dispatch({ type: 'frames', generation, decoded, silentMs });
      },
    });
    this.#peers.set(generation, peer);
  }

  #setIceServers({ generation, iceServers }: EffectOf<'set-ice-servers'>): void {
    try {
      this.#peers.get(generation)?.setIceServers(iceServers);
    } catch (error) {
      // The connection keeps those it has.
      console.debug('cannot set the ICE servers', error);
    }
  }

  async #answer({ generation, id, offer }: EffectOf<'answer'>): Promise<void> {
    const peer = this.#peers.get(generation);
    if (peer === undefined) return;
    try {
      const answer = await peer.answer(offer);
      this.#runner.dispatch({ type: 'answered', generation, id, answer });
    } catch (error) {
      this.#runner.dispatch({ type: 'answer-failed', generation, id, message: String(error) });
    }
  }

  async #addCandidate({ generation, candidate }: EffectOf<'add-candidate'>): Promise<void> {
    try {
      await this.#peers.get(generation)?.addCandidate(candidate);
    } catch (error) {
      // The other candidates may be enough.
      console.debug('cannot add a candidate', error);
    }
  }

  #closePeer(generation: number): void {
    this.#peers.get(generation)?.close();
    this.#peers.delete(generation);
    if (this.#shown === generation) this.#listener.sampled(null);
  }

  /** Shows a session's stream; until it has one, the last frame stays on the screen. */
  #show(generation: number): void {
    this.#shown = generation;
    const stream = this.#peers.get(generation)?.stream ?? null;
    if (stream !== null) this.#listener.stream(stream);
  }
}

type EffectOf<T extends ViewerEffect['type']> = Extract<ViewerEffect, { type: T }>;
