import { expect, test } from 'vitest';
import type { Camera } from '../protocol';
import { shareForm } from './new-share';

const DOOR = { id: 'door', gateway: 'gw-a', address: 'door', name: 'Door' } as Camera;
const YARD = { id: 'yard', gateway: 'gw-b', address: 'yard@gw-b', name: 'Yard' } as Camera;
const FORM = shareForm('Front', [DOOR, YARD]);

test('a link shows its cameras in silence for a day, unless something else is chosen', () => {
  expect(FORM.problemsOf(FORM.empty)).toEqual({});
  const cameras = (listen: boolean) => [
    { camera: 'door@gw-a', listen },
    { camera: 'yard@gw-b', listen },
  ];
  expect(FORM.bodyOf(FORM.empty)).toEqual({
    name: 'Front',
    cameras: cameras(false),
    expiresInSeconds: 86_400,
    kiosk: false,
  });
  const chosen = { name: ' Hall ', lifetimeS: 60, password: 'p'.repeat(10), listen: true };
  expect(FORM.bodyOf({ ...chosen, kiosk: true, cap: 1000 })).toEqual({
    name: 'Hall',
    cameras: cameras(true),
    expiresInSeconds: 60,
    password: 'pppppppppp',
    maxKbitPerS: 1000,
    kiosk: true,
  });
});

test.each([
  [{ name: '  ' }, ['name']],
  [{ password: 'short' }, ['password']],
  [{ password: 'long enough' }, []],
])('what is missing is said: %o', (change, fields) => {
  expect(Object.keys(FORM.problemsOf({ ...FORM.empty, ...change }))).toEqual(fields);
});
