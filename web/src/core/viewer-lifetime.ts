/** Extends a session of the viewer, and replaces one that cannot be extended. */

import { code, type ExtendResult } from '../protocol';
import { LOCAL, type Outcome } from './rpc';
import { wantsSound } from './sound';
import { requestSession, resumePrevious } from './viewer-connect';
import { type Context, update, updateSession } from './viewer-context';
import type { Session } from './viewer-contract';

/** Share of the lifetime after which a session is extended; it leaves time to try again. */
const EXTEND_SHARE = 0.6;
const EXTEND_RETRY_MS = 5_000;
/** Time before its expiry at which a session that cannot be extended is replaced. */
const REPLACE_BEFORE_MS = 20_000;

export function lifetime(
  { env }: Context,
  seconds: number | undefined,
): Pick<Session, 'expiresAt' | 'extendAt'> {
  if (seconds === undefined) return { expiresAt: null, extendAt: null };
  const lifetimeMs = seconds * 1000;
  return { expiresAt: env.now + lifetimeMs, extendAt: env.now + lifetimeMs * EXTEND_SHARE };
}

export function extend(ctx: Context): void {
  const { session, signalingUp } = ctx.state;
  updateSession(ctx, { extendAt: null });
  if (session === null || session.id === null || !signalingUp) return;
  ctx.effects.push({ type: 'extend', generation: session.generation, session: session.id });
}

export function handleExtendResult(
  ctx: Context,
  session: Session,
  outcome: Outcome<ExtendResult>,
): void {
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
export function listen(ctx: Context): void {
  const { withSound, camera, session, previous } = ctx.state;
  if (!withSound || camera == null || session === null || previous !== null) return;
  if (!session.hasSound && wantsSound(camera)) replaceSession(ctx, session);
}

/** Requests the replacement of a session; its video is shown until the new one has a frame. */
export function replaceSession(ctx: Context, session: Session): void {
  updateSession(ctx, { replaceAt: null });
  if (session.stage !== 'playing' || !ctx.state.signalingUp) return;
  update(ctx, { previous: ctx.state.session, session: null });
  requestSession(ctx);
  const { previous } = ctx.state;
  if (ctx.state.session === null && previous !== null) resumePrevious(ctx, previous);
}
