/**
 * The state machine of a viewer that watches one camera. It requests a session, answers the
 * gateway's offer, checks that frames keep arriving, and starts again when they do not. The video
 * goes on without the WebSocket. What happens in a stage is in the modules beside it:
 * `viewer-connect.ts`, `viewer-negotiate.ts`, `viewer-watch.ts` and `viewer-lifetime.ts`.
 *
 * A session goes through the stages
 * requesting → awaiting-offer → answering → checking → connected → playing.
 * If the server has lost a session, for instance in a restart, the session cannot be extended. A
 * new session then replaces it shortly before it expires; the old video is shown until the new one
 * has a frame.
 */

import { code, type Camera, type Fault, type SessionId } from '../protocol';
import { earliest, type Env, type Step } from './machine';
import { closedReason, faultReason, type Reason } from './reasons';
import {
  handleCameras,
  loseSession,
  requestSession,
  resumePrevious,
  retry,
  stop,
} from './viewer-connect';
import { type Context, update } from './viewer-context';
import type {
  SessionEvent,
  Stage,
  ViewerEffect,
  ViewerEvent,
  ViewerState,
} from './viewer-contract';
import { extend, handleExtendResult, listen, replaceSession } from './viewer-lifetime';
import {
  handleAnswered,
  handleAnswerFailed,
  handleConnectResult,
  handleGatewayMessage,
  handleIceServers,
  handleLocalCandidate,
} from './viewer-negotiate';
import {
  handleFrames,
  handleIce,
  handleIceTimeout,
  handleNetworkChange,
  handlePreviousEvent,
  handleShown,
  isSilent,
  showReplacement,
} from './viewer-watch';

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

/** Returns true if the offer of this session is, or may turn out to be, for this viewer. */
export function expects({ session }: ViewerState, id: SessionId): boolean {
  return session !== null && (session.stage === 'requesting' || session.id === id);
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
      return handleList(ctx, event.cameras);
    case 'invite':
    case 'remote-candidate':
      return handleGatewayMessage(ctx, event);
    case 'ice-servers':
      return handleIceServers(ctx, event.session, event.iceServers);
    case 'shown':
      return handleShown(ctx, event.shown);
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
  if (isSilent(session)) return replaceSession(ctx, session);
  // The result also tells whether the server still knows the session.
  if (session.expiresAt !== null) extend(ctx);
}

/** Handles the list of cameras. A gateway that is back can be asked for another session. */
function handleList(ctx: Context, cameras: readonly Camera[]): void {
  const wasOffline = ctx.state.camera?.state === 'offline';
  handleCameras(ctx, cameras);
  const { session, camera } = ctx.state;
  const isBack = wasOffline && camera?.state !== 'offline';
  if (isBack && session !== null && isSilent(session)) replaceSession(ctx, session);
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

function handleSessionEvent(ctx: Context, event: SessionEvent): void {
  const { session, previous } = ctx.state;
  if (previous?.generation === event.generation) {
    return handlePreviousEvent(ctx, previous, event);
  }
  if (session?.generation !== event.generation) return;
  switch (event.type) {
    case 'extend-result':
      return handleExtendResult(ctx, session, event.outcome);
    case 'answered':
      return handleAnswered(ctx, session, event.id, event.answer);
    case 'answer-failed':
      return handleAnswerFailed(ctx, session, event.id, event.message);
    case 'local-candidate':
      return handleLocalCandidate(ctx, session, event.candidate);
    case 'ice':
      return handleIce(ctx, session, event.state);
    case 'frames':
      return handleFrames(ctx, session, event);
  }
}

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
