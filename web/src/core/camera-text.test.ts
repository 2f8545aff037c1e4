import { expect, test } from 'vitest';
import type { Camera } from '../protocol';
import { announceChanges, offlineSince, summary, unavailableReason, warning } from './camera-text';

const camera = (more: Partial<Camera>): Camera => ({
  gateway: 'gw',
  address: 'door',
  id: 'door',
  name: 'Door',
  state: 'live',
  viewers: 0,
  permissions: ['watch'],
  ...more,
});

test('a camera that cannot be watched has a reason', () => {
  expect(unavailableReason(camera({}))).toBeNull();
  expect(unavailableReason(camera({ state: 'offline' }))).toBe('The gateway is not connected.');
  expect(unavailableReason(camera({ state: 'failed', reason: 'no route to host' }))).toBe(
    'No route to host.',
  );
  expect(unavailableReason(camera({ state: 'failed' }))).toMatch(/keeps trying/);
});

test('a picture that something spoils has a warning', () => {
  const reason = 'the camera sends B pictures';
  expect(warning(camera({ reason }))).toBe('The camera sends B pictures.');
  expect(warning(camera({}))).toBeNull();
  expect(warning(camera({ state: 'failed', reason }))).toBeNull();
});

test('the summary counts the cameras that are ready', () => {
  const failed = camera({ state: 'failed' });
  expect(summary([camera({})])).toBe('1 camera, ready');
  expect(summary([failed])).toBe('1 camera, not ready');
  expect(summary([camera({}), camera({})])).toBe('2 cameras, all ready');
  expect(summary([camera({}), failed])).toBe('2 cameras, 1 ready');
  expect(summary([failed, failed])).toBe('2 cameras, none ready');
});

test('only changes are announced', () => {
  const before = [camera({}), camera({ address: 'yard', name: 'Yard', state: 'idle' })];
  const after = [camera({ state: 'failed' }), before[1]!, camera({ address: 'new' })];
  expect(announceChanges(before, after)).toBe('Door: Failed.');
  expect(announceChanges(after, after)).toBe('');
});

test('cameras that connect and rest are not announced', () => {
  const [before, after] = [camera({ state: 'idle' }), camera({ state: 'connecting' })];
  expect(announceChanges([before], [after])).toBe('');
  expect(announceChanges([camera({ state: 'offline' })], [after])).toBe('Door: Connecting.');
});

test('a camera is offline since it was seen to leave', () => {
  const [here, gone] = [camera({}), camera({ state: 'offline' })];
  expect(offlineSince([here], [gone], new Map(), 5)).toEqual(new Map([['door', 5]]));
  expect(offlineSince([gone], [gone], new Map([['door', 5]]), 9)).toEqual(new Map([['door', 5]]));
  expect(offlineSince([], [gone], new Map(), 9)).toEqual(new Map());
  expect(offlineSince([gone], [here], new Map([['door', 5]]), 9)).toEqual(new Map());
});
