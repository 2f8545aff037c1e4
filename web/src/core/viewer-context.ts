/** The step of the viewer that is being computed, which its stages share. */

import type { CameraAddress } from '../protocol';
import type { Env } from './machine';
import type { Session, ViewerEffect, ViewerState } from './viewer-contract';

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

/** The state and effects of the step being computed. */
export interface Context {
  state: ViewerState;
  readonly effects: ViewerEffect[];
  readonly env: Env;
}

export function update(ctx: Context, changes: Partial<ViewerState>): void {
  ctx.state = { ...ctx.state, ...changes };
}

/** Changes the session, and notes when it reaches another stage. */
export function updateSession(ctx: Context, changes: Partial<Session>): void {
  const { session } = ctx.state;
  if (session === null) return;
  const { stage = session.stage } = changes;
  const reached = { [stage]: ctx.env.now, ...session.reached };
  update(ctx, { session: { ...session, reached, ...changes } });
}

export function closeSession(ctx: Context, session: Session | null): void {
  if (session === null || session.id === null) return;
  ctx.effects.push({ type: 'close-peer', generation: session.generation });
  ctx.effects.push({ type: 'send-close', session: session.id });
}
