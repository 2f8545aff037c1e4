/** Watches a session that has a path: its connection, its frames and their standstill. */

import type { ShownParams } from '../protocol';
import { delayMs } from './backoff';
import { loseSession, STEADY_MS } from './viewer-connect';
import { closeSession, type Context, update, updateSession } from './viewer-context';
import type { Session, SessionEvent } from './viewer-contract';
import { replaceSession } from './viewer-lifetime';

/** Some cameras send a key frame only every ten seconds. */
const FIRST_FRAME_TIMEOUT_MS = 12_000;
/** Time the gateway has for an ICE restart before we request a new session. */
const ICE_RESTART_TIMEOUT_MS = 4_000;
/** Two samples without a new frame: the player says so. */
const STALL_MS = 2_000;
/** Some cameras send a key frame only every ten seconds, and on a slow line it takes its time. */
const KEY_FRAMES_MS = 15_000;
/** Time without a frame after which the session with a live camera is given up. */
const STALL_TIMEOUT_MS = 8_000;
/** Silence of the path after which the server is asked for a sign of life. */
const DOUBT_MS = 600;
/**
 * Time for that sign of life: longer than a round trip of a line that carries a picture, and short
 * because somebody looks at a picture that stands still.
 */
const PING_MS = 1_000;
/**
 * Silence of the path after which another session is requested beside this one. A gateway reports
 * at least every 1.5 s, also when its camera is silent.
 */
const SILENCE_MS = 1_700;
/** Waits between the rescues of sessions that do not last. */
const RESCUE_BACKOFF = { firstMs: 1_400, maxMs: 30_000 };
/** A longer gap between samples means that the browser suspended the page. */
const SUSPENDED_MS = 3_000;
/** A stall this soon after a network change is attributed to that change. */
const NETWORK_CHANGE_MS = 10_000;

/** Returns true if frames have stopped arriving that were to come. */
export function isStalled(session: Session): boolean {
  const { stage, chosen, lastSampleAt, lastFrameAt } = session;
  const patience = chosen?.picture === 'keyFrames' ? KEY_FRAMES_MS : STALL_MS;
  return (
    stage === 'playing' && chosen?.picture !== 'still' && lastSampleAt - lastFrameAt >= patience
  );
}

/** Notes what the gateway sends from now on. The time without a frame is counted from then. */
export function handleShown(ctx: Context, shown: ShownParams): void {
  const { session, previous } = ctx.state;
  const changed = { chosen: shown, lastFrameAt: ctx.env.now };
  if (session?.id === shown.session) updateSession(ctx, changed);
  else if (previous?.id === shown.session) update(ctx, { previous: { ...previous, ...changed } });
}

export function handlePreviousEvent(ctx: Context, previous: Session, event: SessionEvent): void {
  if (event.type === 'frames') {
    return update(ctx, { previous: withSample(previous, event, ctx.env.now) });
  }
  // One that is disconnected may well be the first that works again.
  if (event.type !== 'ice' || event.state !== 'failed') return;
  closeSession(ctx, ctx.state.previous);
  showReplacement(ctx);
}

/** Shows the replacement before it has a frame, because the previous session has ended. */
export function showReplacement(ctx: Context): void {
  update(ctx, { previous: null });
  const { session } = ctx.state;
  if (session !== null) ctx.effects.push({ type: 'show', generation: session.generation });
}

export function handleIce(
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

/** Handles a sample, which comes about once a second, and more often when no frames come. */
export function handleFrames(ctx: Context, session: Session, event: Frames): void {
  const sampled = withSample(session, event, ctx.env.now);
  update(ctx, { session: sampled });
  // A computer that wakes up has slept through the loss of its connections.
  const woke = ctx.env.now - session.lastSampleAt > SUSPENDED_MS;
  const doubts = sampled.silentSince !== null && session.silentSince === null;
  if (woke || doubts) ctx.effects.push({ type: 'doubt-server', withinMs: PING_MS });
  if (doubts) pace(ctx, sampled);
  if (sampled.framesDecoded > session.framesDecoded) return handlePlaying(ctx, sampled);
  const { session: current } = ctx.state;
  if (current !== null && isSilent(current) && ctx.env.now >= current.rescueAfter) {
    return replaceSession(ctx, current);
  }
  if (isStalled(sampled)) handleStall(ctx, sampled);
}

/** Delays the rescue of a session that has played for a moment only, as the next one may. */
function pace(ctx: Context, { playingSince }: Session): void {
  const { now, random } = ctx.env;
  if (playingSince === null || now - playingSince >= STEADY_MS) return;
  const { attempt } = ctx.state;
  update(ctx, { attempt: attempt + 1 });
  updateSession(ctx, { rescueAfter: now + delayMs(RESCUE_BACKOFF, attempt, random) });
}

type Frames = Extract<SessionEvent, { readonly type: 'frames' }>;

function withSample(session: Session, { decoded, silentMs }: Frames, now: number): Session {
  const advanced = decoded > session.framesDecoded;
  const suspended = now - session.lastSampleAt > SUSPENDED_MS;
  const isQuiet = silentMs !== null && silentMs >= DOUBT_MS && !suspended;
  return {
    ...session,
    framesDecoded: decoded,
    lastFrameAt: advanced || suspended ? now : session.lastFrameAt,
    lastSampleAt: now,
    silentSince: isQuiet ? now - silentMs : null,
  };
}

/** Returns true if the path of a session that plays has carried nothing for a while. */
export function isSilent({ stage, silentSince, lastSampleAt }: Session): boolean {
  return stage === 'playing' && silentSince !== null && lastSampleAt - silentSince >= SILENCE_MS;
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
  // A gateway that sends less on purpose would send no more to another session.
  const isSlow = session.chosen?.picture === 'keyFrames';
  const timedOut = !reconnecting && !isSlow && now - session.lastFrameAt >= STALL_TIMEOUT_MS;
  if (networkChanged || timedOut) loseSession(ctx, { kind: 'stalled' });
}

export function handleNetworkChange(ctx: Context): void {
  const { session, signalingUp } = ctx.state;
  update(ctx, { networkChangedAt: ctx.env.now });
  if (session?.iceDeadline != null && signalingUp) loseSession(ctx, { kind: 'connection-lost' });
}

/** Gives up a disconnected session, unless it still plays or the server is not connected. */
export function handleIceTimeout(ctx: Context, session: Session): void {
  const advances = session.stage === 'playing' && session.lastSampleAt === session.lastFrameAt;
  if (ctx.state.signalingUp && !advances) return loseSession(ctx, { kind: 'connection-lost' });
  updateSession(ctx, { iceDeadline: ctx.env.now + ICE_RESTART_TIMEOUT_MS });
}
