import { expect, test } from 'vitest';
import type { Camera } from '../protocol';
import { tileOf, tileView, type Picture, type TileView } from './tile';

const NOW = 1_795_900_000_000;
const camera = (more: Partial<Camera> = {}): Camera => ({
  gateway: 'gw',
  address: 'door',
  id: 'door',
  name: 'Door',
  state: 'live',
  viewers: 0,
  permissions: ['watch'],
  ...more,
});
const PLAYING: Picture = { isPlaying: true, hasFrame: true, failure: null, stillAt: null };
const STUCK: Picture = { isPlaying: false, hasFrame: true, failure: null, stillAt: NOW - 25_000 };
const STILL: Picture = { isPlaying: false, hasFrame: false, failure: null, stillAt: NOW - 25_000 };
const NONE: Picture = { isPlaying: false, hasFrame: false, failure: null, stillAt: null };
const lost = camera({ state: 'failed', reason: 'no route to host' });
const motion = (active: boolean, agoS: number) => ({
  motion: { active, lastS: NOW / 1000 - agoS },
});

type Case = [Partial<Camera>, Picture, Partial<TileView>];
test.each<Case>([
  [{}, PLAYING, { mark: 'live', label: 'Live', reason: null, motion: null }],
  [{}, STILL, { mark: 'idle', label: 'Still, 20 s ago' }],
  [{ state: 'idle' }, NONE, { mark: 'connecting', label: 'Connecting' }],
  [{}, STUCK, { mark: 'connecting', label: 'Connecting' }],
  [{ state: 'offline' }, STUCK, { mark: 'offline' }],
  [{}, { ...STILL, failure: 'No path.' }, { mark: 'failed', reason: 'No path.' }],
  [{}, { ...PLAYING, failure: 'No path.' }, { mark: 'live', reason: null }],
  [lost, { ...STILL, failure: 'No path.' }, { reason: 'No route to host.' }],
  [lost, STILL, { mark: 'failed', reason: 'No route to host.' }],
  [lost, PLAYING, { mark: 'live', reason: null }],
  [{ state: 'offline' }, STILL, { mark: 'offline', reason: 'The gateway is not connected.' }],
  [{ reason: 'it has B pictures' }, PLAYING, { warning: 'It has B pictures.' }],
  [motion(true, 0), PLAYING, { hasMotion: true, motion: 'Motion' }],
  [motion(false, 130), PLAYING, { hasMotion: false, motion: 'Motion 2 min ago' }],
  [motion(false, -5), PLAYING, { motion: 'Motion just now' }],
  [motion(false, 90_000), PLAYING, { motion: null }],
  [{ state: 'offline', ...motion(true, 0) }, STILL, { hasMotion: false, motion: null }],
])('%o with %o is %o', (more, picture, expected) => {
  expect(tileView(camera(more), picture, null, NOW)).toMatchObject(expected);
});

test('a gateway that was seen to leave has a time', () => {
  const { reason } = tileView(camera({ state: 'offline' }), STILL, NOW, NOW);
  expect(reason).toMatch(/^Offline since \d.*The gateway is not connected\.$/);
});

test('a tile plays the small stream', () => {
  const streams: Camera['streams'] = [
    { id: 'door', role: 'main', state: 'idle' },
    { id: 'door.sub', role: 'sub', state: 'live' },
  ];
  const one = camera({ streams, ...motion(true, 0) });
  expect(tileOf([one], one, true)).toEqual({
    address: 'door',
    stream: 'door.sub',
    state: 'live',
    isFeatured: true,
    hasMotion: true,
  });
});
