/** The wall: its pictures, and how the person arranged it. */

import { SvelteMap } from 'svelte/reactivity';
import { NO_ARRANGEMENT, parse, serialize, type Arrangement } from '../core/arrangement';
import type { Picture } from '../core/picture-contract';
import { failureOf } from '../core/tile';
import type { View } from '../core/viewer-text';
import type { Tile } from '../core/wall';
import { SessionPictures } from '../drivers/pictures';
import { readStored, store } from '../drivers/storage';
import { hints, watchHints } from '../drivers/surroundings';
import { Wall } from '../drivers/wall';
import type { CameraAddress } from '../protocol';
import { live } from './live.svelte';
import { saveThumbnail } from './thumbnails.svelte';

const STORED_AS = 'porthole.wall';
/** Share of a tile that must be on the screen for it to play. */
const VISIBLE_SHARE = 0.25;
/** Time that the next page has to take over a picture. */
const LEND_MS = 1_000;

/** The picture of one tile, while it is open. */
export class TilePicture {
  stream = $state.raw<MediaStream | null>(null);
  view = $state.raw<View | null>(null);
  hasFrame = $state(false);
  video: HTMLVideoElement | null = null;
}

/** A picture that goes on on the page of its camera. */
export interface Lent {
  readonly stream: MediaStream;
  readonly close: () => void;
}

let latest: WallPage | null = null;

/** Takes over the picture of a tile that was just on the screen. Whoever takes it closes it. */
export function borrow(address: CameraAddress): Lent | null {
  return latest?.lend(address) ?? null;
}

export class WallPage {
  readonly pictures = new SvelteMap<CameraAddress, TilePicture>();
  /** The reasons why pictures could not be opened, until they have a frame. */
  readonly failures = new SvelteMap<CameraAddress, string>();
  readonly #wall: Wall;
  readonly #observer: IntersectionObserver;
  readonly #addresses = new Map<Element, CameraAddress>();
  readonly #ended = new AbortController();
  #endHints: () => void = () => undefined;

  constructor() {
    const source = new SessionPictures(
      live.signaling,
      () => live.cameras,
      () => live.signedOut(),
    );
    this.#wall = new Wall(source, hints(), {
      changed: (address, view) => this.#handleView(address, view),
      stream: (address, stream) => (this.#pictureOf(address).stream = stream),
      closed: (address) => this.#handleClosed(address),
      skipped: (address) => skipped(this.pictures.get(address)?.video ?? null),
    });
    this.#observer = new IntersectionObserver((entries) => this.#handleVisible(entries), {
      threshold: [0, VISIBLE_SHARE],
    });
  }

  start(): void {
    latest?.close();
    latest = this;
    const { signal } = this.#ended;
    const page = () =>
      this.#wall.dispatch({ type: 'page', visible: document.visibilityState === 'visible' });
    document.addEventListener('visibilitychange', page, { signal });
    addEventListener('online', () => this.#wall.networkChanged(), { signal });
    this.#endHints = watchHints(() => this.#wall.dispatch({ type: 'hints', hints: hints() }));
    this.#wall.dispatch({ type: 'start' });
    page();
  }

  /** Ends the page; the pictures go on for a moment, so that another page can take one over. */
  stop(): void {
    this.#ended.abort();
    this.#endHints();
    this.#observer.disconnect();
    setTimeout(() => this.close(), LEND_MS);
  }

  close(): void {
    if (latest === this) latest = null;
    this.#wall.dispatch({ type: 'stop' });
  }

  setTiles(tiles: readonly Tile[]): void {
    this.#wall.dispatch({ type: 'tiles', tiles });
  }

  /** Plays a tile while its element is on the screen; for `{@attach}`. */
  observe(address: CameraAddress): (element: Element) => () => void {
    return (element) => {
      this.#addresses.set(element, address);
      this.#observer.observe(element);
      return () => {
        this.#observer.unobserve(element);
        this.#addresses.delete(element);
      };
    };
  }

  /** Notes that the video of a tile has its first frame. */
  shown(address: CameraAddress, video: HTMLVideoElement): void {
    const picture = this.pictures.get(address);
    if (picture === undefined) return;
    picture.video = video;
    picture.hasFrame = true;
    this.failures.delete(address);
    this.#wall.dispatch({ type: 'picture', address });
  }

  /** Keeps the last frame of a video that leaves the page. */
  gone(address: CameraAddress, video: HTMLVideoElement): void {
    const picture = this.pictures.get(address);
    if (picture?.video !== video) return;
    picture.video = null;
    void saveThumbnail(address, video);
  }

  lend(address: CameraAddress): Lent | null {
    const stream = this.pictures.get(address)?.stream ?? null;
    const picture: Picture | null = stream === null ? null : this.#wall.lend(address);
    if (stream === null || picture === null) return null;
    this.pictures.delete(address);
    return { stream, close: () => picture.close() };
  }

  #pictureOf(address: CameraAddress): TilePicture {
    const known = this.pictures.get(address);
    if (known !== undefined) return known;
    const created = new TilePicture();
    this.pictures.set(address, created);
    return created;
  }

  #handleView(address: CameraAddress, view: View): void {
    const picture = this.#pictureOf(address);
    picture.view = view;
    if (view.phase !== 'failed') return;
    this.failures.set(address, failureOf(view));
    if (!picture.hasFrame) return;
    picture.hasFrame = false;
    if (picture.video !== null) void saveThumbnail(address, picture.video);
  }

  #handleClosed(address: CameraAddress): void {
    const video = this.pictures.get(address)?.video ?? null;
    if (video !== null) void saveThumbnail(address, video);
    this.pictures.delete(address);
  }

  #handleVisible(entries: readonly IntersectionObserverEntry[]): void {
    for (const { target, isIntersecting, intersectionRatio } of entries) {
      const address = this.#addresses.get(target);
      const visible = isIntersecting && intersectionRatio >= VISIBLE_SHARE;
      if (address !== undefined) this.#wall.dispatch({ type: 'visible', address, visible });
    }
  }
}

/** Returns the number of frames that the browser decoded but had no time to show. */
function skipped(video: HTMLVideoElement | null): number {
  return video?.getVideoPlaybackQuality().droppedVideoFrames ?? 0;
}

/** The order of the wall as the person arranged it, kept in this browser. */
class Arranged {
  #value = $state.raw<Arrangement>(NO_ARRANGEMENT);

  constructor() {
    this.#value = parse(readStored(STORED_AS));
    addEventListener('storage', ({ key, newValue }) => {
      if (key === STORED_AS) this.#value = parse(newValue);
    });
  }

  get value(): Arrangement {
    return this.#value;
  }

  set value(next: Arrangement) {
    this.#value = next;
    store(STORED_AS, serialize(next));
  }
}

export const arranged = new Arranged();
