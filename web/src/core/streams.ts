/** Main and sub streams: a camera lists its streams, each of which is watched by its own id. */

import type { Camera, CameraId, StreamReport } from '../protocol';
import { t } from './text';

/** Returns the camera with one of its streams in the place of its main stream, or `null`. */
export function findStream(cameras: readonly Camera[], id: CameraId): Camera | null {
  const camera = cameras.find((each) => each.id === id || streamOf(each, id) !== null) ?? null;
  if (camera === null || camera.id === id) return camera;
  const { name, gateway, viewers, streams } = camera;
  const { role: _role, ...stream } = streamOf(camera, id) as StreamReport;
  return { name, gateway, viewers, ...(streams ? { streams } : {}), ...stream };
}

function streamOf({ streams }: Camera, id: CameraId): StreamReport | null {
  return streams?.find((stream) => stream.id === id) ?? null;
}

export interface OtherStream {
  readonly id: CameraId;
  readonly label: string;
}

/** Returns the other stream of the same camera, if there is one. */
export function otherStream(cameras: readonly Camera[], id: CameraId): OtherStream | null {
  const streams = findStream(cameras, id)?.streams ?? [];
  const other = streams.find((stream) => stream.id !== id);
  if (other === undefined) return null;
  const label = other.role === 'sub' ? t('camera.low-resolution') : t('camera.full-resolution');
  return { id: other.id, label };
}
