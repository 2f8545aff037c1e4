/**
 * The state machine of a wall: which tiles play, and which show a still that is refreshed in turn.
 *
 * A tile plays while it is visible, as many at once as the machine shows smoothly (`pace.ts`). Each
 * of the others is opened from time to time until it has a picture, which is kept as a still.
 */

import type { CameraAddress, CameraState } from '../protocol';
import { earliest, type Env, type Step } from './machine';
import { initialPace, paced, rebound, type Frames, type Hints, type Pace } from './pace';

/** Time for which pictures go on after the page was hidden: people switch tabs and come back. */
const HIDE_GRACE_MS = 4_000;
/** More at once would compete for the line and the processor before the first picture. */
const MAX_OPENING = 4;
/** Time after which a picture that does not come no longer keeps others from being opened. */
const SLOW_MS = 3_000;
/** Stills that are refreshed at once. */
const MAX_STILLS = 2;
/** Age at which a still is refreshed. */
const STILL_EVERY_MS = 15_000;
/** Interval of attempts on a camera that has failed: the gateway tries by itself, too. */
const FAILED_EVERY_MS = 60_000;
/** An on-demand camera may be silent for a key frame interval after it was connected. */
const STILL_TIMEOUT_MS = 20_000;
const MEASURE_EVERY_MS = 3_000;

export interface Tile {
  readonly address: CameraAddress;
  /** Address of the stream that the tile plays. */
  readonly stream: CameraAddress;
  readonly state: CameraState;
  /** True for a tile that is larger than the others. */
  readonly isFeatured: boolean;
  readonly hasMotion: boolean;
}

/** A picture that is open. */
interface Open {
  readonly stream: CameraAddress;
  readonly purpose: 'live' | 'still';
  readonly since: number;
  /** True from its first picture until it fails. */
  readonly hasPicture: boolean;
  /** Counters of the latest measurement, and of the one before. */
  readonly frames: Frames;
  readonly measured: Frames;
}

export interface WallState {
  readonly running: boolean;
  readonly pageVisible: boolean;
  /** Time at which everything is closed, because the page is hidden. */
  readonly hideAt: number | null;
  readonly measureAt: number | null;
  /** Time of the next `timeout` event. */
  readonly wakeAt: number | null;
  /** The tiles in the order of the page. */
  readonly tiles: readonly Tile[];
  readonly visible: ReadonlySet<CameraAddress>;
  readonly open: ReadonlyMap<CameraAddress, Open>;
  /** Times of the latest picture or attempt. */
  readonly tried: ReadonlyMap<CameraAddress, number>;
  readonly pace: Pace;
}

export type WallEvent =
  | { readonly type: 'start' | 'stop' | 'timeout' }
  | { readonly type: 'tiles'; readonly tiles: readonly Tile[] }
  | { readonly type: 'visible'; readonly address: CameraAddress; readonly visible: boolean }
  | { readonly type: 'page'; readonly visible: boolean }
  | { readonly type: 'hints'; readonly hints: Hints }
  | { readonly type: 'picture' | 'failed' | 'lent'; readonly address: CameraAddress }
  | { readonly type: 'frames'; readonly address: CameraAddress; readonly frames: Frames };

export type WallEffect =
  | { readonly type: 'open'; readonly address: CameraAddress; readonly stream: CameraAddress }
  /** Closes a picture; its last frame is kept as the still. */
  | { readonly type: 'close'; readonly address: CameraAddress };

const NO_FRAMES: Frames = { received: 0, shown: 0 };

export function initialState(hints: Hints): WallState {
  return {
    running: false,
    pageVisible: true,
    hideAt: null,
    measureAt: null,
    wakeAt: null,
    tiles: [],
    visible: new Set(),
    open: new Map(),
    tried: new Map(),
    pace: initialPace(hints),
  };
}

export function step(state: WallState, event: WallEvent, env: Env): Step<WallState, WallEffect> {
  return planned(handled(state, event, env.now), env.now);
}

/** Returns the time of the next `timeout` event, or `null` if nothing is due. */
export function nextTimeout({ wakeAt }: WallState): number | null {
  return wakeAt;
}

function handled(state: WallState, event: WallEvent, now: number): WallState {
  switch (event.type) {
    case 'start':
      return { ...state, running: true };
    case 'stop':
      return { ...state, running: false, hideAt: null, measureAt: null };
    case 'timeout':
      return handleTimeout(state, now);
    case 'tiles':
      return handleTiles(state, event.tiles);
    case 'visible':
      return { ...state, visible: withMember(state.visible, event.address, event.visible) };
    case 'page':
      return handlePage(state, event.visible, now);
    case 'hints':
      return { ...state, pace: rebound(state.pace, event.hints) };
    case 'picture':
    case 'failed':
      return handleOutcome(state, event.address, event.type === 'picture', now);
    case 'lent': {
      // The page is being left; the tile must not open the picture again.
      const visible = withMember(state.visible, event.address, false);
      return { ...state, visible, open: without(state.open, event.address) };
    }
    case 'frames':
      return handleFrames(state, event.address, event.frames);
  }
}

function handleTiles(state: WallState, tiles: readonly Tile[]): WallState {
  const known = new Set(tiles.map(({ address }) => address));
  const tried = new Map([...state.tried].filter(([address]) => known.has(address)));
  const before = new Map(state.tiles.map((tile) => [tile.address, tile.state]));
  for (const { address, state: now } of tiles) {
    // A camera that is back gets a new picture at once.
    if (isDown(before.get(address)) && !isDown(now)) tried.delete(address);
  }
  return { ...state, tiles, tried };
}

function isDown(state: CameraState | undefined): boolean {
  return state === 'failed' || state === 'offline';
}

function handlePage(state: WallState, isVisible: boolean, now: number): WallState {
  if (isVisible === state.pageVisible) return state;
  const hideAt = isVisible ? null : now + HIDE_GRACE_MS;
  return { ...state, pageVisible: isVisible, hideAt };
}

/** Notes a picture or a failure; a still has had its turn with either. */
function handleOutcome(
  state: WallState,
  address: CameraAddress,
  hasPicture: boolean,
  now: number,
): WallState {
  const open = state.open.get(address);
  if (open === undefined) return state;
  const tried = new Map([...state.tried, [address, now] as const]);
  return { ...state, tried, open: new Map([...state.open, [address, { ...open, hasPicture }]]) };
}

function handleFrames(state: WallState, address: CameraAddress, frames: Frames): WallState {
  const open = state.open.get(address);
  if (open === undefined) return state;
  return { ...state, open: new Map([...state.open, [address, { ...open, frames }]]) };
}

function handleTimeout(state: WallState, now: number): WallState {
  if (state.measureAt === null || now < state.measureAt) return state;
  const playing = livesOf(state);
  const total = { received: 0, shown: 0 };
  for (const [, { frames, measured }] of playing) {
    // After a reconnection the counters start again at zero.
    if (frames.received < measured.received) continue;
    total.received += frames.received - measured.received;
    total.shown += frames.shown - measured.shown;
  }
  const open = new Map(
    [...state.open].map(([address, each]) => [address, { ...each, measured: each.frames }]),
  );
  const pace = paced(state.pace, total, playing.length, now);
  return { ...state, open, pace, measureAt: now + MEASURE_EVERY_MS };
}

// The plan: what is open after each event.

/** Closes what is no longer wanted, and opens what is. */
function planned(state: WallState, now: number): Step<WallState, WallEffect> {
  const effects: WallEffect[] = [];
  const open = new Map(state.open);
  const tried = new Map(state.tried);
  const isHidden = !isShown(state, now);
  const lives = new Set(isHidden ? [] : wantedLive(state));
  for (const [address, each] of state.open) {
    if (lives.has(address)) open.set(address, { ...each, purpose: 'live' });
    if (isKept(state, address, each, lives, isHidden, now)) continue;
    open.delete(address);
    tried.set(address, now);
    effects.push({ type: 'close', address });
  }
  for (const tile of isHidden ? [] : toOpen({ ...state, open, tried }, lives, now)) {
    const { address, stream } = tile;
    open.set(address, newOpen(stream, lives.has(address) ? 'live' : 'still', now));
    effects.push({ type: 'open', address, stream });
  }
  const next = { ...state, open, tried, hideAt: isHidden ? null : state.hideAt };
  const hasLive = livesOf(next).length > 0;
  const measureAt = hasLive ? (state.measureAt ?? now + MEASURE_EVERY_MS) : null;
  return { state: { ...next, measureAt, wakeAt: wakeAt({ ...next, measureAt }, now) }, effects };
}

/** Returns the earliest time at which the plan changes without an event. */
function wakeAt(state: WallState, now: number): number | null {
  if (!isShown(state, now)) return null;
  const ofOpen = [...state.open.values()].flatMap(({ since, purpose, hasPicture }) => {
    if (hasPicture) return [];
    return purpose === 'still' ? [since + SLOW_MS, since + STILL_TIMEOUT_MS] : [since + SLOW_MS];
  });
  const ofWaiting = waiting(state).map((tile) => dueAt(state, tile));
  // What is due already waits for another to end, which is an event or one of these times.
  const later = [...ofOpen, ...ofWaiting].filter((time) => time > now);
  return earliest(state.hideAt, state.measureAt, ...later);
}

function newOpen(stream: CameraAddress, purpose: 'live' | 'still', since: number): Open {
  return { stream, purpose, since, hasPicture: false, frames: NO_FRAMES, measured: NO_FRAMES };
}

/** Returns true if a picture that is open goes on. */
function isKept(
  state: WallState,
  address: CameraAddress,
  { stream, purpose, since, hasPicture }: Open,
  lives: ReadonlySet<CameraAddress>,
  isHidden: boolean,
  now: number,
): boolean {
  const tile = state.tiles.find((each) => each.address === address);
  if (isHidden || tile === undefined || tile.stream !== stream) return false;
  if (lives.has(address)) return true;
  if (purpose === 'live' || tile.state === 'offline') return false;
  // `tried` is set by the outcome: a picture, or a failure.
  const isOver = hasPicture || (state.tried.get(address) ?? 0) >= since;
  return !isOver && state.visible.has(address) && now < since + STILL_TIMEOUT_MS;
}

/** Returns the tiles to open next, in order. */
function toOpen(state: WallState, lives: ReadonlySet<CameraAddress>, now: number): Tile[] {
  const opening = [...state.open.values()].filter(
    ({ hasPicture, since }) => !hasPicture && now < since + SLOW_MS,
  ).length;
  const missing = state.tiles.filter((tile) => isMissing(state, lives, tile));
  const due = waiting(state)
    .filter((tile) => !lives.has(tile.address) && dueAt(state, tile) <= now)
    .sort((a, b) => (state.tried.get(a.address) ?? 0) - (state.tried.get(b.address) ?? 0));
  const stills = due.slice(0, Math.max(0, MAX_STILLS - stillsOf(state).length));
  return [...missing, ...stills].slice(0, Math.max(0, MAX_OPENING - opening));
}

function isMissing({ open }: WallState, lives: ReadonlySet<CameraAddress>, { address }: Tile) {
  return lives.has(address) && !open.has(address);
}

/** Returns the addresses of the tiles that should play. */
export function wantedLive(state: WallState): CameraAddress[] {
  return state.tiles
    .filter((tile) => state.visible.has(tile.address) && mayPlay(state, tile))
    .map((tile, place) => ({ tile, place }))
    .sort((a, b) => rank(state, a.tile) - rank(state, b.tile) || a.place - b.place)
    .slice(0, state.pace.limit)
    .map(({ tile }) => tile.address);
}

/**
 * Returns true if a tile may play. One that plays goes on when its camera fails, or its gateway has
 * lost the server: its picture may go on, or come back, on the connection that it has.
 */
function mayPlay({ open }: WallState, { address, state }: Tile): boolean {
  const playing = open.get(address);
  if (!isDown(state)) return true;
  if (playing?.purpose !== 'live') return false;
  return state === 'failed' || playing.hasPicture;
}

/** Returns the place of a tile among those that want to play: small numbers come first. */
function rank({ open }: WallState, { address, state, isFeatured, hasMotion }: Tile): number {
  if (isDown(state)) return 4;
  if (isFeatured) return 0;
  if (hasMotion) return 1;
  return open.get(address)?.purpose === 'live' ? 2 : 3;
}

/** Returns the visible tiles that are not open and whose camera may have a picture. */
function waiting({ tiles, visible, open }: WallState): Tile[] {
  return tiles.filter(
    ({ address, state }) => visible.has(address) && !open.has(address) && state !== 'offline',
  );
}

function dueAt({ tried }: WallState, { address, state }: Tile): number {
  const last = tried.get(address);
  if (last === undefined) return 0;
  return last + (state === 'failed' ? FAILED_EVERY_MS : STILL_EVERY_MS);
}

function isShown({ running, pageVisible, hideAt }: WallState, now: number): boolean {
  return running && (pageVisible || (hideAt !== null && now < hideAt));
}

function livesOf({ open }: WallState): [CameraAddress, Open][] {
  return [...open].filter(([, { purpose }]) => purpose === 'live');
}

function stillsOf({ open }: WallState): [CameraAddress, Open][] {
  return [...open].filter(([, { purpose }]) => purpose === 'still');
}

function withMember<T>(set: ReadonlySet<T>, member: T, isIn: boolean): ReadonlySet<T> {
  const next = new Set(set);
  if (isIn) next.add(member);
  else next.delete(member);
  return next;
}

function without<K, V>(map: ReadonlyMap<K, V>, key: K): ReadonlyMap<K, V> {
  const next = new Map(map);
  next.delete(key);
  return next;
}
