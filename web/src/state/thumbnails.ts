/** The last frame shown of each camera, for its tile. In memory only, so gone with the page. */

import type { CameraAddress } from '../protocol';

/** A tile is no wider than this on most screens. */
const WIDTH = 640;
const MAX_THUMBNAILS = 48;

const thumbnails = new Map<CameraAddress, ImageBitmap>();

export function thumbnailOf(address: CameraAddress): ImageBitmap | null {
  return thumbnails.get(address) ?? null;
}

/** Gives the thumbnail of a camera that was probed to the camera that it has become. */
export function moveThumbnail(from: CameraAddress, to: CameraAddress): void {
  const thumbnail = thumbnails.get(from);
  if (thumbnail === undefined) return;
  thumbnails.delete(from);
  thumbnails.get(to)?.close();
  thumbnails.set(to, thumbnail);
}

export function clearThumbnails(): void {
  for (const bitmap of thumbnails.values()) bitmap.close();
  thumbnails.clear();
}

/** Saves the current frame of a video as the camera's thumbnail; drops the oldest if full. */
export async function saveThumbnail(
  address: CameraAddress,
  video: HTMLVideoElement,
): Promise<void> {
  if (video.videoWidth === 0) return;
  try {
    const bitmap = await createImageBitmap(video, {
      resizeWidth: Math.min(WIDTH, video.videoWidth),
    });
    thumbnails.get(address)?.close();
    thumbnails.delete(address);
    thumbnails.set(address, bitmap);
    const oldest = thumbnails.keys().next().value;
    if (thumbnails.size > MAX_THUMBNAILS && oldest !== undefined) {
      thumbnails.get(oldest)?.close();
      thumbnails.delete(oldest);
    }
  } catch {
    // The frame was gone before it could be copied: the tile keeps its old thumbnail.
  }
}
