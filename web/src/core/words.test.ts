import { describe, expect, test } from 'vitest';
import type { Camera } from '../protocol';
import { delayMs } from './backoff';
import { changes, summary, whyNot } from './camera-words';
import * as format from './format';
import { sentence } from './reasons';
import { pathTo, routeOf } from './route';
import { refusesVideo, withTrickle } from './sdp';
import { areaPath, linePath } from './sparkline';

const camera = (more: Partial<Camera>): Camera => ({
  gateway: 'gw',
  id: 'door',
  name: 'Door',
  state: 'live',
  viewers: 0,
  ...more,
});

test.each([
  ['/', '', { page: 'cameras' }],
  ['/camera/front-door_2.main', '', { page: 'camera', id: 'front-door_2.main' }],
  ['/camera/demo/', '', { page: 'camera', id: 'demo' }],
  ['/camera/', '', { page: 'not-found' }],
  ['/camera/-x', '', { page: 'not-found' }],
  ['/camera/a/b', '', { page: 'not-found' }],
  ['/camera/%2e%2e', '', { page: 'not-found' }],
  ['/sign-in', '', { page: 'sign-in' }],
  ['/setup', '#t=abc-123', { page: 'setup', token: 'abc-123' }],
  ['/setup', '', { page: 'setup', token: null }],
  ['/elsewhere', '', { page: 'not-found' }],
] as const)('%s%s is a page', (path, hash, route) => {
  expect(routeOf(path, hash)).toEqual(route);
  if (route.page === 'camera') expect(routeOf(pathTo(route), '')).toEqual(route);
});

describe('numbers as people read them', () => {
  test.each([
    [format.bitrate(null), '–'],
    [format.bitrate(0), '0 kbit/s'],
    [format.bitrate(999_400), '999 kbit/s'],
    [format.bitrate(999_600), '1.0 Mbit/s'],
    [format.bitrate(4_210_000), '4.2 Mbit/s'],
    [format.milliseconds(0), '0 ms'],
    [format.milliseconds(1.04), '1.0 ms'],
    [format.milliseconds(48.6), '49 ms'],
    [format.percent(0), '0 %'],
    [format.percent(0.0004), '< 0.1 %'],
    [format.percent(0.0123), '1.2 %'],
    [format.frameRate(24.9), '25 fps'],
    [format.resolution(1280, 720), '1280 × 720'],
    [format.resolution(1280, null), '–'],
    [format.codec('H265'), 'H.265'],
    [format.codec(null), '–'],
    [format.viewers(1), '1 watching'],
  ])('%s', (is, wanted) => {
    expect(is).toBe(wanted);
  });
});

describe('cameras in words', () => {
  test('why there is no picture', () => {
    expect(whyNot(camera({}))).toBeNull();
    expect(whyNot(camera({ state: 'offline' }))).toBe('Its gateway is not connected.');
    expect(whyNot(camera({ state: 'failed', reason: 'no route to host' }))).toBe(
      'No route to host.',
    );
    expect(whyNot(camera({ state: 'failed' }))).toMatch(/keeps trying/);
  });

  test('how many there are', () => {
    expect(summary([camera({})])).toBe('1 camera, all ready');
    expect(summary([camera({}), camera({ state: 'failed' })])).toBe('2 cameras, 1 ready');
  });

  test('only changes are told', () => {
    const before = [camera({}), camera({ id: 'yard', name: 'Yard', state: 'idle' })];
    const after = [camera({ state: 'failed' }), before[1]!, camera({ id: 'new' })];
    expect(changes(before, after)).toBe('Door: Failed.');
    expect(changes(after, after)).toBe('');
  });

  test.each([
    ['wrong password', 'Wrong password.'],
    ['It is off.', 'It is off.'],
    [' why? ', 'Why?'],
  ])('%s becomes a sentence', (text, wanted) => {
    expect(sentence(text)).toBe(wanted);
  });
});

test('waits double, and only their upper half is random', () => {
  const backoff = { firstMs: 400, maxMs: 8_000 };
  expect([0, 1, 2, 9, 99].map((n) => delayMs(backoff, n, 1))).toEqual([400, 800, 1600, 8000, 8000]);
  expect([0, 1, 2, 9, 99].map((n) => delayMs(backoff, n, 0))).toEqual([200, 400, 800, 4000, 4000]);
});

describe('descriptions', () => {
  test('every answer says that candidates follow', () => {
    const without = 'v=0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n';
    const once = withTrickle(without);
    expect(once).toBe(without.replace('t=0 0\r\n', 't=0 0\r\na=ice-options:trickle\r\n'));
    expect(withTrickle(once)).toBe(once);
    const renomination = without + 'a=ice-options:trickle renomination\r\n';
    expect(withTrickle(renomination)).toBe(renomination);
  });

  test('a refused video section is told from an accepted one', () => {
    expect(refusesVideo('v=0\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\n')).toBe(true);
    expect(refusesVideo('v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n')).toBe(false);
  });
});

test('a chart starts at the right and never leaves its box', () => {
  const box = { width: 100, height: 10, capacity: 11 };
  expect(linePath([1], box)).toBe('');
  expect(linePath([0, 0], box)).toBe('M90.0 10.0L100.0 10.0');
  expect(areaPath([5, 5], box)).toMatch(/^M90\.0 .*L100 10L90\.0 10Z$/);
  expect(linePath(Array(50).fill(1) as number[], box).split('L')).toHaveLength(11);
});
