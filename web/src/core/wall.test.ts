import { describe, expect, test } from 'vitest';
import type { CameraState } from '../protocol';
import type { Hints } from './pace';
import { initialState, nextTimeout, step } from './wall';
import type { Tile, WallEffect, WallEvent, WallState } from './wall';

const HINTS: Hints = { cores: 8, isPhone: false, savesData: false, isBatteryLow: false };
const PHONE: Hints = { ...HINTS, isPhone: true };

const tile = (address: string, state: CameraState = 'live', more: Partial<Tile> = {}): Tile => ({
  address,
  stream: `${address}.sub`,
  state,
  isFeatured: false,
  hasMotion: false,
  ...more,
});

/** A wall with a clock, whose timeouts come when they are due. */
class Bench {
  now = 100_000;
  effects: WallEffect[] = [];
  state: WallState;

  constructor(tiles: readonly Tile[], hints = HINTS) {
    this.state = initialState(hints);
    this.send({ type: 'start' }, { type: 'tiles', tiles });
    for (const { address } of tiles) this.send({ type: 'visible', address, visible: true });
  }

  send(...events: readonly WallEvent[]): this {
    for (const event of events) {
      const { state, effects } = step(this.state, event, { now: this.now, random: 0 });
      this.state = state;
      this.effects.push(...effects);
    }
    return this;
  }

  wait(ms: number): this {
    const end = this.now + ms;
    for (let at = nextTimeout(this.state); at !== null && at <= end; at = nextTimeout(this.state)) {
      expect(at).toBeGreaterThan(this.now);
      this.now = at;
      this.send({ type: 'timeout' });
    }
    this.now = end;
    return this;
  }

  pictures(...addresses: readonly string[]): this {
    for (const address of addresses) this.send({ type: 'picture', address });
    return this;
  }

  get open(): string {
    return [...this.state.open].map(([address, { purpose }]) => `${address}:${purpose}`).join(' ');
  }

  take(): string {
    const taken = this.effects.map(({ type, address }) => `${type} ${address}`).join(', ');
    this.effects = [];
    return taken;
  }
}

const named = (names: string) => names.split('').map((name) => tile(name));

describe('what plays', () => {
  test('a visible tile plays its stream', () => {
    const bench = new Bench([tile('a')]);
    expect(bench.effects).toEqual([{ type: 'open', address: 'a', stream: 'a.sub' }]);
    expect(bench.pictures('a').open).toBe('a:live');
  });

  test('only a few are opened at once, and a slow one keeps no others waiting', () => {
    const bench = new Bench(named('abcdef'));
    expect(bench.open).toBe('a:live b:live c:live d:live');
    expect(bench.pictures('a').open).toBe('a:live b:live c:live d:live e:live');
    expect(bench.wait(3_001).open).toContain('f:live');
  });

  test('a tile that leaves the screen stops', () => {
    const bench = new Bench(named('ab')).pictures('a', 'b');
    bench.take();
    bench.send({ type: 'visible', address: 'a', visible: false });
    expect(bench.take()).toBe('close a');
    expect(bench.open).toBe('b:live');
  });

  test.each<[CameraState, string]>([
    ['live', 'a:live'],
    ['idle', 'a:live'],
    ['connecting', 'a:live'],
    ['failed', 'a:still'],
    ['offline', ''],
  ])('a camera that is %s is opened as "%s"', (state, open) => {
    expect(new Bench([tile('a', state)]).open).toBe(open);
  });

  test('another stream of the camera replaces the one that plays', () => {
    const bench = new Bench([tile('a')]).pictures('a');
    bench.take();
    bench.send({ type: 'tiles', tiles: [tile('a', 'live', { stream: 'a' })] });
    expect(bench.effects).toEqual([
      { type: 'close', address: 'a' },
      { type: 'open', address: 'a', stream: 'a' },
    ]);
  });

  test('a picture goes on when its gateway has lost the server, until it stops', () => {
    const bench = new Bench([tile('a')]).pictures('a');
    bench.send({ type: 'tiles', tiles: [tile('a', 'offline')] });
    expect(bench.open).toBe('a:live');
    bench.send({ type: 'failed', address: 'a' });
    expect(bench.open).toBe('');
    bench.send({ type: 'tiles', tiles: [tile('a', 'idle')] });
    expect(bench.open).toBe('a:live');
  });

  test('a picture that was lent is not closed', () => {
    const bench = new Bench([tile('a')]).pictures('a');
    bench.take();
    bench.send({ type: 'lent', address: 'a' }, { type: 'stop' });
    expect(bench.take()).not.toContain('close');
  });
});

describe('with more tiles than may play', () => {
  test('the first ones play, and the others get stills in turn', () => {
    const bench = new Bench(named('abcdefg'), PHONE).pictures('a', 'b', 'c', 'd');
    expect(bench.open).toBe('a:live b:live c:live d:live e:still f:still');
    bench.take();
    bench.pictures('e');
    expect(bench.take()).toBe('close e, open g');
    bench.pictures('f', 'g');
    expect(bench.open).toBe('a:live b:live c:live d:live');
    bench.wait(14_000);
    expect(bench.open).not.toContain('still');
    bench.wait(1_000);
    expect(bench.open).toContain('e:still f:still');
  });

  test('a still that does not come gives way to the next', () => {
    const bench = new Bench(named('abcdefg'), PHONE).pictures('a', 'b', 'c', 'd');
    bench.take();
    bench.wait(20_000);
    expect(bench.take()).toContain('close e');
    expect(bench.open).toContain('g:still');
    bench.send({ type: 'failed', address: 'g' });
    expect(bench.open).not.toContain('g:still');
  });

  test.each<[string, Partial<Tile>]>([
    ['larger', { isFeatured: true }],
    ['with motion', { hasMotion: true }],
  ])('a tile that is %s plays in place of another', (_, more) => {
    const bench = new Bench(named('abcde'), PHONE).pictures('a', 'b', 'c', 'd', 'e');
    const tiles = [...named('abcd'), tile('e', 'live', more)];
    bench.send({ type: 'tiles', tiles });
    expect(bench.open).toContain('e:live');
    expect(bench.open).not.toContain('d:live');
  });

  test('a tile that plays is not displaced by one that comes before it', () => {
    const bench = new Bench(named('bcde'), PHONE).pictures('b', 'c', 'd', 'e');
    bench.send({ type: 'tiles', tiles: named('abcde') });
    bench.send({ type: 'visible', address: 'a', visible: true });
    expect(bench.open).toBe('b:live c:live d:live e:live a:still');
  });

  test('fewer play when frames are dropped', () => {
    const bench = new Bench(named('abcd'), PHONE).pictures('a', 'b', 'c', 'd');
    for (let at = 1; at <= 3; at++) {
      for (const address of 'abcd') {
        const frames = { received: at * 100, shown: at * 40 };
        bench.send({ type: 'frames', address, frames });
      }
      bench.wait(3_000);
    }
    expect(bench.open).toBe('a:live b:live c:live');
  });
});

describe('a camera that has failed', () => {
  test('is tried every minute', () => {
    const bench = new Bench([tile('a', 'failed')]);
    bench.send({ type: 'failed', address: 'a' });
    bench.take();
    expect(bench.wait(59_000).take()).toBe('');
    expect(bench.wait(1_000).take()).toBe('open a');
  });

  test('plays at once when it is back', () => {
    const bench = new Bench([tile('a', 'failed')]);
    bench.send({ type: 'failed', address: 'a' }, { type: 'tiles', tiles: [tile('a', 'idle')] });
    expect(bench.open).toBe('a:live');
  });

  test('keeps its connection if it fails while it plays', () => {
    const bench = new Bench([tile('a')]).pictures('a');
    bench.send({ type: 'tiles', tiles: [tile('a', 'failed')] }, { type: 'failed', address: 'a' });
    expect(bench.open).toBe('a:live');
  });
});

describe('a hidden page', () => {
  test('stops after a moment, and plays at once when it is back', () => {
    const bench = new Bench(named('ab')).pictures('a', 'b');
    bench.send({ type: 'page', visible: false });
    expect(bench.wait(3_999).open).toBe('a:live b:live');
    expect(bench.wait(1).open).toBe('');
    bench.wait(3_600_000);
    expect(bench.open).toBe('');
    bench.send({ type: 'page', visible: true });
    expect(bench.open).toBe('a:live b:live');
  });

  test('goes on if it is back in time', () => {
    const bench = new Bench(named('a')).pictures('a');
    bench.take();
    bench.send({ type: 'page', visible: false }).wait(2_000);
    bench.send({ type: 'page', visible: true }).wait(60_000);
    expect(bench.take()).toBe('');
  });
});

test('a wall that has stopped closes everything and waits for nothing', () => {
  const bench = new Bench(named('abc'), PHONE).pictures('a');
  bench.send({ type: 'stop' });
  expect(bench.open).toBe('');
  expect(nextTimeout(bench.state)).toBeNull();
});
