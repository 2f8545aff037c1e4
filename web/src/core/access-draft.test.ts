import { expect, test } from 'vitest';
import type { UserAccess } from '../protocol';
import { accessOf, camerasProblem, draftOf, WATCHING } from './access-draft';

const MIXED: UserAccess = {
  role: 'viewer',
  limited: true,
  cameras: [
    { camera: 'a@g', listen: true, control: true },
    { camera: 'b@g', listen: false, control: false },
  ],
};

test('what is not changed stays as it is for each camera, and a new one is like the choice', () => {
  const draft = draftOf(MIXED);
  expect(draft).toMatchObject({ listen: false, control: false });
  const more = { ...draft, cameras: [...draft.cameras, 'c@g'] };
  expect(accessOf(more, MIXED).cameras).toEqual([
    ...MIXED.cameras,
    { camera: 'c@g', listen: false, control: false },
  ]);
});

test('what is changed is changed for all cameras', () => {
  const draft = { ...draftOf(MIXED), listen: true };
  expect(accessOf(draft, MIXED).cameras).toEqual([
    { camera: 'a@g', listen: true, control: true },
    { camera: 'b@g', listen: true, control: false },
  ]);
});

test.each([
  [{}, { role: 'viewer', limited: false, cameras: [], listen: true, control: false }],
  [
    { listen: false, control: true },
    { limited: false, listen: false, control: true },
  ],
  [
    { role: 'admin', limited: true, listen: false },
    { role: 'admin', limited: false },
  ],
  [
    { role: 'owner', limited: true, cameras: ['a@g'] },
    { role: 'owner', cameras: [] },
  ],
] as const)('%o gives %o', (changes, expected) => {
  expect(accessOf({ ...WATCHING, ...changes })).toMatchObject(expected);
});

test.each([
  [{ limited: true }, true],
  [{ limited: true, cameras: ['a@g'] }, false],
  [{ limited: true, role: 'admin' }, false],
  [{}, false],
] as const)('%o is complained about: %s', (changes, isWrong) => {
  expect(camerasProblem({ ...WATCHING, ...changes }) !== null).toBe(isWrong);
});
