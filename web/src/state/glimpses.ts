/** The last picture seen of each camera, for its tile. In memory only, gone with the page. */

import type { CameraId } from '../protocol';

/** A tile is no wider than this on most screens. */
const WIDTH = 640;
const MAX_GLIMPSES = 48;

const glimpses = new Map<CameraId, ImageBitmap>();

export function glimpseOf(id: CameraId): ImageBitmap | null {
  return glimpses.get(id) ?? null;
}

export function forgetGlimpses(): void {
  for (const bitmap of glimpses.values()) bitmap.close();
  glimpses.clear();
}

export async function keepGlimpse(id: CameraId, video: HTMLVideoElement): Promise<void> {
  if (video.videoWidth === 0) return;
  try {
    const bitmap = await createImageBitmap(video, {
      resizeWidth: Math.min(WIDTH, video.videoWidth),
    });
    glimpses.get(id)?.close();
    glimpses.delete(id);
    glimpses.set(id, bitmap);
    const oldest = glimpses.keys().next().value;
    if (glimpses.size > MAX_GLIMPSES && oldest !== undefined) {
      glimpses.get(oldest)?.close();
      glimpses.delete(oldest);
    }
  } catch {
    // A picture that is gone before it was copied is no loss.
  }
}
