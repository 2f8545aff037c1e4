/**
 * The arrangement of the wall: the order of the cameras, groups of them, and the one that is
 * larger. It is kept in the browser, as text that anything may have written.
 */

import type { Camera } from '../protocol';

/** Identity of a camera in an arrangement: addresses may change, this does not. */
export type CameraKey = string;

export interface Group {
  readonly id: number;
  readonly name: string;
  readonly cameras: readonly CameraKey[];
}

/** Size of the tiles: as many as fit on the screen, or fewer and larger. */
export type TileSize = 'fit' | 'large';

export interface Arrangement {
  readonly order: readonly CameraKey[];
  readonly groups: readonly Group[];
  /** The group that is shown; `null` for all cameras. */
  readonly shown: number | null;
  readonly featured: CameraKey | null;
  readonly size: TileSize;
}

export const NO_ARRANGEMENT: Arrangement = {
  order: [],
  groups: [],
  shown: null,
  featured: null,
  size: 'fit',
};

const VERSION = 1;
/** More do not fit into one row of a phone, and nobody finds them again. */
export const MAX_GROUPS = 16;
export const MAX_NAME_CHARS = 32;
/** The most cameras of four gateways. */
const MAX_CAMERAS = 1024;
const MAX_KEY_CHARS = 129;
/** Longer text was not written by this page. */
const MAX_TEXT_CHARS = 1024 * 1024;

export function keyOf({ id, gateway }: Pick<Camera, 'id' | 'gateway'>): CameraKey {
  return `${id}@${gateway}`;
}

/** Returns the arrangement that a text describes; what it does not describe is left out. */
export function parse(text: string | null): Arrangement {
  const value = text === null || text.length > MAX_TEXT_CHARS ? null : parsed(text);
  if (!isObject(value) || value.version !== VERSION) return NO_ARRANGEMENT;
  const groups = (Array.isArray(value.groups) ? value.groups : [])
    .map(groupOf)
    .filter((group) => group !== null)
    .slice(0, MAX_GROUPS);
  const isKnown = (id: unknown) => groups.some((group) => group.id === id);
  const { shown, featured } = value;
  return {
    order: keysOf(value.order),
    groups: groups.filter((group, at) => groups.findIndex(({ id }) => id === group.id) === at),
    shown: typeof shown === 'number' && isKnown(shown) ? shown : null,
    featured: isKey(featured) ? featured : null,
    size: value.size === 'large' ? 'large' : 'fit',
  };
}

export function serialize(arrangement: Arrangement): string {
  return JSON.stringify({ version: VERSION, ...arrangement });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function groupOf(value: unknown): Group | null {
  if (!isObject(value) || typeof value.id !== 'number' || typeof value.name !== 'string') {
    return null;
  }
  const name = groupName(value.name);
  return name === '' ? null : { id: value.id, name, cameras: keysOf(value.cameras) };
}

function keysOf(value: unknown): CameraKey[] {
  return Array.isArray(value) ? [...new Set(value.filter(isKey))].slice(0, MAX_CAMERAS) : [];
}

function isKey(value: unknown): value is CameraKey {
  return typeof value === 'string' && value.length <= MAX_KEY_CHARS;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Returns a name of a group as it is kept: trimmed, and not too long. */
export function groupName(typed: string): string {
  return [...typed.trim().replace(/\s+/g, ' ')].slice(0, MAX_NAME_CHARS).join('');
}

/** Returns all cameras in order; those that were never moved follow as the server lists them. */
export function ordered(cameras: readonly Camera[], { order }: Arrangement): Camera[] {
  const places = new Map(order.map((key, place) => [key, place]));
  const placeOf = (camera: Camera) => places.get(keyOf(camera)) ?? order.length;
  return [...cameras].sort((a, b) => placeOf(a) - placeOf(b));
}

/** Returns the cameras of the shown group whose name contains the words that were typed. */
export function chosen(
  cameras: readonly Camera[],
  arrangement: Arrangement,
  typed: string,
): Camera[] {
  const group = arrangement.groups.find(({ id }) => id === arrangement.shown);
  const words = plain(typed).split(/\s+/);
  return ordered(cameras, arrangement).filter(
    (camera) =>
      (group === undefined || group.cameras.includes(keyOf(camera))) &&
      words.every((word) => plain(camera.name).includes(word)),
  );
}

/** Returns a text without capitals and accents, which people leave out when they search. */
function plain(text: string): string {
  return text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase().trim();
}

/**
 * Moves a camera to the place of another. `shown` are the cameras on the wall, in order; cameras
 * that are not shown stay where they are among the others.
 */
export function moved(
  arrangement: Arrangement,
  cameras: readonly Camera[],
  from: CameraKey,
  to: CameraKey,
): Arrangement {
  const order = ordered(cameras, arrangement).map(keyOf);
  const [start, end] = [order.indexOf(from), order.indexOf(to)];
  if (start < 0 || end < 0 || start === end) return arrangement;
  order.splice(start, 1);
  order.splice(end, 0, from);
  return { ...arrangement, order: order.slice(0, MAX_CAMERAS) };
}

/** Adds a group and shows it; nothing changes if there are too many, or the name is empty. */
export function withGroup(
  arrangement: Arrangement,
  typed: string,
  cameras: readonly CameraKey[],
): Arrangement {
  const { groups } = arrangement;
  const name = groupName(typed);
  if (groups.length >= MAX_GROUPS || name === '') return arrangement;
  const id = Math.max(0, ...groups.map((group) => group.id)) + 1;
  return { ...arrangement, groups: [...groups, { id, name, cameras: [...cameras] }], shown: id };
}

export function withChangedGroup(
  arrangement: Arrangement,
  id: number,
  typed: string,
  cameras: readonly CameraKey[],
): Arrangement {
  const name = groupName(typed);
  const groups = arrangement.groups.map((group) =>
    group.id === id ? { id, name: name || group.name, cameras: [...cameras] } : group,
  );
  return { ...arrangement, groups };
}

export function withoutGroup(arrangement: Arrangement, id: number): Arrangement {
  const groups = arrangement.groups.filter((group) => group.id !== id);
  return { ...arrangement, groups, shown: arrangement.shown === id ? null : arrangement.shown };
}
