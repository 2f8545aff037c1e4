/**
 * Watching one camera: asks for a session, answers the gateway's offer, watches over the picture,
 * and starts again whenever it is lost. Media survives the loss of the WebSocket.
 *
 * A link is one WebRTC session: asking → waiting → answering → checking → connected → flowing.
 * Before a session runs out that the server no longer knows, another link takes its place, and
 * the picture of the previous one stays until then.
 */

import { code, type Camera, type CameraId, type Fault } from '../protocol';
import type { ConnectParams, ConnectResult, ExtendResult, SessionId } from '../protocol';
import type { IceCandidate, IceServer, RequestId } from '../protocol';
import { delayMs } from './backoff';
import { earliest, type Env, type Step } from './machine';
import { reasonOf, type Reason } from './reasons';
import { LOCAL, type Outcome } from './rpc';
import { refusesVideo } from './sdp';
import type { Early, Link, PeerEvent, Stage } from './viewer-contract';
import type { ViewerEffect, ViewerEvent, ViewerState } from './viewer-contract';

const BACKOFF = { firstMs: 700, maxMs: 12_000 };
/** An on-demand camera is connected to first; the gateway gives up on one within ten seconds. */
const OFFER_TIMEOUT_MS = 15_000;
const ANSWER_TIMEOUT_MS = 5_000;
/** Longer than the checks of every candidate pair take, TURN over TCP included. */
const CHECKS_TIMEOUT_MS = 15_000;
/** A camera may send a key frame as seldom as every ten seconds. */
const FIRST_FRAME_TIMEOUT_MS = 12_000;
/** How long the gateway has for an ICE restart before we start from scratch. */
const RESTART_PATIENCE_MS = 4_000;
/** Two samples without a new frame: say so. */
const STALL_MS = 2_000;
/** A live camera whose picture stays away for so long has lost us. */
const STALL_PATIENCE_MS = 8_000;
/** A longer gap between samples means that the page slept, not that the picture stood still. */
const SLEPT_MS = 3_000;
/** A stall this soon after the network changed is because of that. */
const NETWORK_CHANGE_MS = 10_000;
/** A picture for so long makes earlier failures irrelevant. */
const STEADY_MS = 5_000;
/** Extended when this share of its life has passed, so that one failure can be made good. */
const EXTEND_SHARE = 0.6;
const EXTEND_RETRY_MS = 5_000;
/** How long before its end a session that cannot be extended is replaced. */
const REPLACE_BEFORE_MS = 20_000;
/** What may arrive before the answer to `connect`: an offer and its candidates. */
const MAX_EARLY = 64;
/** A browser gathers a dozen; the rest waits for nothing. */
const MAX_UNSENT = 64;

export function start(cameraId: CameraId): ViewerState {
  return {
    cameraId,
    running: false,
    signalUp: false,
    camera: undefined,
    link: null,
    previous: null,
    generation: 0,
    attempt: 0,
    retryAt: null,
    reason: null,
    played: false,
    networkChangedAt: null,
  };
}

export function step(
  state: ViewerState,
  event: ViewerEvent,
  env: Env,
): Step<ViewerState, ViewerEffect> {
  const work: Work = { state, effects: [], env };
  handle(work, event);
  return { state: work.state, effects: work.effects };
}

/** When the machine wants its next `tick`. */
export function wakeAt({ link, retryAt }: ViewerState): number | null {
  if (link === null) return retryAt;
  return earliest(retryAt, link.deadline, link.iceGiveUpAt, link.extendAt, link.replaceAt);
}

/** Whether the picture stands still although it should move. */
export function isStalled(link: Link): boolean {
  return link.stage === 'flowing' && link.sampledAt - link.frameAt >= STALL_MS;
}

interface Work {
  state: ViewerState;
  readonly effects: ViewerEffect[];
  readonly env: Env;
}

function handle(work: Work, event: ViewerEvent): void {
  switch (event.on) {
    case 'start':
      change(work, { running: true });
      return begin(work);
    case 'stop':
      return stop(work);
    case 'retry':
      return retry(work);
    case 'tick':
      return tick(work);
    case 'network-changed':
      return networkChanged(work);
    case 'signal':
      return signal(work, event.up);
    case 'cameras':
      return cameras(work, event.cameras);
    case 'invite':
    case 'remote-candidate':
      return fromGateway(work, event);
    case 'ice-servers':
      return freshIceServers(work, event.session, event.iceServers);
    case 'closed':
      return closed(work, event.session);
    case 'fault':
      return fault(work, event.fault);
    case 'connect-settled':
      return connectSettled(work, event.generation, event.outcome);
    default:
      return fromPeer(work, event);
  }
}

function change(work: Work, changes: Partial<ViewerState>): void {
  work.state = { ...work.state, ...changes };
}

function changeLink(work: Work, changes: Partial<Link>): void {
  if (work.state.link !== null) change(work, { link: { ...work.state.link, ...changes } });
}

// From scratch, and the end.

function begin(work: Work): void {
  const { running, signalUp, camera, link, generation, reason } = work.state;
  if (!running || !signalUp || camera === undefined || link !== null || reason?.final) return;
  if (camera === null) return change(work, { reason: { kind: 'absent' }, retryAt: null });
  if (camera.state === 'offline') {
    return change(work, { reason: { kind: 'offline' }, retryAt: null });
  }
  const next = newLink(generation + 1, work.env.now);
  change(work, { link: next, generation: next.generation, retryAt: null });
  const params: ConnectParams = { peer: camera.gateway, profile: camera.id };
  work.effects.push({ do: 'connect', generation: next.generation, params });
}

function newLink(generation: number, now: number): Link {
  return {
    generation,
    stage: 'asking',
    session: null,
    deadline: null,
    early: [],
    unsent: [],
    answered: false,
    iceGiveUpAt: null,
    frames: 0,
    frameAt: now,
    sampledAt: now,
    flowingSince: null,
    expiresAt: null,
    extendAt: null,
    replaceAt: null,
  };
}

function stop(work: Work): void {
  drop(work, work.state.link);
  drop(work, work.state.previous);
  change(work, { ...start(work.state.cameraId), generation: work.state.generation });
}

function retry(work: Work): void {
  drop(work, work.state.link);
  change(work, { link: null, reason: null, attempt: 0, retryAt: null });
  begin(work);
}

function drop(work: Work, link: Link | null): void {
  if (link === null) return;
  if (link.session !== null) {
    work.effects.push({ do: 'close-peer', generation: link.generation });
    work.effects.push({ do: 'send-close', session: link.session });
  }
}

/** The link is no good any more. One that had a picture is replaced at once. */
function lose(work: Work, reason: Reason): void {
  const { link, previous, attempt, camera } = work.state;
  drop(work, link);
  if (previous !== null) return restore(work, previous);
  const { now, random } = work.env;
  const flowed = link?.flowingSince ?? null;
  if (flowed !== null && now - flowed >= STEADY_MS) {
    change(work, { link: null, reason, attempt: 0, retryAt: null });
    return begin(work);
  }
  const known = camera?.state === 'failed' && !reason.final;
  change(work, {
    link: null,
    reason: known ? reasonOf.camera(camera) : reason,
    attempt: attempt + 1,
    retryAt: reason.final ? null : now + delayMs(BACKOFF, attempt, random),
  });
}

/** The replacement failed; the one it was to replace still plays. */
function restore(work: Work, previous: Link): void {
  const { now, random } = work.env;
  const attempt = work.state.attempt + 1;
  const replaceAt = now + delayMs(BACKOFF, attempt, random);
  const link = { ...previous, replaceAt, frameAt: now, sampledAt: now };
  change(work, { link, previous: null, attempt });
}

// From the signaling server.

function signal(work: Work, up: boolean): void {
  change(work, { signalUp: up });
  const { link, previous } = work.state;
  if (!up) {
    // Without the server an offer cannot come; a link that has answered may still succeed.
    if (link !== null && !link.answered) {
      if (link.session !== null) {
        work.effects.push({ do: 'close-peer', generation: link.generation });
      }
      change(work, { link: null });
      if (previous !== null) restore(work, previous);
    }
    return;
  }
  if (work.state.link === null) return begin(work);
  // Does the server still know the session? The answer says.
  if (work.state.link.expiresAt !== null) extend(work);
}

function cameras(work: Work, list: readonly Camera[]): void {
  const before = work.state.camera;
  const camera = list.find(({ id }) => id === work.state.cameraId) ?? null;
  change(work, { camera });
  const { link, reason } = work.state;
  if (link !== null) {
    if (camera?.state === 'offline' && !link.answered) lose(work, { kind: 'offline' });
    return;
  }
  const back = before?.state !== camera?.state && camera?.state !== 'failed';
  if (back && reason?.kind !== 'forbidden') begin(work);
  else if (camera?.state === 'failed' && reason !== null && !reason.final) {
    change(work, { reason: reasonOf.camera(camera) });
  }
  if (work.state.retryAt === null) begin(work);
}

function connectSettled(work: Work, generation: number, outcome: Outcome<ConnectResult>): void {
  const { link } = work.state;
  if (link === null || link.generation !== generation || link.stage !== 'asking') {
    // Nobody waits for it any more.
    if (outcome.ok) work.effects.push({ do: 'send-close', session: outcome.result.session });
    return;
  }
  if (!outcome.ok) return refused(work, outcome.fault);
  const { session, iceServers, expiryTimeSeconds } = outcome.result;
  const { early } = link;
  const deadline = work.env.now + OFFER_TIMEOUT_MS;
  changeLink(work, {
    stage: 'waiting',
    session,
    deadline,
    early: [],
    ...life(work, expiryTimeSeconds),
  });
  work.effects.push({ do: 'open-peer', generation, iceServers: iceServers ?? [] });
  if (work.state.previous === null) work.effects.push({ do: 'show', generation });
  for (const event of early) if (event.session === session) fromGateway(work, event);
}

function refused(work: Work, why: Fault): void {
  if (why.code === code.UNAUTHORIZED) work.effects.push({ do: 'signed-out' });
  if (why.code === LOCAL.OFFLINE) return change(work, { link: null });
  lose(work, reasonOf.fault(why));
}

function life(work: Work, seconds: number | undefined): Pick<Link, 'expiresAt' | 'extendAt'> {
  if (seconds === undefined) return { expiresAt: null, extendAt: null };
  const { now } = work.env;
  return { expiresAt: now + seconds * 1000, extendAt: now + seconds * 1000 * EXTEND_SHARE };
}

/** An offer or a candidate. Both may overtake the answer to `connect`. */
function fromGateway(work: Work, event: Early): void {
  const { link } = work.state;
  if (link?.stage === 'asking') {
    if (link.early.length < MAX_EARLY) changeLink(work, { early: [...link.early, event] });
    return;
  }
  if (link === null || link.session !== event.session) {
    if (event.on === 'invite') {
      const why: Fault = { code: code.NOT_FOUND, message: 'The viewer has no such session.' };
      work.effects.push({ do: 'refuse', id: event.id, fault: why });
    }
    return;
  }
  const { generation } = link;
  if (event.on === 'remote-candidate') {
    work.effects.push({ do: 'add-candidate', generation, candidate: event.candidate });
    return;
  }
  const { now } = work.env;
  if (link.stage === 'waiting') {
    changeLink(work, { stage: 'answering', deadline: now + ANSWER_TIMEOUT_MS });
  } else if (link.iceGiveUpAt !== null) {
    changeLink(work, { iceGiveUpAt: now + CHECKS_TIMEOUT_MS });
  }
  work.effects.push({ do: 'answer', generation, id: event.id, offer: event.offer });
}

/** The credentials of the first ones do not last as long as a session does. */
function freshIceServers(work: Work, session: SessionId, iceServers: readonly IceServer[]): void {
  for (const link of [work.state.link, work.state.previous]) {
    if (link?.session !== session) continue;
    work.effects.push({ do: 'set-ice-servers', generation: link.generation, iceServers });
  }
}

function closed(work: Work, session: SessionId, detail?: string): void {
  const { link, previous } = work.state;
  if (previous?.session === session) {
    work.effects.push({ do: 'close-peer', generation: previous.generation });
    return withoutPrevious(work);
  }
  if (link?.session === session) lose(work, reasonOf.closed(detail));
}

/** ONVIF's `error`. A picture that flows is proof that the session lives all the same. */
function fault(work: Work, why: Fault): void {
  // `portholeClose` follows, which has no words of its own.
  if (why.code === code.GONE && why.session) return closed(work, why.session, why.message);
  const { link } = work.state;
  if (link === null || link.session === null || link.session !== why.session) return;
  if (link.stage === 'flowing' || link.stage === 'connected') return;
  if (why.code !== code.MALFORMED_CANDIDATE) lose(work, reasonOf.fault(why));
}

// From the peer connection.

function fromPeer(work: Work, event: PeerEvent): void {
  const { link, previous } = work.state;
  if (previous?.generation === event.generation) return fromPrevious(work, event);
  if (link?.generation !== event.generation) return;
  switch (event.on) {
    case 'extend-settled':
      return extendSettled(work, link, event.outcome);
    case 'answered':
      return answered(work, link, event.id, event.answer);
    case 'answer-failed': {
      const why: Fault = { code: code.BAD_REQUEST, message: event.message };
      work.effects.push({ do: 'refuse', id: event.id, fault: why });
      if (link.stage === 'answering') lose(work, { kind: 'answer', detail: event.message });
      return;
    }
    case 'local-candidate':
      return localCandidate(work, link, event.candidate);
    case 'ice':
      return ice(work, link, event.state);
    case 'frames':
      return frames(work, link, event.decoded);
  }
}

function fromPrevious(work: Work, event: PeerEvent): void {
  if (event.on !== 'ice' || event.state === 'connected') return;
  drop(work, work.state.previous);
  withoutPrevious(work);
}

/** What was to replace it is all there is to look at. */
function withoutPrevious(work: Work): void {
  change(work, { previous: null });
  const { link } = work.state;
  if (link !== null) work.effects.push({ do: 'show', generation: link.generation });
}

function answered(work: Work, link: Link, id: RequestId, answer: string): void {
  work.effects.push({ do: 'reply', id, answer });
  if (link.stage !== 'answering') return;
  if (refusesVideo(answer)) return lose(work, { kind: 'codec', final: true });
  changeLink(work, {
    stage: 'checking',
    answered: true,
    unsent: [],
    deadline: work.env.now + CHECKS_TIMEOUT_MS,
  });
  for (const candidate of link.unsent) sendCandidate(work, candidate);
}

function localCandidate(work: Work, link: Link, candidate: IceCandidate): void {
  if (link.answered) return sendCandidate(work, candidate);
  if (link.unsent.length < MAX_UNSENT) changeLink(work, { unsent: [...link.unsent, candidate] });
}

function sendCandidate(work: Work, candidate: IceCandidate): void {
  const session = work.state.link?.session;
  if (session) work.effects.push({ do: 'send-candidate', session, candidate });
}

function ice(work: Work, link: Link, state: 'connected' | 'disconnected' | 'failed'): void {
  const { now } = work.env;
  if (state === 'failed') {
    return lose(work, { kind: link.flowingSince === null ? 'no-way' : 'lost' });
  }
  if (state === 'disconnected') {
    if (link.iceGiveUpAt === null) changeLink(work, { iceGiveUpAt: now + RESTART_PATIENCE_MS });
    return;
  }
  changeLink(work, { iceGiveUpAt: null });
  if (link.stage === 'checking') {
    changeLink(work, { stage: 'connected', deadline: now + FIRST_FRAME_TIMEOUT_MS });
  }
}

/** How many frames were decoded so far: once a second, and when the first one is there. */
function frames(work: Work, link: Link, decoded: number): void {
  const { now } = work.env;
  const moves = decoded > link.frames;
  const slept = now - link.sampledAt > SLEPT_MS;
  const frameAt = moves || slept ? now : link.frameAt;
  const sampled: Link = { ...link, frames: decoded, frameAt, sampledAt: now };
  change(work, { link: sampled });
  if (moves) return flowing(work, sampled);
  if (isStalled(sampled)) stalled(work, sampled);
}

function flowing(work: Work, link: Link): void {
  const { previous, attempt } = work.state;
  const flowingSince = link.flowingSince ?? work.env.now;
  const steady = work.env.now - flowingSince >= STEADY_MS;
  changeLink(work, { stage: 'flowing', deadline: null, flowingSince });
  change(work, { played: true, reason: null, attempt: steady ? 0 : attempt });
  if (previous === null) return;
  work.effects.push({ do: 'show', generation: link.generation });
  drop(work, previous);
  change(work, { previous: null });
}

function stalled(work: Work, link: Link): void {
  const { camera, networkChangedAt, signalUp } = work.state;
  // Without the server there is nothing better to be had.
  if (!signalUp) return;
  const { now } = work.env;
  const moved = networkChangedAt !== null && now - networkChangedAt < NETWORK_CHANGE_MS;
  // A camera that its gateway is connecting to again sends on this link once it is back.
  const mended = camera?.state === 'connecting' || camera?.state === 'failed';
  if (moved || (!mended && now - link.frameAt >= STALL_PATIENCE_MS))
    lose(work, { kind: 'stalled' });
}

function networkChanged(work: Work): void {
  const { link } = work.state;
  change(work, { networkChangedAt: work.env.now });
  if (link?.iceGiveUpAt != null && work.state.signalUp) lose(work, { kind: 'lost' });
}

// Time.

function tick(work: Work): void {
  const { now } = work.env;
  const { retryAt } = work.state;
  if (retryAt !== null && now >= retryAt) {
    change(work, { retryAt: null });
    begin(work);
  }
  const { link } = work.state;
  if (link === null) return;
  const due = (moment: number | null) => moment !== null && now >= moment;
  if (due(link.deadline)) return lose(work, { kind: TOO_LATE[link.stage] });
  if (due(link.iceGiveUpAt)) return iceOverdue(work, link);
  if (due(link.replaceAt)) return replace(work, link);
  if (due(link.extendAt)) extend(work);
}

const TOO_LATE: Record<Stage, Reason['kind']> = {
  asking: 'timeout',
  waiting: 'timeout',
  answering: 'answer',
  checking: 'no-way',
  connected: 'no-picture',
  flowing: 'stalled',
};

/** Without the server a new session cannot be had, so the old one may as well recover. */
function iceOverdue(work: Work, link: Link): void {
  const moves = link.stage === 'flowing' && link.sampledAt === link.frameAt;
  if (work.state.signalUp && !moves) return lose(work, { kind: 'lost' });
  changeLink(work, { iceGiveUpAt: work.env.now + RESTART_PATIENCE_MS });
}

// The life of a session.

function extend(work: Work): void {
  const { link, signalUp } = work.state;
  changeLink(work, { extendAt: null });
  if (link === null || link.session === null || !signalUp) return;
  work.effects.push({ do: 'extend', generation: link.generation, session: link.session });
}

function extendSettled(work: Work, link: Link, outcome: Outcome<ExtendResult>): void {
  const { now } = work.env;
  if (outcome.ok) {
    return changeLink(work, { ...life(work, outcome.result.expiryTimeSeconds), replaceAt: null });
  }
  const { code: number } = outcome.fault;
  // The server being back asks again by itself.
  if (number === LOCAL.OFFLINE || link.expiresAt === null) return;
  if (!GONE_FOR_GOOD.has(number)) return changeLink(work, { extendAt: now + EXTEND_RETRY_MS });
  changeLink(work, { replaceAt: Math.max(now, link.expiresAt - REPLACE_BEFORE_MS) });
}

/** Anything else, such as a gateway that is away for a moment, is worth asking again. */
const GONE_FOR_GOOD: ReadonlySet<number> = new Set([
  code.UNAUTHORIZED,
  code.FORBIDDEN,
  code.NOT_FOUND,
  code.GONE,
]);

/** Another session is set up beside the one that will end; its picture stays until then. */
function replace(work: Work, link: Link): void {
  changeLink(work, { replaceAt: null });
  if (link.stage !== 'flowing' || !work.state.signalUp) return;
  change(work, { previous: work.state.link, link: null });
  begin(work);
  const { previous } = work.state;
  if (work.state.link === null && previous !== null) restore(work, previous);
}
