import { describe, expect, test } from 'vitest';
import type { Camera } from '../protocol';
import { findCamera, findStream, otherStream, tileStream } from './streams';

const yard: Camera = {
  gateway: 'gw',
  address: 'yard',
  id: 'yard',
  name: 'Yard',
  state: 'live',
  viewers: 1,
  permissions: ['watch'],
};
const door: Camera = {
  gateway: 'gw',
  address: 'door',
  id: 'door',
  name: 'Door',
  state: 'live',
  codec: 'H264',
  width: 1920,
  height: 1080,
  viewers: 2,
  permissions: ['watch'],
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
    const { gateway, name, viewers, permissions, streams } = door;
    const stream = { id: 'door.sub', address: 'door.sub', state: 'failed', reason: 'it is off' };
    const expected = { gateway, name, viewers, permissions, streams, ...stream };
    expect(findStream([yard, door], 'door.sub')).toEqual(expected);
  });

  test.each([
    ['door', { address: 'door.sub', label: 'Switch to low resolution' }],
    ['door.sub', { address: 'door', label: 'Switch to full resolution' }],
    ['yard', null],
    ['attic.sub', null],
  ])('leads from %s to the other one', (id, expected) => {
    expect(otherStream([yard, door], id)).toEqual(expected);
  });
});

describe('with the same id at two gateways', () => {
  const barn: Camera = { ...door, gateway: 'gw-b', address: 'door@gw-b', name: 'Barn door' };
  const attic: Camera = { ...yard, gateway: 'gw-b', id: 'yard.sub', address: 'yard.sub' };
  const both = [barn, door, yard, attic];

  test.each([
    ['door', 'gw', 'door', 'door'],
    ['door@gw', 'gw', 'door', 'door'],
    ['door@gw-b', 'gw-b', 'door', 'door@gw-b'],
    ['door.sub', 'gw', 'door.sub', 'door.sub'],
    ['door.sub@gw-b', 'gw-b', 'door.sub', 'door.sub@gw-b'],
    ['yard.sub', 'gw-b', 'yard.sub', 'yard.sub'],
  ])('%s means the one of %s', (address, gateway, id, shortest) => {
    expect(findStream(both, address)).toMatchObject({ gateway, id, address: shortest });
  });

  test.each(['door@gw-c', 'yard@gw-b', 'yard.sub@gw', 'door@'])('%s means none', (address) => {
    expect(findStream(both, address)).toBeNull();
  });

  test('the id alone does not mean the one that may be seen, but is not the first', () => {
    expect(findStream([barn], 'door')).toBeNull();
    expect(findStream([barn], 'door.sub')).toBeNull();
  });

  test.each([
    ['door', 'door.sub'],
    ['door.sub@gw', 'door'],
    ['door@gw-b', 'door.sub@gw-b'],
    ['door.sub@gw-b', 'door@gw-b'],
  ])('%s leads to its own other stream', (address, other) => {
    expect(otherStream(both, address)?.address).toBe(other);
  });

  test('a stream whose id is the address of another camera is named with its gateway', () => {
    const streams = [{ id: 'yard.sub', role: 'sub', state: 'live' } as const];
    const cameras = [{ ...yard, streams }, attic];
    expect(otherStream(cameras, 'yard')?.address).toBe('yard.sub@gw');
    expect(findStream(cameras, 'yard.sub@gw')).toMatchObject({ gateway: 'gw', id: 'yard.sub' });
  });
});

describe('a tile', () => {
  const sub = (state: Camera['state'], more: Partial<Camera> = {}): Camera => ({
    ...door,
    streams: [door.streams![0]!, { id: 'door.sub', role: 'sub', state }],
    ...more,
  });

  test.each<[string, Camera, string, Camera['state']]>([
    ['the only stream', yard, 'yard', 'live'],
    ['the sub stream', sub('idle'), 'door.sub', 'idle'],
    ['the main stream if the other one has no picture', door, 'door', 'live'],
    ['the sub stream if both have none', sub('failed', { state: 'failed' }), 'door.sub', 'failed'],
    [
      'nothing while the camera is offline',
      sub('offline', { state: 'offline' }),
      'door',
      'offline',
    ],
  ])('plays %s', (_, camera, address, state) => {
    expect(tileStream([yard, camera], camera)).toEqual({ address, state });
  });

  test('leads to its camera from each of its streams', () => {
    expect(findCamera([yard, door], 'door.sub')).toBe(door);
    expect(findCamera([yard, door], 'door')).toBe(door);
    expect(findCamera([yard, door], 'attic')).toBeNull();
  });
});
