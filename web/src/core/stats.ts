/** Turns the reports of `getStats` into one flat sample of the video's quality. */

import { pairOf, type Pair } from './pairs';
import { pathOf, type CandidateInfo, type Path } from './path';

/** One entry of an `RTCStatsReport`, of any type. */
export type Report = Readonly<Record<string, unknown>> & { readonly id: string };

export interface Sample {
  /** Time of the sample, in milliseconds. */
  readonly at: number;
  readonly path: Path | null;
  /** Candidate pairs that were tried to reach the gateway. */
  readonly pairs: readonly Pair[];
  /** Name of the codec, such as `H.264`. */
  readonly codec: string | null;
  readonly width: number | null;
  readonly height: number | null;
  readonly fps: number | null;
  readonly bitsPerSecond: number | null;
  readonly rttMs: number | null;
  /** Ratio of packets lost since the previous sample, from 0 to 1. */
  readonly loss: number | null;
  readonly jitterMs: number | null;
  /** Average time that a frame spent in the jitter buffer since the previous sample. */
  readonly bufferMs: number | null;
  readonly freezes: number;
  readonly framesDecoded: number;
  /** Time since the last packet of any kind on the path; `null` if the browser does not tell it. */
  readonly silentMs: number | null;
  /** Bitrate of the sound; `null` without sound, or until it is known. */
  readonly soundBitsPerSecond: number | null;
  readonly counters: Counters;
}

/** Cumulative counters; rates are computed from the difference of two samples. */
export interface Counters {
  readonly bytes: number;
  readonly received: number;
  readonly lost: number;
  readonly frames: number;
  /** Complete frames that arrived, and those of them that were never decoded or came too late. */
  readonly framesReceived: number;
  readonly framesDropped: number;
  readonly bufferSeconds: number;
  readonly bufferedFrames: number;
  readonly soundBytes: number;
}

/** Minimum time between two samples for computing rates; less makes them jump. */
const MIN_INTERVAL_MS = 200;

/** Returns a sample; `previous` is the one before it, for the rates. */
export function sample(reports: Iterable<Report>, at: number, previous: Sample | null): Sample {
  const byId = new Map<string, Report>();
  for (const report of reports) byId.set(report.id, report);
  const inbound = [...byId.values()].filter((report) => report.type === 'inbound-rtp');
  const video = inbound.find(({ kind }) => kind === 'video');
  const sound = inbound.find(({ kind }) => kind === 'audio');
  const pair = selectedPair(byId);
  const counters = countersOf(video, sound);
  // After a reconnection the counters start again at zero.
  const usable = previous !== null && counters.bytes >= previous.counters.bytes;
  const seconds = usable && at - previous.at >= MIN_INTERVAL_MS ? (at - previous.at) / 1000 : null;
  const since = (key: keyof Counters) => counters[key] - (usable ? previous.counters[key] : 0);
  return {
    at,
    path: pair && pathOfPair(pair, byId),
    pairs: pairsOf(byId, pair),
    codec: codecName(text(byId.get(text(video?.codecId) ?? '')?.mimeType)),
    width: number(video?.frameWidth),
    height: number(video?.frameHeight),
    fps: seconds === null ? number(video?.framesPerSecond) : since('frames') / seconds,
    bitsPerSecond: seconds === null ? null : (since('bytes') * 8) / seconds,
    rttMs: milliseconds(pair?.currentRoundTripTime),
    loss: ratio(Math.max(0, since('lost')), since('received') + Math.max(0, since('lost'))),
    jitterMs: milliseconds(video?.jitter),
    bufferMs: milliseconds(ratio(since('bufferSeconds'), since('bufferedFrames'))),
    freezes: number(video?.freezeCount) ?? 0,
    framesDecoded: counters.frames,
    silentMs: silence(pair, video),
    soundBitsPerSecond: seconds === null || !sound ? null : (since('soundBytes') * 8) / seconds,
    counters,
  };
}

function countersOf(video: Report | undefined, sound: Report | undefined): Counters {
  return {
    bytes: number(video?.bytesReceived) ?? 0,
    received: number(video?.packetsReceived) ?? 0,
    lost: number(video?.packetsLost) ?? 0,
    frames: number(video?.framesDecoded) ?? 0,
    framesReceived: number(video?.framesReceived) ?? 0,
    framesDropped: number(video?.framesDropped) ?? 0,
    bufferSeconds: number(video?.jitterBufferDelay) ?? 0,
    bufferedFrames: number(video?.jitterBufferEmittedCount) ?? 0,
    soundBytes: number(sound?.bytesReceived) ?? 0,
  };
}

/** Returns the selected pair. Firefox reports no transport, and marks the pair itself. */
function selectedPair(byId: ReadonlyMap<string, Report>): Report | null {
  for (const report of byId.values()) {
    if (report.type !== 'transport') continue;
    const pair = byId.get(text(report.selectedCandidatePairId) ?? '');
    if (pair) return pair;
  }
  for (const report of byId.values()) {
    if (report.type !== 'candidate-pair') continue;
    if (report.selected === true || (report.nominated === true && report.state === 'succeeded')) {
      return report;
    }
  }
  return null;
}

function pathOfPair(pair: Report, byId: ReadonlyMap<string, Report>): Path | null {
  const local = byId.get(text(pair.localCandidateId) ?? '');
  const remote = byId.get(text(pair.remoteCandidateId) ?? '');
  return local && remote ? pathOf(candidateInfo(local), candidateInfo(remote)) : null;
}

/** Returns the time since the last packet; media and checks are counted in different reports. */
function silence(...reports: (Report | null | undefined)[]): number | null {
  const ages = reports.flatMap((report) => {
    const [now, last] = [number(report?.timestamp), number(report?.lastPacketReceivedTimestamp)];
    return now === null || last === null ? [] : [Math.max(0, now - last)];
  });
  return ages.length > 0 ? Math.min(...ages) : null;
}

function pairsOf(byId: ReadonlyMap<string, Report>, selected: Report | null): Pair[] {
  return [...byId.values()].flatMap((report) => {
    if (report.type !== 'candidate-pair') return [];
    const local = byId.get(text(report.localCandidateId) ?? '');
    const remote = byId.get(text(report.remoteCandidateId) ?? '');
    if (local === undefined || remote === undefined) return [];
    const rttMs = milliseconds(report.currentRoundTripTime);
    const ends = [candidateInfo(local), candidateInfo(remote)] as const;
    return pairOf(...ends, report.state, report === selected, rttMs);
  });
}

function candidateInfo(candidate: Report): CandidateInfo {
  return {
    type: text(candidate.candidateType) ?? 'host',
    address: text(candidate.address) ?? text(candidate.ip),
    protocol: text(candidate.protocol),
    relayProtocol: text(candidate.relayProtocol),
  };
}

/** Returns the usual name of the codec: `video/H264` becomes `H.264`. */
function codecName(mimeType: string | null): string | null {
  const name = mimeType?.replace(/^video\//i, '') ?? null;
  return name?.replace(/^H(26\d)$/i, 'H.$1') ?? null;
}

function ratio(part: number, whole: number): number | null {
  return whole > 0 ? part / whole : null;
}

function milliseconds(seconds: unknown): number | null {
  const value = number(seconds);
  return value === null ? null : value * 1000;
}

function number(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
