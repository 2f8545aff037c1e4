/** The last frame shown of each camera, for its tile. In memory only, so gone with the page. */

import { SvelteMap } from 'svelte/reactivity';
import type { CameraAddress } from '../protocol';

/** A tile is no wider than this on most screens. */
const WIDTH = 640;
/** More than a wall shows at once; each takes about a megabyte. */
const MAX_THUMBNAILS = 64;

export interface Thumbnail {
  readonly bitmap: ImageBitmap;
  /** Time at which the frame was shown, in milliseconds since 1970. */
  readonly at: number;
}

const thumbnails = new SvelteMap<CameraAddress, Thumbnail>();

/** Returns the latest thumbnail of a camera; effects run again when there is a newer one. */
export function thumbnailOf(address: CameraAddress): Thumbnail | null {
  return thumbnails.get(address) ?? null;
}

/** Gives the thumbnail of a camera that was probed to the camera that it has become. */
export function moveThumbnail(from: CameraAddress, to: CameraAddress): void {
  const thumbnail = thumbnails.get(from);
  if (thumbnail === undefined) return;
  thumbnails.delete(from);
  replace(to, thumbnail);
}

export function clearThumbnails(): void {
  for (const { bitmap } of thumbnails.values()) bitmap.close();
  thumbnails.clear();
}

/** Saves the current frame of a video as the camera's thumbnail; drops the oldest if full. */
export async function saveThumbnail(
  address: CameraAddress,
  video: HTMLVideoElement,
): Promise<void> {
  if (video.videoWidth === 0) return;
  const at = Date.now();
  try {
    const bitmap = await createImageBitmap(video, {
      resizeWidth: Math.min(WIDTH, video.videoWidth),
    });
    replace(address, { bitmap, at });
    const oldest = thumbnails.keys().next().value;
    if (thumbnails.size > MAX_THUMBNAILS && oldest !== undefined) {
      thumbnails.get(oldest)?.bitmap.close();
      thumbnails.delete(oldest);
    }
  } catch {
    // The frame was gone before it could be copied: the tile keeps its old thumbnail.
  }
}

function replace(address: CameraAddress, thumbnail: Thumbnail): void {
  const before = thumbnails.get(address);
  thumbnails.delete(address);
  thumbnails.set(address, thumbnail);
  before?.bitmap.close();
}

/** Draws a thumbnail into a canvas; for `{@attach}`. */
export function drawn(thumbnail: Thumbnail): (canvas: HTMLCanvasElement) => void {
  return (canvas) => {
    const { bitmap } = thumbnail;
    if (bitmap.width === 0) return;
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    canvas.getContext('2d')?.drawImage(bitmap, 0, 0);
  };
}
