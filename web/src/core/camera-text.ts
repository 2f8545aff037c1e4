/** The texts that describe a camera's state. */

import type { Camera, CameraState } from '../protocol';
import { sentence } from './reasons';
import { t } from './text';

export function stateLabel(state: CameraState): string {
  return t(`camera.state.${state}`);
}

/** Returns the reason why a camera cannot be watched, or `null` if it can. */
export function unavailableReason({ state, reason }: Camera): string | null {
  if (state === 'offline') return t('camera.gateway-offline');
  if (state !== 'failed') return null;
  return reason ? sentence(reason) : t('camera.unreachable');
}

/** Returns what spoils a picture that plays, or `null`. */
export function warning({ state, reason }: Camera): string | null {
  return state === 'live' && reason ? sentence(reason) : null;
}

/** Returns the line below the page title, such as "3 cameras, 2 ready". */
export function summary(cameras: readonly Camera[]): string {
  const ready = cameras.filter(({ state }) => state === 'live' || state === 'idle').length;
  const count = cameras.length;
  if (count === 1) return ready === 1 ? t('cameras.one-ready') : t('cameras.one-not-ready');
  if (ready === count) return t('cameras.all-ready', { count });
  return ready === 0
    ? t('cameras.none-ready', { count })
    : t('cameras.some-ready', { count, ready });
}

/** Returns the cameras whose state changed between two lists, as text for screen readers. */
export function announceChanges(before: readonly Camera[], after: readonly Camera[]): string {
  const states = new Map(before.map(({ address, state }) => [address, state]));
  return after
    .filter(({ address, state }) => states.has(address) && states.get(address) !== state)
    .map(({ name, state }) => t('cameras.changed', { name, state: stateLabel(state) }))
    .join(' ');
}
