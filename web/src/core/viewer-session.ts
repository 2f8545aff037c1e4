/**
 * The state machine of a viewer that watches one camera. It requests a session, answers the
 * gateway's offer, checks that frames keep arriving, and starts again when they do not. The video
 * goes on without the WebSocket.
 *
 * A session goes through the stages
 * requesting → awaiting-offer → answering → checking → connected → playing.
 * If the server has lost a session, for instance in a restart, the session cannot be extended. A
 * new session then replaces it shortly before it expires; the old video is shown until the new one
 * has a frame.
 */

import { code, type Camera, type CameraAddress, type Fault } from '../protocol';
import type { ConnectParams, ConnectResult, ExtendResult, SessionId } from '../protocol';
import type { IceCandidate, IceServer, RequestId } from '../protocol';
import { delayMs } from './backoff';
import { earliest, type Env, type Step } from './machine';
import { cameraReason, closedReason, faultReason, type Reason } from './reasons';
import { LOCAL, type Outcome } from './rpc';
import { offersSound, rejectsVideo } from './sdp';
import { wantsSound } from './sound';
import { findStream } from './streams';
import type { EarlyEvent, Session, SessionEvent, Stage } from './viewer-contract';
import type { ViewerEffect, ViewerEvent, ViewerState } from './viewer-contract';

const BACKOFF = { firstMs: 700, maxMs: 12_000 };
/** The gateway sends the offer right after its response to `connect`. */
const OFFER_TIMEOUT_MS = 15_000;
const ANSWER_TIMEOUT_MS = 5_000;
/** Longer than the checks of all candidate pairs take, TURN over TCP included. */
const CHECKS_TIMEOUT_MS = 15_000;
/** Some cameras send a key frame only every ten seconds. */
const FIRST_FRAME_TIMEOUT_MS = 12_000;
/** Time the gateway has for an ICE restart before we request a new session. */
const ICE_RESTART_TIMEOUT_MS = 4_000;
/** Two samples without a new frame: the player says so. */
const STALL_MS = 2_000;
/** Time without a frame after which the session with a live camera is given up. */
const STALL_TIMEOUT_MS = 8_000;
/** A longer gap between samples means that the browser suspended the page. */
const SUSPENDED_MS = 3_000;
/** A stall this soon after a network change is attributed to that change. */
const NETWORK_CHANGE_MS = 10_000;
/** Video that plays this long resets the backoff. */
const STEADY_MS = 5_000;
/** Share of the lifetime after which a session is extended; it leaves time to try again. */
const EXTEND_SHARE = 0.6;
const EXTEND_RETRY_MS = 5_000;
/** Time before its expiry at which a session that cannot be extended is replaced. */
const REPLACE_BEFORE_MS = 20_000;
/** Bound of the messages kept before the response to `connect`: an offer and its candidates. */
const MAX_EARLY = 64;
/** Bound of the candidates kept before the answer is sent; a browser gathers about a dozen. */
const MAX_PENDING_CANDIDATES = 64;

/** Returns the state of a viewer that has not started. */
export function initialState(address: CameraAddress, withSound: boolean): ViewerState {
  return {
    address,
    withSound,
    running: false,
    signalingUp: false,
    camera: undefined,
    fallback: null,
    session: null,
    previous: null,
    generation: 0,
    attempt: 0,
    retryAt: null,
    reason: null,
    hasPlayed: false,
    networkChangedAt: null,
  };
}

export function step(
  state: ViewerState,
  event: ViewerEvent,
  env: Env,
): Step<ViewerState, ViewerEffect> {
  const ctx: Context = { state, effects: [], env };
  handle(ctx, event);
  return { state: ctx.state, effects: ctx.effects };
}

/** Returns the time of the next `timeout` event, or `null` if nothing is due. */
export function nextTimeout({ session, retryAt }: ViewerState): number | null {
  if (session === null) return retryAt;
  const { deadline, iceDeadline, extendAt, replaceAt } = session;
  return earliest(retryAt, deadline, iceDeadline, extendAt, replaceAt);
}

/** Returns true if frames have stopped arriving. */
export function isStalled(session: Session): boolean {
  return session.stage === 'playing' && session.lastSampleAt - session.lastFrameAt >= STALL_MS;
}

/** Returns true if the offer of this session is, or may turn out to be, for this viewer. */
export function expects({ session }: ViewerState, id: SessionId): boolean {
  return session !== null && (session.stage === 'requesting' || session.id === id);
}

/** The state and effects of the step being computed. */
interface Context {
  state: ViewerState;
  readonly effects: ViewerEffect[];
  readonly env: Env;
}

function handle(ctx: Context, event: ViewerEvent): void {
  switch (event.type) {
    case 'start':
      update(ctx, { running: true });
      return requestSession(ctx);
    case 'stop':
      return stop(ctx);
    case 'retry':
      return retry(ctx);
    case 'timeout':
      return handleTimeout(ctx);
    case 'network-changed':
      return handleNetworkChange(ctx);
    case 'listen':
      return listen(ctx);
    case 'signaling':
      return handleSignaling(ctx, event.up);
    case 'cameras':
      return handleCameras(ctx, event.cameras);
    case 'invite':
    case 'remote-candidate':
      return handleGatewayMessage(ctx, event);
    case 'ice-servers':
      return handleIceServers(ctx, event.session, event.iceServers);
    case 'closed':
      return handleClosed(ctx, event.session);
    case 'fault':
      return handleFault(ctx, event.fault);
    case 'connect-result':
      return handleConnectResult(ctx, event.generation, event.outcome);
    default:
      return handleSessionEvent(ctx, event);
  }
}

function update(ctx: Context, changes: Partial<ViewerState>): void {
  ctx.state = { ...ctx.state, ...changes };
}

function updateSession(ctx: Context, changes: Partial<Session>): void {
  const { session } = ctx.state;
  if (session !== null) update(ctx, { session: { ...session, ...changes } });
}

// Requesting, losing and ending sessions.

/** Requests a session, unless there is one or something that it needs is missing. */
function requestSession(ctx: Context): void {
  const { running, signalingUp, camera, fallback, session, generation, reason } = ctx.state;
  if (!running || !signalingUp || camera === undefined || session !== null || reason?.final) return;
  if (camera === null) return update(ctx, { reason: { kind: 'not-found' }, retryAt: null });
  if (camera.state === 'offline') {
    return update(ctx, { reason: { kind: 'offline' }, retryAt: null });
  }
  const next = newSession(generation + 1, ctx.env.now);
  update(ctx, { session: next, generation: next.generation, retryAt: null });
  const portholeAudio = ctx.state.withSound && wantsSound(camera);
  const profile = fallback ?? camera.id;
  const params: ConnectParams = { peer: camera.gateway, profile, portholeAudio };
  ctx.effects.push({ type: 'connect', generation: next.generation, params });
}

function newSession(generation: number, now: number): Session {
  return {
    generation,
    stage: 'requesting',
    id: null,
    deadline: null,
    early: [],
    pendingCandidates: [],
    answered: false,
    hasSound: false,
    iceDeadline: null,
    framesDecoded: 0,
    lastFrameAt: now,
    lastSampleAt: now,
    playingSince: null,
    expiresAt: null,
    extendAt: null,
    replaceAt: null,
  };
}

function stop(ctx: Context): void {
  closeSession(ctx, ctx.state.session);
  closeSession(ctx, ctx.state.previous);
  const { address, withSound, generation } = ctx.state;
  update(ctx, { ...initialState(address, withSound), generation });
}

function retry(ctx: Context): void {
  closeSession(ctx, ctx.state.session);
  update(ctx, { session: null, reason: null, attempt: 0, retryAt: null });
  requestSession(ctx);
}

function closeSession(ctx: Context, session: Session | null): void {
  if (session === null || session.id === null) return;
  ctx.effects.push({ type: 'close-peer', generation: session.generation });
  ctx.effects.push({ type: 'send-close', session: session.id });
}

/** Gives up the session. If it had played steadily, a new one is requested at once. */
function loseSession(ctx: Context, reason: Reason): void {
  const { session, previous, attempt, camera } = ctx.state;
  closeSession(ctx, session);
  if (previous !== null) return resumePrevious(ctx, previous);
  const { now, random } = ctx.env;
  const playingSince = session?.playingSince ?? null;
  if (playingSince !== null && now - playingSince >= STEADY_MS) {
    update(ctx, { session: null, reason, attempt: 0, retryAt: null });
    return requestSession(ctx);
  }
  const cameraFailed = camera?.state === 'failed' && !reason.final;
  update(ctx, {
    session: null,
    reason: cameraFailed ? cameraReason(camera) : reason,
    attempt: attempt + 1,
    retryAt: reason.final ? null : now + delayMs(BACKOFF, attempt, random),
  });
}

/** Makes the previous session the current one again, after its replacement failed. */
function resumePrevious(ctx: Context, previous: Session): void {
  const { now, random } = ctx.env;
  const attempt = ctx.state.attempt + 1;
  const replaceAt = now + delayMs(BACKOFF, attempt, random);
  const session = { ...previous, replaceAt, lastFrameAt: now, lastSampleAt: now };
  update(ctx, { session, previous: null, attempt });
}

// Messages of the signaling server.

function handleSignaling(ctx: Context, up: boolean): void {
  update(ctx, { signalingUp: up });
  const { session, previous } = ctx.state;
  if (!up) {
    // No offer can arrive now. A session that has sent its answer may still connect.
    if (session !== null && !session.answered) {
      if (session.id !== null) {
        ctx.effects.push({ type: 'close-peer', generation: session.generation });
      }
      update(ctx, { session: null });
      if (previous !== null) resumePrevious(ctx, previous);
    }
    return;
  }
  if (session === null) return requestSession(ctx);
  // The result also tells whether the server still knows the session.
  if (session.expiresAt !== null) extend(ctx);
}

function handleCameras(ctx: Context, cameras: readonly Camera[]): void {
  const before = ctx.state.camera;
  const camera = findStream(cameras, ctx.state.address);
  update(ctx, { camera });
  const { session, reason } = ctx.state;
  if (session !== null) {
    if (camera?.state === 'offline' && !session.answered) loseSession(ctx, { kind: 'offline' });
    return;
  }
  const recovered = before?.state !== camera?.state && camera?.state !== 'failed';
  if (recovered && reason?.kind !== 'forbidden') requestSession(ctx);
  else if (camera?.state === 'failed' && reason !== null && !reason.final) {
    update(ctx, { reason: cameraReason(camera) });
  }
  if (ctx.state.retryAt === null) requestSession(ctx);
}

function handleConnectResult(
  ctx: Context,
  generation: number,
  outcome: Outcome<ConnectResult>,
): void {
  const { session } = ctx.state;
  if (session?.generation !== generation || session.stage !== 'requesting') {
    // The session is no longer wanted.
    if (outcome.ok) ctx.effects.push({ type: 'send-close', session: outcome.result.session });
    return;
  }
  if (!outcome.ok) return handleConnectFault(ctx, outcome.fault);
  const { session: id, iceServers, expiryTimeSeconds } = outcome.result;
  const { early } = session;
  updateSession(ctx, {
    stage: 'awaiting-offer',
    id,
    deadline: ctx.env.now + OFFER_TIMEOUT_MS,
    early: [],
    ...lifetime(ctx, expiryTimeSeconds),
  });
  ctx.effects.push({ type: 'open-peer', generation, iceServers: iceServers ?? [] });
  if (ctx.state.previous === null) ctx.effects.push({ type: 'show', generation });
  for (const event of early) if (event.session === id) handleGatewayMessage(ctx, event);
}

function handleConnectFault(ctx: Context, fault: Fault): void {
  if (fault.code === code.UNAUTHORIZED) ctx.effects.push({ type: 'signed-out' });
  if (fault.code === LOCAL.OFFLINE) return update(ctx, { session: null });
  loseSession(ctx, faultReason(fault));
}

function lifetime(
  { env }: Context,
  seconds: number | undefined,
): Pick<Session, 'expiresAt' | 'extendAt'> {
  if (seconds === undefined) return { expiresAt: null, extendAt: null };
  const lifetimeMs = seconds * 1000;
  return { expiresAt: env.now + lifetimeMs, extendAt: env.now + lifetimeMs * EXTEND_SHARE };
}

/** Handles an offer or a candidate. Both may arrive before the response to `connect`. */
function handleGatewayMessage(ctx: Context, event: EarlyEvent): void {
  const { session } = ctx.state;
  if (session?.stage === 'requesting') {
    if (session.early.length < MAX_EARLY) updateSession(ctx, { early: [...session.early, event] });
    return;
  }
  // It is another viewer's, or nobody's, which is answered by the driver (`expects`).
  if (session === null || session.id !== event.session) return;
  const { generation } = session;
  if (event.type === 'remote-candidate') {
    ctx.effects.push({ type: 'add-candidate', generation, candidate: event.candidate });
    return;
  }
  const { now } = ctx.env;
  updateSession(ctx, { hasSound: offersSound(event.offer) });
  if (session.stage === 'awaiting-offer') {
    updateSession(ctx, { stage: 'answering', deadline: now + ANSWER_TIMEOUT_MS });
  } else if (session.iceDeadline !== null) {
    updateSession(ctx, { iceDeadline: now + CHECKS_TIMEOUT_MS });
  }
  ctx.effects.push({ type: 'answer', generation, id: event.id, offer: event.offer });
}

/** Passes on new ICE servers: the first credentials expire before a long session does. */
function handleIceServers(ctx: Context, id: SessionId, iceServers: readonly IceServer[]): void {
  for (const session of [ctx.state.session, ctx.state.previous]) {
    if (session?.id !== id) continue;
    ctx.effects.push({ type: 'set-ice-servers', generation: session.generation, iceServers });
  }
}

function handleClosed(ctx: Context, id: SessionId, detail?: string): void {
  const { session, previous } = ctx.state;
  if (previous?.id === id) {
    ctx.effects.push({ type: 'close-peer', generation: previous.generation });
    return showReplacement(ctx);
  }
  if (session?.id === id) loseSession(ctx, closedReason(detail));
}

/** Handles ONVIF's `error`. While video is connected or playing, the session goes on. */
function handleFault(ctx: Context, fault: Fault): void {
  // The `portholeClose` that follows carries no reason.
  if (fault.code === code.GONE && fault.session) {
    return handleClosed(ctx, fault.session, fault.message);
  }
  const { session } = ctx.state;
  if (session === null || session.id === null || session.id !== fault.session) return;
  if (session.stage === 'playing' || session.stage === 'connected') return;
  if (fault.code !== code.MALFORMED_CANDIDATE) loseSession(ctx, faultReason(fault));
}

// Events of the peer connection.

function handleSessionEvent(ctx: Context, event: SessionEvent): void {
  const { session, previous } = ctx.state;
  if (previous?.generation === event.generation) return handlePreviousEvent(ctx, event);
  if (session?.generation !== event.generation) return;
  switch (event.type) {
    case 'extend-result':
      return handleExtendResult(ctx, session, event.outcome);
    case 'answered':
      return handleAnswered(ctx, session, event.id, event.answer);
    case 'answer-failed': {
      const fault: Fault = { code: code.BAD_REQUEST, message: event.message };
      ctx.effects.push({ type: 'send-error', id: event.id, fault });
      if (session.stage === 'answering') {
        loseSession(ctx, { kind: 'answer-failed', detail: event.message });
      }
      return;
    }
    case 'local-candidate':
      return handleLocalCandidate(ctx, session, event.candidate);
    case 'ice':
      return handleIce(ctx, session, event.state);
    case 'frames':
      return handleFrames(ctx, session, event.decoded);
  }
}

function handlePreviousEvent(ctx: Context, event: SessionEvent): void {
  if (event.type !== 'ice' || event.state === 'connected') return;
  closeSession(ctx, ctx.state.previous);
  showReplacement(ctx);
}

/** Shows the replacement before it has a frame, because the previous session has ended. */
function showReplacement(ctx: Context): void {
  update(ctx, { previous: null });
  const { session } = ctx.state;
  if (session !== null) ctx.effects.push({ type: 'show', generation: session.generation });
}

/** Tries the camera's other stream if the browser cannot play the codec of this one. */
function handleRejectedVideo(ctx: Context, session: Session): void {
  const { camera, fallback } = ctx.state;
  const other = camera?.streams?.find(
    ({ id, codec }) => id !== camera.id && codec !== camera.codec,
  );
  if (other === undefined || fallback !== null) {
    return loseSession(ctx, { kind: 'codec', final: true });
  }
  closeSession(ctx, session);
  update(ctx, { session: null, fallback: other.id });
  requestSession(ctx);
}

function handleAnswered(ctx: Context, session: Session, id: RequestId, answer: string): void {
  ctx.effects.push({ type: 'send-answer', id, answer });
  if (session.stage !== 'answering') return;
  if (rejectsVideo(answer)) return handleRejectedVideo(ctx, session);
  updateSession(ctx, {
    stage: 'checking',
    answered: true,
    pendingCandidates: [],
    deadline: ctx.env.now + CHECKS_TIMEOUT_MS,
  });
  for (const candidate of session.pendingCandidates) sendCandidate(ctx, candidate);
}

function handleLocalCandidate(ctx: Context, session: Session, candidate: IceCandidate): void {
  if (session.answered) return sendCandidate(ctx, candidate);
  const pendingCandidates = [...session.pendingCandidates, candidate];
  if (pendingCandidates.length <= MAX_PENDING_CANDIDATES) updateSession(ctx, { pendingCandidates });
}

function sendCandidate(ctx: Context, candidate: IceCandidate): void {
  const id = ctx.state.session?.id;
  if (id) ctx.effects.push({ type: 'send-candidate', session: id, candidate });
}

function handleIce(
  ctx: Context,
  session: Session,
  state: 'connected' | 'disconnected' | 'failed',
): void {
  const { now } = ctx.env;
  if (state === 'failed') {
    const hasPlayed = session.playingSince !== null;
    return loseSession(ctx, { kind: hasPlayed ? 'connection-lost' : 'no-path' });
  }
  if (state === 'disconnected') {
    if (session.iceDeadline === null) {
      updateSession(ctx, { iceDeadline: now + ICE_RESTART_TIMEOUT_MS });
    }
    return;
  }
  updateSession(ctx, { iceDeadline: null });
  if (session.stage === 'checking') {
    updateSession(ctx, { stage: 'connected', deadline: now + FIRST_FRAME_TIMEOUT_MS });
  }
}

/** Handles a sample of the number of decoded frames, which comes about once a second. */
function handleFrames(ctx: Context, session: Session, framesDecoded: number): void {
  const { now } = ctx.env;
  const advanced = framesDecoded > session.framesDecoded;
  const suspended = now - session.lastSampleAt > SUSPENDED_MS;
  const lastFrameAt = advanced || suspended ? now : session.lastFrameAt;
  const sampled: Session = { ...session, framesDecoded, lastFrameAt, lastSampleAt: now };
  update(ctx, { session: sampled });
  if (advanced) return handlePlaying(ctx, sampled);
  if (isStalled(sampled)) handleStall(ctx, sampled);
}

function handlePlaying(ctx: Context, session: Session): void {
  const { previous, attempt } = ctx.state;
  const playingSince = session.playingSince ?? ctx.env.now;
  const steady = ctx.env.now - playingSince >= STEADY_MS;
  updateSession(ctx, { stage: 'playing', deadline: null, playingSince });
  update(ctx, { hasPlayed: true, reason: null, attempt: steady ? 0 : attempt });
  if (previous === null) return;
  ctx.effects.push({ type: 'show', generation: session.generation });
  closeSession(ctx, previous);
  update(ctx, { previous: null });
}

function handleStall(ctx: Context, session: Session): void {
  const { camera, networkChangedAt, signalingUp } = ctx.state;
  // No session can be requested without the server.
  if (!signalingUp) return;
  const { now } = ctx.env;
  const networkChanged = networkChangedAt !== null && now - networkChangedAt < NETWORK_CHANGE_MS;
  // While the gateway reconnects to the camera, the video continues on this session.
  const reconnecting = camera?.state === 'connecting' || camera?.state === 'failed';
  const timedOut = !reconnecting && now - session.lastFrameAt >= STALL_TIMEOUT_MS;
  if (networkChanged || timedOut) loseSession(ctx, { kind: 'stalled' });
}

function handleNetworkChange(ctx: Context): void {
  const { session, signalingUp } = ctx.state;
  update(ctx, { networkChangedAt: ctx.env.now });
  if (session?.iceDeadline != null && signalingUp) loseSession(ctx, { kind: 'connection-lost' });
}

// Time.

function handleTimeout(ctx: Context): void {
  const { now } = ctx.env;
  const { retryAt } = ctx.state;
  if (retryAt !== null && now >= retryAt) {
    update(ctx, { retryAt: null });
    requestSession(ctx);
  }
  const { session } = ctx.state;
  if (session === null) return;
  const due = (time: number | null) => time !== null && now >= time;
  if (due(session.deadline)) return loseSession(ctx, { kind: TIMEOUT_REASON[session.stage] });
  if (due(session.iceDeadline)) return handleIceTimeout(ctx, session);
  if (due(session.replaceAt)) return replaceSession(ctx, session);
  if (due(session.extendAt)) extend(ctx);
}

const TIMEOUT_REASON: Record<Stage, Reason['kind']> = {
  requesting: 'timeout',
  'awaiting-offer': 'timeout',
  answering: 'answer-failed',
  checking: 'no-path',
  connected: 'no-video',
  playing: 'stalled',
};

/** Gives up a disconnected session, unless it still plays or the server is not connected. */
function handleIceTimeout(ctx: Context, session: Session): void {
  const advances = session.stage === 'playing' && session.lastSampleAt === session.lastFrameAt;
  if (ctx.state.signalingUp && !advances) return loseSession(ctx, { kind: 'connection-lost' });
  updateSession(ctx, { iceDeadline: ctx.env.now + ICE_RESTART_TIMEOUT_MS });
}

// Lifetime of a session.

function extend(ctx: Context): void {
  const { session, signalingUp } = ctx.state;
  updateSession(ctx, { extendAt: null });
  if (session === null || session.id === null || !signalingUp) return;
  ctx.effects.push({ type: 'extend', generation: session.generation, session: session.id });
}

function handleExtendResult(ctx: Context, session: Session, outcome: Outcome<ExtendResult>): void {
  const { now } = ctx.env;
  if (outcome.ok) {
    const { expiryTimeSeconds } = outcome.result;
    return updateSession(ctx, { ...lifetime(ctx, expiryTimeSeconds), replaceAt: null });
  }
  const { code: number } = outcome.fault;
  // The session is extended again when the server is back.
  if (number === LOCAL.OFFLINE || session.expiresAt === null) return;
  if (!PERMANENT_FAULTS.has(number)) return updateSession(ctx, { extendAt: now + EXTEND_RETRY_MS });
  updateSession(ctx, { replaceAt: Math.max(now, session.expiresAt - REPLACE_BEFORE_MS) });
}

/** Faults after which `extend` is not retried; others, such as a missing gateway, may pass. */
const PERMANENT_FAULTS: ReadonlySet<number> = new Set([
  code.UNAUTHORIZED,
  code.FORBIDDEN,
  code.NOT_FOUND,
  code.GONE,
]);

/** Replaces a session that began before its camera could be heard. */
function listen(ctx: Context): void {
  const { withSound, camera, session, previous } = ctx.state;
  if (!withSound || camera == null || session === null || previous !== null) return;
  if (!session.hasSound && wantsSound(camera)) replaceSession(ctx, session);
}

/** Requests the replacement of a session; its video is shown until the new one has a frame. */
function replaceSession(ctx: Context, session: Session): void {
  updateSession(ctx, { replaceAt: null });
  if (session.stage !== 'playing' || !ctx.state.signalingUp) return;
  update(ctx, { previous: ctx.state.session, session: null });
  requestSession(ctx);
  const { previous } = ctx.state;
  if (ctx.state.session === null && previous !== null) resumePrevious(ctx, previous);
}
