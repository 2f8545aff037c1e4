/** Saves the current frame of a video as a file, without the server. */

import type { Shown } from '../core/shown';
import { drawingOf, fileName } from '../core/snapshot';

const QUALITY = 0.92;

/** Saves the frame at full resolution, turned and mirrored as shown. Returns false if it fails. */
export async function saveSnapshot(
  video: HTMLVideoElement,
  camera: string,
  shown: Shown,
): Promise<boolean> {
  if (video.videoWidth === 0) return false;
  const at = Date.now();
  const { width, height, matrix } = drawingOf(video.videoWidth, video.videoHeight, shown);
  const canvas = document.createElement('canvas');
  Object.assign(canvas, { width, height });
  const context = canvas.getContext('2d');
  context?.setTransform(...matrix);
  context?.drawImage(video, 0, 0);
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, 'image/jpeg', QUALITY));
  if (blob === null || context === null) return false;
  const url = URL.createObjectURL(blob);
  const link = document.createElement('a');
  Object.assign(link, { href: url, download: fileName(camera, at) });
  link.click();
  // The browser reads the file after the click.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  return true;
}
