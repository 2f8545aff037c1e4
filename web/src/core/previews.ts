/** The pictures of cameras that were probed: which of them play at a time. */

import type { CameraId } from '../protocol';

/** Main and sub stream of one camera; a weak device or line carries no more. */
export const MAX_PLAYING = 2;

/**
 * Returns the streams to play next. One that has shown its picture gives way to one that has not,
 * and goes on if there is room.
 */
export function nextPlaying(
  wanted: readonly CameraId[],
  finished: ReadonlySet<CameraId>,
  playing: readonly CameraId[],
): readonly CameraId[] {
  const kept = playing.filter((id) => wanted.includes(id));
  const unfinished = kept.filter((id) => !finished.has(id));
  const waiting = wanted.filter((id) => !finished.has(id) && !kept.includes(id));
  const next = [...unfinished, ...waiting].slice(0, MAX_PLAYING);
  const others = kept.filter((id) => finished.has(id)).slice(0, MAX_PLAYING - next.length);
  return [...others, ...next];
}
