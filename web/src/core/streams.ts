/**
 * Main and sub streams: a camera lists its streams, each of which is watched by its own id. Cameras
 * of two gateways may have one id: an address says which of them is meant, `ID@GATEWAY`, or the id
 * alone for the camera whose address the server says it is.
 */

import type { Camera, CameraAddress, CameraId, CameraState } from '../protocol';
import type { GatewayId, StreamReport } from '../protocol';
import { t } from './text';

/** A camera in the list, and the stream of it that an address means if it is not the main one. */
interface Found {
  readonly camera: Camera;
  readonly stream: StreamReport | null;
}

/** Returns the camera with one of its streams in the place of its main stream, or `null`. */
export function findStream(cameras: readonly Camera[], address: CameraAddress): Camera | null {
  const found = find(cameras, address);
  if (found === null || found.stream === null) return found?.camera ?? null;
  // The format and the reason are those of the stream, even if it has none.
  const { codec: _codec, width: _width, height: _height, reason: _reason, ...whole } = found.camera;
  const { role: _role, ...stream } = found.stream;
  return { ...whole, ...stream, address: addressOf(cameras, found.camera, stream.id) };
}

/** Returns the camera that an address means, whichever of its streams that is. */
export function findCamera(cameras: readonly Camera[], address: CameraAddress): Camera | null {
  return find(cameras, address)?.camera ?? null;
}

function find(cameras: readonly Camera[], address: CameraAddress): Found | null {
  const [id = '', gateway] = address.split('@');
  const isMeant = (camera: Camera) =>
    gateway === undefined ? camera.address === camera.id : camera.gateway === gateway;
  const meant = cameras.filter(isMeant);
  const camera = meant.find((each) => each.id === id);
  if (camera !== undefined) return { camera, stream: null };
  for (const each of meant) {
    const stream = each.streams?.find((one) => one.id === id);
    if (stream !== undefined) return { camera: each, stream };
  }
  return null;
}

/** Returns the shortest address that means this stream of a camera. */
function addressOf(cameras: readonly Camera[], camera: Camera, id: CameraId): CameraAddress {
  if (id === camera.id) return camera.address;
  const meant = find(cameras, id)?.camera;
  const isMeant = meant?.gateway === camera.gateway && meant.id === camera.id;
  return isMeant ? id : `${id}@${camera.gateway}`;
}

/** Returns the address that a camera has once it is in the list. */
export function newAddress(
  cameras: readonly Camera[],
  id: CameraId,
  gateway: GatewayId,
): CameraAddress {
  const isTaken = cameras.some((one) => one.address === id && one.gateway !== gateway);
  return isTaken ? `${id}@${gateway}` : id;
}

/** The stream that a tile of the wall plays. */
export interface TileStream {
  readonly address: CameraAddress;
  readonly state: CameraState;
}

/** Returns the small stream of a camera, or the large one if only that has a picture. */
export function tileStream(cameras: readonly Camera[], camera: Camera): TileStream {
  const { address, state } = camera;
  const sub = camera.streams?.find(({ role }) => role === 'sub');
  if (state === 'offline' || sub === undefined) return { address, state };
  if (sub.state === 'failed' && state !== 'failed') return { address, state };
  return { address: addressOf(cameras, camera, sub.id), state: sub.state };
}

export interface OtherStream {
  readonly address: CameraAddress;
  readonly label: string;
}

/** Returns the other stream of the same camera, if there is one. */
export function otherStream(
  cameras: readonly Camera[],
  address: CameraAddress,
): OtherStream | null {
  const found = find(cameras, address);
  const shown = found?.stream?.id ?? found?.camera.id;
  const other = found?.camera.streams?.find((stream) => stream.id !== shown);
  if (found === null || other === undefined) return null;
  const label = other.role === 'sub' ? t('camera.low-resolution') : t('camera.full-resolution');
  return { address: addressOf(cameras, found.camera, other.id), label };
}
