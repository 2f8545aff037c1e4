import { describe, expect, test } from 'vitest';
import type { Camera } from '../protocol';
import { findStream, otherStream } from './streams';

const yard: Camera = { gateway: 'gw', id: 'yard', name: 'Yard', state: 'live', viewers: 1 };
const door: Camera = {
  gateway: 'gw',
  id: 'door',
  name: 'Door',
  state: 'live',
  codec: 'H264',
  width: 1920,
  height: 1080,
  viewers: 2,
  streams: [
    { id: 'door', role: 'main', state: 'live', codec: 'H264', width: 1920, height: 1080 },
    { id: 'door.sub', role: 'sub', state: 'failed', reason: 'it is off' },
  ],
};

describe('a stream', () => {
  test.each([
    ['yard', yard],
    ['door', door],
    ['attic', null],
    ['yard.sub', null],
  ])('%s is found', (id, expected) => {
    expect(findStream([yard, door], id)).toEqual(expected);
  });

  test('of a camera has its own state and format', () => {
    const { gateway, name, viewers, streams } = door;
    const expected = { gateway, name, viewers, streams, id: 'door.sub', state: 'failed' };
    expect(findStream([yard, door], 'door.sub')).toEqual({ ...expected, reason: 'it is off' });
  });

  test.each([
    ['door', { id: 'door.sub', label: 'Switch to low resolution' }],
    ['door.sub', { id: 'door', label: 'Switch to full resolution' }],
    ['yard', null],
    ['attic.sub', null],
  ])('leads from %s to the other one', (id, expected) => {
    expect(otherStream([yard, door], id)).toEqual(expected);
  });
});
