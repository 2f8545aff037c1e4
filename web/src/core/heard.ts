/**
 * The cameras that a person wants to hear. They are kept in the browser, as text that anything may
 * have written.
 */

import type { CameraKey } from './arrangement';

const VERSION = 1;
/** The most cameras that are kept; the one that was changed last is kept longest. */
export const MAX_HEARD = 256;
/** Longer text was not written by this page. */
const MAX_TEXT_CHARS = 64 * 1024;
const MAX_KEY_CHARS = 129;

/** Returns the cameras that a text names; what it does not name well is left out. */
export function parseHeard(text: string | null): readonly CameraKey[] {
  const value = text === null || text.length > MAX_TEXT_CHARS ? null : parsed(text);
  if (typeof value !== 'object' || value === null) return [];
  const { version, cameras } = value as Readonly<Record<string, unknown>>;
  if (version !== VERSION || !Array.isArray(cameras)) return [];
  const keys = cameras.filter((key) => typeof key === 'string' && key.length <= MAX_KEY_CHARS);
  return [...new Set(keys as CameraKey[])].slice(-MAX_HEARD);
}

export function serializeHeard(cameras: readonly CameraKey[]): string {
  return JSON.stringify({ version: VERSION, cameras });
}

/** Returns the cameras with or without one of them. */
export function withHeard(
  cameras: readonly CameraKey[],
  camera: CameraKey,
  isHeard: boolean,
): readonly CameraKey[] {
  const others = cameras.filter((other) => other !== camera);
  return isHeard ? [...others, camera].slice(-MAX_HEARD) : others;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
