/** What a camera does, in words. */

import type { Camera, CameraState } from '../protocol';
import { sentence } from './reasons';

export const STATE_WORDS: Record<CameraState, string> = {
  live: 'Live',
  connecting: 'Connecting',
  idle: 'Ready',
  failed: 'Failed',
  offline: 'Offline',
};

/** The line below a camera's name, where there is something to explain. */
export function whyNot({ state, reason }: Camera): string | null {
  if (state === 'offline') return 'Its gateway is not connected.';
  if (state !== 'failed') return null;
  return reason ? sentence(reason) : 'Its gateway cannot reach it, and keeps trying.';
}

export function summary(cameras: readonly Camera[]): string {
  const count = cameras.length === 1 ? '1 camera' : `${cameras.length} cameras`;
  const able = cameras.filter(({ state }) => state === 'live' || state === 'idle').length;
  if (able === cameras.length) return `${count}, all ready`;
  return `${count}, ${able} ready`;
}

/** What changed between two lists, for those who hear the page. */
export function changes(before: readonly Camera[], after: readonly Camera[]): string {
  const states = new Map(before.map(({ id, state }) => [id, state]));
  return after
    .filter(({ id, state }) => states.has(id) && states.get(id) !== state)
    .map((camera) => `${camera.name}: ${STATE_WORDS[camera.state]}.`)
    .join(' ');
}
