/** Main and sub streams: the server lists a sub stream as a camera of its own, `ID.sub`. */

import type { Camera } from '../protocol';

const SUB = '.sub';

/** Returns the cameras without the sub streams of cameras that are listed too. */
export function withoutSubStreams(cameras: readonly Camera[]): readonly Camera[] {
  const ids = new Set(cameras.map(({ id }) => id));
  return cameras.filter(({ id }) => !(id.endsWith(SUB) && ids.has(id.slice(0, -SUB.length))));
}

export interface OtherStream {
  readonly id: string;
  readonly label: 'Switch to low resolution' | 'Switch to full resolution';
}

/** Returns the other stream of the same camera, if there is one. */
export function otherStream(cameras: readonly Camera[], id: string): OtherStream | null {
  const has = (other: string): boolean => cameras.some((camera) => camera.id === other);
  if (has(id + SUB)) return { id: id + SUB, label: 'Switch to low resolution' };
  const main = id.endsWith(SUB) ? id.slice(0, -SUB.length) : null;
  return main !== null && has(main) ? { id: main, label: 'Switch to full resolution' } : null;
}
