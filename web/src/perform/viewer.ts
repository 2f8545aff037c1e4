/** Performs `core/viewer-session`: hands its effects to the peers and to the signaling server. */

import type { Incoming } from '../core/rpc';
import type { Sample } from '../core/stats';
import * as machine from '../core/viewer-session';
import type { ViewerEffect, ViewerEvent, ViewerState } from '../core/viewer-contract';
import type { Camera, CameraId, IceServersParams, InviteParams } from '../protocol';
import type { SessionParams, TrickleParams } from '../protocol';
import { Peer } from './peer';
import { Runner } from './runner';
import type { Signal } from './signal';

export interface ViewerListener {
  changed(state: ViewerState): void;
  /** The stream to show now, or none. */
  stream(stream: MediaStream | null): void;
  /** How the shown stream does. */
  sampled(sample: Sample | null): void;
  signedOut(): void;
}

export class Viewer {
  readonly #signal: Signal;
  readonly #listener: ViewerListener;
  readonly #runner: Runner<ViewerState, ViewerEvent, ViewerEffect>;
  readonly #peers = new Map<number, Peer>();
  readonly #unlisten: () => void;
  #shown: number | null = null;

  constructor(cameraId: CameraId, signal: Signal, listener: ViewerListener) {
    this.#signal = signal;
    this.#listener = listener;
    this.#runner = new Runner(
      { step: machine.step, wakeAt: machine.wakeAt, tick: { on: 'tick' } },
      machine.start(cameraId),
      (effect) => this.#perform(effect),
      (state) => listener.changed(state),
    );
    this.#unlisten = signal.listen({
      up: () => this.#runner.dispatch({ on: 'signal', up: true }),
      down: () => this.#runner.dispatch({ on: 'signal', up: false }),
      incoming: (incoming) => this.#incoming(incoming),
    });
  }

  /** `cameras` is the last list, if there was one. */
  start(cameras: readonly Camera[] | null): void {
    this.#runner.dispatch({ on: 'signal', up: this.#signal.isUp });
    if (cameras !== null) this.#runner.dispatch({ on: 'cameras', cameras });
    this.#runner.dispatch({ on: 'start' });
  }

  retry(): void {
    this.#runner.dispatch({ on: 'retry' });
  }

  networkChanged(): void {
    this.#runner.dispatch({ on: 'network-changed' });
  }

  stop(): void {
    this.#runner.dispatch({ on: 'stop' });
    this.#unlisten();
  }

  #incoming(incoming: Exclude<Incoming, { kind: 'response' }>): void {
    if (incoming.kind === 'error') {
      return this.#runner.dispatch({ on: 'fault', fault: incoming.fault });
    }
    const params: unknown = incoming.params;
    if (incoming.kind === 'request') {
      const { session, offer } = params as InviteParams;
      return this.#runner.dispatch({ on: 'invite', id: incoming.id, session, offer });
    }
    if (incoming.method === 'trickle') {
      const { session, candidate } = params as TrickleParams;
      this.#runner.dispatch({ on: 'remote-candidate', session, candidate });
    } else if (incoming.method === 'portholeIceServers') {
      const { session, iceServers } = params as IceServersParams;
      this.#runner.dispatch({ on: 'ice-servers', session, iceServers });
    } else if (incoming.method === 'portholeClose') {
      this.#runner.dispatch({ on: 'closed', session: (params as SessionParams).session });
    } else if (incoming.method === 'portholeCameras') {
      const { cameras } = params as { cameras: Camera[] };
      this.#runner.dispatch({ on: 'cameras', cameras });
    }
  }

  #perform(effect: ViewerEffect): void {
    switch (effect.do) {
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
      case 'reply':
        return this.#signal.reply(effect.id, { answer: effect.answer });
      case 'refuse':
        return this.#signal.refuse(effect.id, effect.fault);
      case 'send-candidate': {
        const { session, candidate } = effect;
        return this.#signal.notify('trickle', { session, candidate });
      }
      case 'send-close':
        return this.#signal.notify('portholeClose', { session: effect.session });
      case 'signed-out':
        return this.#listener.signedOut();
    }
  }

  async #connect({ generation, params }: Of<'connect'>): Promise<void> {
    const outcome = await this.#signal.request('connect', params);
    this.#runner.dispatch({ on: 'connect-settled', generation, outcome });
  }

  async #extend({ generation, session }: Of<'extend'>): Promise<void> {
    const outcome = await this.#signal.request('extend', { session });
    this.#runner.dispatch({ on: 'extend-settled', generation, outcome });
  }

  #openPeer({ generation, iceServers }: Of<'open-peer'>): void {
    const peer = new Peer(iceServers, {
      candidate: (candidate) =>
        this.#runner.dispatch({ on: 'local-candidate', generation, candidate }),
      ice: (state) => this.#runner.dispatch({ on: 'ice', generation, state }),
      stream: (stream) => {
        if (this.#shown === generation) this.#listener.stream(stream);
      },
      sampled: (sample) => {
        if (this.#shown === generation) this.#listener.sampled(sample);
        this.#runner.dispatch({ on: 'frames', generation, decoded: sample.framesDecoded });
      },
    });
    this.#peers.set(generation, peer);
  }

  #setIceServers({ generation, iceServers }: Of<'set-ice-servers'>): void {
    try {
      this.#peers.get(generation)?.setIceServers(iceServers);
    } catch (error) {
      // Those it has stay.
      console.debug('the ICE servers were not taken', error);
    }
  }

  async #answer({ generation, id, offer }: Of<'answer'>): Promise<void> {
    const peer = this.#peers.get(generation);
    if (peer === undefined) return;
    try {
      const answer = await peer.answer(offer);
      this.#runner.dispatch({ on: 'answered', generation, id, answer });
    } catch (error) {
      this.#runner.dispatch({ on: 'answer-failed', generation, id, message: String(error) });
    }
  }

  async #addCandidate({ generation, candidate }: Of<'add-candidate'>): Promise<void> {
    try {
      await this.#peers.get(generation)?.addCandidate(candidate);
    } catch (error) {
      // One that the browser cannot use; the others may do.
      console.debug('a candidate was not taken', error);
    }
  }

  #closePeer(generation: number): void {
    this.#peers.get(generation)?.close();
    this.#peers.delete(generation);
    if (this.#shown === generation) this.#listener.sampled(null);
  }

  /** The last picture stays on the screen until there is another one. */
  #show(generation: number): void {
    this.#shown = generation;
    const stream = this.#peers.get(generation)?.stream ?? null;
    if (stream !== null) this.#listener.stream(stream);
  }
}

type Of<D extends ViewerEffect['do']> = Extract<ViewerEffect, { do: D }>;
