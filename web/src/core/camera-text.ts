/** The texts that describe a camera's state. */

import type { Camera, CameraState } from '../protocol';
import { sentence } from './reasons';

export const STATE_LABEL: Record<CameraState, string> = {
  live: 'Live',
  connecting: 'Connecting',
  idle: 'Ready',
  failed: 'Failed',
  offline: 'Offline',
};

/** Returns the reason why a camera cannot be watched, or `null` if it can. */
export function unavailableReason({ state, reason }: Camera): string | null {
  if (state === 'offline') return 'The gateway is not connected.';
  if (state !== 'failed') return null;
  return reason ? sentence(reason) : 'The gateway cannot reach this camera and keeps trying.';
}

/** Returns what spoils a picture that plays, or `null`. */
export function warning({ state, reason }: Camera): string | null {
  return state === 'live' && reason ? sentence(reason) : null;
}

/** Returns the line below the page title, such as "3 cameras, 2 ready". */
export function summary(cameras: readonly Camera[]): string {
  const ready = cameras.filter(({ state }) => state === 'live' || state === 'idle').length;
  if (cameras.length === 1) return ready === 1 ? '1 camera, ready' : '1 camera, not ready';
  if (ready === cameras.length) return `${cameras.length} cameras, all ready`;
  return `${cameras.length} cameras, ${ready === 0 ? 'none' : ready} ready`;
}

/** Returns the cameras whose state changed between two lists, as text for screen readers. */
export function announceChanges(before: readonly Camera[], after: readonly Camera[]): string {
  const states = new Map(before.map(({ id, state }) => [id, state]));
  return after
    .filter(({ id, state }) => states.has(id) && states.get(id) !== state)
    .map((camera) => `${camera.name}: ${STATE_LABEL[camera.state]}.`)
    .join(' ');
}
