/** The texts that describe a camera's state. */

import type { Camera, CameraAddress, CameraState } from '../protocol';
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

/**
 * Returns the cameras that were lost or came back between two lists, as text for screen readers.
 * Others connect whenever somebody looks.
 */
export function announceChanges(before: readonly Camera[], after: readonly Camera[]): string {
  const states = new Map(before.map(({ address, state }) => [address, state]));
  return after
    .filter(({ address, state }) => {
      const was = states.get(address);
      return was !== undefined && was !== state && (isLost(was) || isLost(state));
    })
    .map(({ name, state }) => t('cameras.changed', { name, state: stateLabel(state) }))
    .join(' ');
}

function isLost(state: CameraState): boolean {
  return state === 'failed' || state === 'offline';
}

/** Returns the times since when cameras are offline; it is known only for changes seen here. */
export function offlineSince(
  before: readonly Camera[],
  after: readonly Camera[],
  times: ReadonlyMap<CameraAddress, number>,
  now: number,
): ReadonlyMap<CameraAddress, number> {
  const states = new Map(before.map(({ address, state }) => [address, state]));
  const since = after.map(({ address, state }): [CameraAddress, number] | null => {
    if (state !== 'offline') return null;
    const was = states.get(address);
    const at = was !== undefined && was !== 'offline' ? now : times.get(address);
    return at === undefined ? null : [address, at];
  });
  return new Map(since.filter((entry) => entry !== null));
}
