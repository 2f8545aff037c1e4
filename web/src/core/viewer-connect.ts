/** Requests, loses and ends sessions of the viewer. */

import type { Camera, ConnectParams } from '../protocol';
import { delayMs } from './backoff';
import { cameraReason, type Reason } from './reasons';
import { wantsSound } from './sound';
import { findStream } from './streams';
import { closeSession, type Context, initialState, update } from './viewer-context';
import type { Session } from './viewer-contract';

const BACKOFF = { firstMs: 700, maxMs: 12_000 };
/** Shorter, because a session that still exists is replaced only when it is needed. */
const REPLACE_BACKOFF = { firstMs: 300, maxMs: 12_000 };
/** Video that plays this long resets the backoff. */
export const STEADY_MS = 5_000;

/** Requests a session, unless there is one or something that it needs is missing. */
export function requestSession(ctx: Context): void {
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

export function newSession(generation: number, now: number): Session {
  return {
    generation,
    stage: 'requesting',
    reached: { requesting: now },
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
    silentSince: null,
    rescueAfter: now,
    playingSince: null,
    chosen: null,
    expiresAt: null,
    extendAt: null,
    replaceAt: null,
  };
}

export function stop(ctx: Context): void {
  closeSession(ctx, ctx.state.session);
  closeSession(ctx, ctx.state.previous);
  const { address, withSound, generation } = ctx.state;
  update(ctx, { ...initialState(address, withSound), generation });
}

export function retry(ctx: Context): void {
  closeSession(ctx, ctx.state.session);
  update(ctx, { session: null, reason: null, attempt: 0, retryAt: null });
  requestSession(ctx);
}

/** Gives up the session. If it had played steadily, a new one is requested at once. */
export function loseSession(ctx: Context, reason: Reason): void {
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
export function resumePrevious(ctx: Context, previous: Session): void {
  const { now, random } = ctx.env;
  const { attempt } = ctx.state;
  const replaceAt = now + delayMs(REPLACE_BACKOFF, attempt, random);
  const session = { ...previous, replaceAt, rescueAfter: replaceAt };
  update(ctx, { session, previous: null, attempt: attempt + 1 });
}

export function handleCameras(ctx: Context, cameras: readonly Camera[]): void {
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
