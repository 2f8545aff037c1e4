/**
 * The state machine of moving a camera: one request at a time, renewed while a button is held, and
 * a stop at the end. The gateway stops the camera by itself if the renewals do not come.
 */

import { code, type Fault } from '../protocol';
import type { Env, Step } from './machine';
import type { Outcome } from './rpc';

/** Percent of the camera's fastest speed, −100 to 100; right, up and closer are positive. */
export interface Velocity {
  readonly pan: number;
  readonly tilt: number;
  readonly zoom: number;
}

export const STILL: Velocity = { pan: 0, tilt: 0, zoom: 0 };
/** Interval of the renewals: three fit into the time that the gateway goes on without one. */
const RENEW_MS = 300;
/** Time after which the gateway ends a movement that is not renewed. */
const LEASE_MS = 1_000;
/** Shortest time between two changes of the speed while a finger is dragged. */
const CHANGE_MS = 100;

export interface MoveState {
  readonly wanted: Velocity;
  /** The velocity in the request that is on its way. */
  readonly inFlight: Velocity | null;
  readonly sentAt: number;
  /** Time until which the camera may be moving because of us. */
  readonly movingUntil: number | null;
  /** The velocity that was sent last. */
  readonly last: Velocity;
  /** True once the gateway has moved the camera for us since it last stood. */
  readonly isAccepted: boolean;
  /** True while a stop must be sent again. */
  readonly isStopLost: boolean;
  readonly sendAt: number | null;
  /** The reason why the last movement ended by itself. */
  readonly problem: Fault | null;
}

export type MoveEvent =
  | { readonly type: 'press'; readonly velocity: Velocity }
  | { readonly type: 'release' | 'timeout' }
  | { readonly type: 'result'; readonly outcome: Outcome<unknown> };

export interface MoveEffect {
  readonly type: 'move';
  readonly velocity: Velocity;
}

export const INITIAL_STATE: MoveState = {
  wanted: STILL,
  inFlight: null,
  sentAt: -LEASE_MS,
  movingUntil: null,
  last: STILL,
  isAccepted: false,
  isStopLost: false,
  sendAt: null,
  problem: null,
};

export function step(
  state: MoveState,
  event: MoveEvent,
  { now }: Env,
): Step<MoveState, MoveEffect> {
  switch (event.type) {
    case 'press':
      return sendDue({ ...state, wanted: event.velocity, problem: null }, now);
    case 'release':
      return sendDue({ ...state, wanted: STILL }, now);
    case 'timeout':
      return sendDue(state, now);
    case 'result':
      return handleResult(state, event.outcome, now);
  }
}

export function nextTimeout({ sendAt }: MoveState): number | null {
  return sendAt;
}

function handleResult(
  state: MoveState,
  outcome: Outcome<unknown>,
  now: number,
): Step<MoveState, MoveEffect> {
  const sent = state.inFlight;
  if (sent === null) return { state, effects: [] };
  const rest = { ...state, inFlight: null };
  if (outcome.ok) {
    const isStop = isStill(sent);
    const movingUntil = isStop ? null : rest.movingUntil;
    return sendDue({ ...rest, movingUntil, isAccepted: !isStop, isStopLost: false }, now);
  }
  // A stop that failed is sent again until the gateway has stopped by itself.
  if (isStill(sent)) return sendDue({ ...rest, isStopLost: true }, now);
  const isOthers = outcome.fault.code === code.CONFLICT && !state.isAccepted;
  const movingUntil = isOthers ? null : rest.movingUntil;
  return sendDue({ ...rest, wanted: STILL, movingUntil, problem: outcome.fault }, now);
}

/** Sends what is wanted if it is time, and otherwise notes when it is. */
function sendDue(state: MoveState, now: number): Step<MoveState, MoveEffect> {
  if (state.inFlight !== null) return { state: { ...state, sendAt: null }, effects: [] };
  const at = dueAt(state, now);
  if (at === null || at > now) return { state: { ...state, sendAt: at }, effects: [] };
  const velocity = state.wanted;
  const movingUntil = isStill(velocity) ? state.movingUntil : now + LEASE_MS;
  const sent = { inFlight: velocity, last: velocity, sentAt: now, movingUntil, sendAt: null };
  return { state: { ...state, ...sent }, effects: [{ type: 'move', velocity }] };
}

/** Returns the time of the next request, or `null` if there is nothing to say. */
function dueAt({ wanted, last, sentAt, movingUntil, isStopLost }: MoveState, now: number) {
  const isMoving = movingUntil !== null && now < movingUntil;
  if (isStill(wanted)) return !isMoving ? null : isStopLost ? sentAt + RENEW_MS : now;
  if (!isMoving || isStill(last)) return now;
  return sentAt + (isEqual(wanted, last) ? RENEW_MS : CHANGE_MS);
}

function isEqual(one: Velocity, other: Velocity): boolean {
  return one.pan === other.pan && one.tilt === other.tilt && one.zoom === other.zoom;
}

/** Returns true for a velocity that stops the camera. */
export function isStill({ pan, tilt, zoom }: Velocity): boolean {
  return pan === 0 && tilt === 0 && zoom === 0;
}
