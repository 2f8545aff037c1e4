/** The names of the cameras that somebody's access is limited to. */

import type { Camera, CameraAddress } from '../protocol';

type Named = Pick<Camera, 'id' | 'gateway' | 'address' | 'name'>;

/** Returns the address that always means this camera, whichever others come. */
export function fullAddress({ id, gateway }: Pick<Camera, 'id' | 'gateway'>): CameraAddress {
  return `${id}@${gateway}`;
}

/** Returns the name of the camera at an address; the address itself if there is none. */
export function cameraName(address: CameraAddress, cameras: readonly Named[]): string {
  const found = cameras.find((one) => fullAddress(one) === address || one.address === address);
  return found?.name ?? address;
}
