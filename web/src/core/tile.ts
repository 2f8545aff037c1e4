/** The texts and marks of a tile of the wall. */

import type { Camera } from '../protocol';
import { unavailableReason, warning } from './camera-text';
import * as format from './format';
import { sentence } from './reasons';
import { tileStream } from './streams';
import { t } from './text';
import type { View } from './viewer-text';
import type { Tile } from './wall';

/** The mark in the corner of a tile. */
export type Mark = 'live' | 'idle' | 'connecting' | 'failed' | 'offline';

/** The part of its picture that a tile has. */
export interface Picture {
  /** True while frames arrive. */
  readonly isPlaying: boolean;
  /** True while its last frame is shown, whether or not others follow. */
  readonly hasFrame: boolean;
  /** The reason why the latest attempt to open it failed, for people. */
  readonly failure: string | null;
  /** Time of the still in milliseconds since 1970, or `null` if there is none. */
  readonly stillAt: number | null;
}

export interface TileView {
  readonly mark: Mark;
  readonly label: string;
  /** Reason why there is no picture. */
  readonly reason: string | null;
  /** A reason that spoils the picture which plays. */
  readonly warning: string | null;
  readonly hasMotion: boolean;
  /** The time of the latest motion, if it is over and not long ago. */
  readonly motion: string | null;
}

/** Motion that is longer ago is no news. */
const MOTION_NEWS_S = 12 * 3600;

/** Returns the tile of a camera for the state machine of the wall. */
export function tileOf(cameras: readonly Camera[], camera: Camera, isFeatured: boolean): Tile {
  const { address: stream, state } = tileStream(cameras, camera);
  const hasMotion = camera.motion?.active === true;
  return { address: camera.address, stream, state, isFeatured, hasMotion };
}

/** Returns the reason of a picture that could not be opened, and what to do, as sentences. */
export function failureOf({ title, detail }: View): string {
  return detail === '' ? sentence(title) : `${sentence(title)} ${detail}`;
}

/** Returns the texts of a tile at a time in milliseconds since 1970. */
export function tileView(
  camera: Camera,
  picture: Picture,
  offlineSince: number | null,
  now: number,
): TileView {
  const { isPlaying, hasFrame, failure, stillAt } = picture;
  const failed = hasFrame ? null : failure;
  const lost = isPlaying ? null : (unavailableReason(camera) ?? failed);
  const isOffline = camera.state === 'offline' && offlineSince !== null;
  const since = { time: format.clockTime(offlineSince ?? 0) };
  const mark = isPlaying ? 'live' : markOf(camera, picture);
  return {
    mark,
    label: labelOf(mark, stillAt, now),
    reason: lost !== null && isOffline ? t('wall.offline-since', since) : lost,
    warning: warning(camera),
    hasMotion: camera.state !== 'offline' && camera.motion?.active === true,
    // A reason needs the room.
    motion: lost === null ? motionText(camera, now) : null,
  };
}

function markOf({ state }: Camera, { hasFrame, failure, stillAt }: Picture): Mark {
  if (state === 'failed' || state === 'offline') return state;
  if (failure !== null && !hasFrame) return 'failed';
  return hasFrame || stillAt === null ? 'connecting' : 'idle';
}

function labelOf(mark: Mark, stillAt: number | null, now: number): string {
  if (mark !== 'idle' || stillAt === null) return t(`camera.state.${mark}`);
  return t('wall.still', { ago: format.ago((now - stillAt) / 1000) });
}

function motionText({ motion, state }: Camera, now: number): string | null {
  if (motion?.active) return state === 'offline' ? null : t('wall.motion');
  if (motion?.lastS === undefined) return null;
  const seconds = Math.max(0, now / 1000 - motion.lastS);
  return seconds > MOTION_NEWS_S ? null : t('wall.motion-ago', { ago: format.ago(seconds) });
}
