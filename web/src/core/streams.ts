/** A camera's smaller stream is a camera of its own, whose id is the camera's and `.sub`. */

import type { Camera } from '../protocol';

const SUB = '.sub';

/** The cameras a person means: without the smaller streams of those that are there. */
export function withoutSmaller(cameras: readonly Camera[]): readonly Camera[] {
  const ids = new Set(cameras.map(({ id }) => id));
  return cameras.filter(({ id }) => !(id.endsWith(SUB) && ids.has(id.slice(0, -SUB.length))));
}

export interface OtherStream {
  readonly id: string;
  readonly label: 'Small picture' | 'Full picture';
}

/** The other stream of the same picture, if there is one. */
export function otherStream(cameras: readonly Camera[], id: string): OtherStream | null {
  const has = (other: string): boolean => cameras.some((camera) => camera.id === other);
  if (has(id + SUB)) return { id: id + SUB, label: 'Small picture' };
  const main = id.endsWith(SUB) ? id.slice(0, -SUB.length) : null;
  return main !== null && has(main) ? { id: main, label: 'Full picture' } : null;
}
