/** One `RTCPeerConnection`, from an offer to a stream of pictures. */

import { withTrickle } from '../core/sdp';
import { sample, type Report, type Sample } from '../core/stats';
import type { IceCandidate, IceServer } from '../protocol';

/** Often enough to notice a stopped picture, seldom enough to cost nothing. */
const SAMPLE_EVERY_MS = 1_000;
/** Until the first picture, which is told at once. */
const FIRST_SAMPLE_EVERY_MS = 100;

export interface PeerListener {
  candidate(candidate: IceCandidate): void;
  ice(state: 'connected' | 'disconnected' | 'failed'): void;
  stream(stream: MediaStream): void;
  sampled(sample: Sample): void;
}

/** Everything of one camera on one transport. */
const BUNDLE: RTCConfiguration = { bundlePolicy: 'max-bundle' };

export class Peer {
  readonly #pc: RTCPeerConnection;
  readonly #listener: PeerListener;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #sample: Sample | null = null;
  #closed = false;
  stream: MediaStream | null = null;

  constructor(iceServers: readonly IceServer[], listener: PeerListener) {
    this.#listener = listener;
    this.#pc = new RTCPeerConnection({ ...BUNDLE, iceServers: [...iceServers] });
    this.#pc.onicecandidate = ({ candidate }) => listener.candidate(plain(candidate));
    this.#pc.oniceconnectionstatechange = () => this.#iceChanged();
    this.#pc.onconnectionstatechange = () => {
      // A DTLS handshake that fails shows here only.
      if (this.#pc.connectionState === 'failed') listener.ice('failed');
    };
    this.#pc.ontrack = (event) => this.#track(event);
    this.#scheduleSample();
  }

  /** The answer to an offer, the first or another one. */
  async answer(offer: string): Promise<string> {
    await this.#pc.setRemoteDescription({ type: 'offer', sdp: offer });
    await this.#pc.setLocalDescription();
    return withTrickle(this.#pc.localDescription?.sdp ?? '');
  }

  /** May be called before the offer is applied: the connection keeps operations in order. */
  async addCandidate(candidate: IceCandidate): Promise<void> {
    const whole = candidate.sdpMid !== undefined || candidate.sdpMLineIndex !== undefined;
    // The end of the candidates may come without the media section it belongs to.
    await this.#pc.addIceCandidate(whole ? candidate : { ...candidate, sdpMLineIndex: 0 });
  }

  /** For the next time ICE restarts; what flows is left alone. */
  setIceServers(iceServers: readonly IceServer[]): void {
    // What is left out of a configuration would be changed, and most of it may not be.
    this.#pc.setConfiguration({ ...BUNDLE, iceServers: [...iceServers] });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#pc.onicecandidate = null;
    this.#pc.oniceconnectionstatechange = null;
    this.#pc.onconnectionstatechange = null;
    this.#pc.ontrack = null;
    this.#pc.close();
  }

  #iceChanged(): void {
    const state = this.#pc.iceConnectionState;
    if (state === 'connected' || state === 'completed') this.#listener.ice('connected');
    else if (state === 'disconnected' || state === 'failed') this.#listener.ice(state);
  }

  #track({ receiver, track, streams }: RTCTrackEvent): void {
    showAtOnce(receiver);
    this.stream = streams[0] ?? new MediaStream([track]);
    this.#listener.stream(this.stream);
  }

  #scheduleSample(): void {
    if (this.#closed) return;
    const seen = this.#sample !== null && this.#sample.framesDecoded > 0;
    const wait = seen ? SAMPLE_EVERY_MS : FIRST_SAMPLE_EVERY_MS;
    this.#timer = setTimeout(() => void this.#takeSample(), wait);
  }

  async #takeSample(): Promise<void> {
    try {
      const report = await this.#pc.getStats();
      const reports = [...report.values()] as Report[];
      if (this.#closed) return;
      this.#sample = sample(reports, performance.now(), this.#sample);
      this.#listener.sampled(this.#sample);
    } finally {
      this.#scheduleSample();
    }
  }
}

/** A camera is watched live: no frame waits longer than it must. */
function showAtOnce(receiver: RTCRtpReceiver): void {
  const hinted: RTCRtpReceiver & { playoutDelayHint?: number | null } = receiver;
  if ('jitterBufferTarget' in hinted) hinted.jitterBufferTarget = 0;
  if ('playoutDelayHint' in hinted) hinted.playoutDelayHint = 0;
}

/** As the protocol has it; `null` ends the candidates. */
function plain(candidate: RTCIceCandidate | null): IceCandidate {
  if (candidate === null) return { candidate: '' };
  const { sdpMid, sdpMLineIndex, usernameFragment } = candidate;
  return {
    candidate: candidate.candidate,
    ...(sdpMid === null ? {} : { sdpMid }),
    ...(sdpMLineIndex === null ? {} : { sdpMLineIndex }),
    ...(usernameFragment === null ? {} : { usernameFragment }),
  };
}
