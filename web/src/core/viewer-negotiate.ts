/** Negotiates a session: from the response to `connect` to the answer and its candidates. */

import {
  code,
  type ConnectResult,
  type Fault,
  type IceCandidate,
  type IceServer,
  type RequestId,
  type SessionId,
} from '../protocol';
import { faultReason } from './reasons';
import { LOCAL, type Outcome } from './rpc';
import { offersSound, rejectsVideo } from './sdp';
import { loseSession, requestSession } from './viewer-connect';
import { closeSession, type Context, update, updateSession } from './viewer-context';
import type { EarlyEvent, Session } from './viewer-contract';
import { lifetime } from './viewer-lifetime';

/** The gateway sends the offer right after its response to `connect`. */
const OFFER_TIMEOUT_MS = 15_000;
const ANSWER_TIMEOUT_MS = 5_000;
/** Bound of the messages kept before the response to `connect`: an offer and its candidates. */
const MAX_EARLY = 64;
/** Bound of the candidates kept before the answer is sent; a browser gathers about a dozen. */
const MAX_PENDING_CANDIDATES = 64;
/** Longer than the checks of all candidate pairs take, TURN over TCP included. */
const CHECKS_TIMEOUT_MS = 15_000;

export function handleConnectResult(
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

/** Handles an offer or a candidate. Both may arrive before the response to `connect`. */
export function handleGatewayMessage(ctx: Context, event: EarlyEvent): void {
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
export function handleIceServers(
  ctx: Context,
  id: SessionId,
  iceServers: readonly IceServer[],
): void {
  for (const session of [ctx.state.session, ctx.state.previous]) {
    if (session?.id !== id) continue;
    ctx.effects.push({ type: 'set-ice-servers', generation: session.generation, iceServers });
  }
}

export function handleAnswered(
  ctx: Context,
  session: Session,
  id: RequestId,
  answer: string,
): void {
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

export function handleAnswerFailed(
  ctx: Context,
  session: Session,
  id: RequestId,
  detail: string,
): void {
  const fault: Fault = { code: code.BAD_REQUEST, message: detail };
  ctx.effects.push({ type: 'send-error', id, fault });
  if (session.stage === 'answering') loseSession(ctx, { kind: 'answer-failed', detail });
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

export function handleLocalCandidate(
  ctx: Context,
  session: Session,
  candidate: IceCandidate,
): void {
  if (session.answered) return sendCandidate(ctx, candidate);
  const pendingCandidates = [...session.pendingCandidates, candidate];
  if (pendingCandidates.length <= MAX_PENDING_CANDIDATES) updateSession(ctx, { pendingCandidates });
}

function sendCandidate(ctx: Context, candidate: IceCandidate): void {
  const id = ctx.state.session?.id;
  if (id) ctx.effects.push({ type: 'send-candidate', session: id, candidate });
}
