/** One `RTCPeerConnection`: answers offers, adds candidates, and samples the statistics. */

import { loudnessOf, type Loudness } from '../core/loudness';
import { withTrickle } from '../core/sdp';
import { sample, type Report, type Sample } from '../core/stats';
import type { IceCandidate, IceServer } from '../protocol';

/** Often enough to notice that the video stopped, seldom enough to cost nothing. */
const SAMPLE_EVERY_MS = 1_000;
/** Interval at which the browser is asked whether frames still come, which is cheap. */
const LOOK_EVERY_MS = 250;
/** Time without a frame after which samples are taken at each look, and for how long. */
const QUIET_AFTER_MS = 500;
const QUIET_FOR_MS = 10_000;
/** Interval until the first frame, so that it is noticed at once. */
const FIRST_SAMPLE_EVERY_MS = 100;
/**
 * Time from the end of a connection to closing it. Chromium 156 never forgets some of those that
 * are closed while they come up, or just after, and makes no more than 500. The peer has been told
 * of the end, and sends nothing meanwhile.
 */
const CLOSE_AFTER_MS = 1_000;

export interface PeerConnectionListener {
  candidate(candidate: IceCandidate): void;
  ice(state: 'connected' | 'disconnected' | 'failed'): void;
  stream(stream: MediaStream): void;
  sampled(sample: Sample): void;
}

/** All media of a camera use one transport. */
const CONFIGURATION: RTCConfiguration = { bundlePolicy: 'max-bundle' };

export class PeerConnection {
  readonly #pc: RTCPeerConnection;
  readonly #listener: PeerConnectionListener;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #sample: Sample | null = null;
  #closed = false;
  #sound: RTCRtpReceiver | null = null;
  #picture: RTCRtpReceiver | null = null;
  /** The time stamp of the latest picture, and when it was seen first. */
  #latest = { stamp: 0, seenAt: 0 };
  #sampledAt = 0;
  stream: MediaStream | null = null;

  constructor(iceServers: readonly IceServer[], listener: PeerConnectionListener) {
    this.#listener = listener;
    this.#pc = new RTCPeerConnection({ ...CONFIGURATION, iceServers: [...iceServers] });
    this.#pc.onicecandidate = ({ candidate }) => listener.candidate(toIceCandidate(candidate));
    this.#pc.oniceconnectionstatechange = () => this.#handleIceState();
    this.#pc.onconnectionstatechange = () => {
      // A failed DTLS handshake is reported here only.
      if (this.#pc.connectionState === 'failed') listener.ice('failed');
    };
    this.#pc.ontrack = (event) => this.#handleTrack(event);
    this.#scheduleSample();
  }

  /** Applies an offer, the first or a later one, and returns the answer. */
  async answer(offer: string): Promise<string> {
    await this.#pc.setRemoteDescription({ type: 'offer', sdp: offer });
    await this.#pc.setLocalDescription();
    return withTrickle(this.#pc.localDescription?.sdp ?? '');
  }

  /** Adds a remote candidate, also before the offer is applied: the browser queues operations. */
  async addCandidate(candidate: IceCandidate): Promise<void> {
    const hasSection = candidate.sdpMid !== undefined || candidate.sdpMLineIndex !== undefined;
    // The end of candidates may come without the name of its media section.
    await this.#pc.addIceCandidate(hasSection ? candidate : { ...candidate, sdpMLineIndex: 0 });
  }

  /** Sets the ICE servers for the next ICE restart; the current path stays as it is. */
  setIceServers(iceServers: readonly IceServer[]): void {
    // The whole configuration is needed: a field that is left out counts as a change, and most
    // fields must not change.
    this.#pc.setConfiguration({ ...CONFIGURATION, iceServers: [...iceServers] });
  }

  /** Returns what has been heard so far; `null` without sound. */
  async loudness(): Promise<Loudness | null> {
    const report = await this.#sound?.getStats();
    return report === undefined ? null : loudnessOf([...report.values()] as Report[]);
  }

  /** Ends the connection at once for its listener, and closes it a moment later. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#pc.onicecandidate = null;
    this.#pc.oniceconnectionstatechange = null;
    this.#pc.onconnectionstatechange = null;
    this.#pc.ontrack = null;
    setTimeout(() => this.#pc.close(), CLOSE_AFTER_MS);
  }

  #handleIceState(): void {
    const state = this.#pc.iceConnectionState;
    if (state === 'connected' || state === 'completed') this.#listener.ice('connected');
    else if (state === 'disconnected' || state === 'failed') this.#listener.ice(state);
  }

  /** Shows the stream of the picture. Sound that comes in another stream is added to it. */
  #handleTrack({ receiver, track, streams }: RTCTrackEvent): void {
    minimizeDelay(receiver);
    if (track.kind === 'video') {
      this.stream = streams[0] ?? new MediaStream([track]);
      this.#picture = receiver;
    } else this.#sound = receiver;
    const { stream } = this;
    const sound = this.#sound?.track;
    if (stream === null) return;
    if (sound !== undefined && !stream.getTracks().includes(sound)) stream.addTrack(sound);
    this.#listener.stream(stream);
  }

  #scheduleSample(): void {
    if (this.#closed) return;
    const hasVideo = this.#sample !== null && this.#sample.framesDecoded > 0;
    const delay = hasVideo ? LOOK_EVERY_MS : FIRST_SAMPLE_EVERY_MS;
    this.#timer = setTimeout(() => this.#look(hasVideo), delay);
  }

  /** Takes a sample if one is due, or if pictures have stopped coming. */
  #look(hasVideo: boolean): void {
    const now = performance.now();
    const quietMs = now - this.#lastPictureAt(now);
    const isQuiet = quietMs >= QUIET_AFTER_MS && quietMs < QUIET_FOR_MS;
    // Half a look early is nearer than half a look late.
    const isDue = now - this.#sampledAt >= SAMPLE_EVERY_MS - LOOK_EVERY_MS / 2;
    if (hasVideo && !isQuiet && !isDue) return this.#scheduleSample();
    this.#sampledAt = now;
    void this.#takeSample();
  }

  /** Returns the time of the latest picture, as far as the browser tells it. */
  #lastPictureAt(now: number): number {
    const sources = this.#picture?.getSynchronizationSources() ?? [];
    const stamp = Math.max(0, ...sources.map(({ timestamp }) => timestamp));
    if (stamp !== this.#latest.stamp || stamp === 0) this.#latest = { stamp, seenAt: now };
    return this.#latest.seenAt;
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

/** Asks the browser to show frames as early as it can: a camera is watched live. */
function minimizeDelay(receiver: RTCRtpReceiver): void {
  const hinted: RTCRtpReceiver & { playoutDelayHint?: number | null } = receiver;
  if ('jitterBufferTarget' in hinted) hinted.jitterBufferTarget = 0;
  if ('playoutDelayHint' in hinted) hinted.playoutDelayHint = 0;
}

/** Converts a candidate of the browser; `null` stands for the end of candidates. */
function toIceCandidate(candidate: RTCIceCandidate | null): IceCandidate {
  if (candidate === null) return { candidate: '' };
  const { sdpMid, sdpMLineIndex, usernameFragment } = candidate;
  return {
    candidate: candidate.candidate,
    ...(sdpMid === null ? {} : { sdpMid }),
    ...(sdpMLineIndex === null ? {} : { sdpMLineIndex }),
    ...(usernameFragment === null ? {} : { usernameFragment }),
  };
}
