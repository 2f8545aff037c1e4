/** From `getStats` to one flat sample: what a person wants to know about the picture. */

import { pathOf, type CandidateFacts, type Path } from './path';

/** A report of any type, as `RTCStatsReport` hands them out. */
export type Report = Readonly<Record<string, unknown>> & { readonly id: string };

export interface Sample {
  readonly at: number;
  readonly path: Path | null;
  /** Such as `H.264`. */
  readonly codec: string | null;
  readonly width: number | null;
  readonly height: number | null;
  readonly fps: number | null;
  readonly bitsPerSecond: number | null;
  readonly rttMs: number | null;
  /** The share of packets that were lost since the sample before. */
  readonly loss: number | null;
  readonly jitterMs: number | null;
  /** What the jitter buffer added to each frame since the sample before. */
  readonly bufferMs: number | null;
  readonly freezes: number;
  readonly framesDecoded: number;
  readonly counters: Counters;
}

/** What only grows; rates are the difference of two. */
export interface Counters {
  readonly bytes: number;
  readonly received: number;
  readonly lost: number;
  readonly frames: number;
  readonly bufferSeconds: number;
  readonly bufferedFrames: number;
}

/** A shorter time makes rates jump. */
const MIN_INTERVAL_MS = 200;

export function sample(reports: Iterable<Report>, at: number, before: Sample | null): Sample {
  const byId = new Map<string, Report>();
  for (const report of reports) byId.set(report.id, report);
  const video = [...byId.values()].find((r) => r.type === 'inbound-rtp' && r.kind === 'video');
  const pair = selectedPair(byId);
  const counters = countersOf(video);
  // After a reconnection everything counts from zero again.
  const usable = before !== null && counters.bytes >= before.counters.bytes;
  const seconds = usable && at - before.at >= MIN_INTERVAL_MS ? (at - before.at) / 1000 : null;
  const since = (key: keyof Counters) => counters[key] - (usable ? before.counters[key] : 0);
  return {
    at,
    path: pair && pathFrom(pair, byId),
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
    counters,
  };
}

function countersOf(video: Report | undefined): Counters {
  return {
    bytes: number(video?.bytesReceived) ?? 0,
    received: number(video?.packetsReceived) ?? 0,
    lost: number(video?.packetsLost) ?? 0,
    frames: number(video?.framesDecoded) ?? 0,
    bufferSeconds: number(video?.jitterBufferDelay) ?? 0,
    bufferedFrames: number(video?.jitterBufferEmittedCount) ?? 0,
  };
}

/** The transport names the pair; Firefox has no transport and marks the pair itself. */
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

function pathFrom(pair: Report, byId: ReadonlyMap<string, Report>): Path | null {
  const local = byId.get(text(pair.localCandidateId) ?? '');
  const remote = byId.get(text(pair.remoteCandidateId) ?? '');
  return local && remote ? pathOf(factsOf(local), factsOf(remote)) : null;
}

function factsOf(candidate: Report): CandidateFacts {
  return {
    type: text(candidate.candidateType) ?? 'host',
    address: text(candidate.address) ?? text(candidate.ip),
    protocol: text(candidate.protocol),
    relayProtocol: text(candidate.relayProtocol),
  };
}

/** `video/H264` is written H.264 by everybody but the MIME type. */
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
