import { expect, test } from 'vitest';
import { INVITATION_FORM, linkOf } from './new-invitation';

const { empty } = INVITATION_FORM;

test.each([
  [{}, ['name']],
  [{ name: ' ', limited: true }, ['name', 'cameras']],
  [{ name: 'Bob', limited: true, role: 'admin' }, []],
  [{ name: 'Bob' }, []],
] as const)('%o is complained about in these fields: %o', (changes, fields) => {
  expect(Object.keys(INVITATION_FORM.problemsOf({ ...empty, ...changes }))).toEqual(fields);
});

test('an invitation has the name without spaces, the rights and the lifetime', () => {
  expect(INVITATION_FORM.bodyOf({ ...empty, name: ' Bob ' })).toEqual({
    name: 'Bob',
    role: 'viewer',
    limited: false,
    cameras: [],
    listen: true,
    control: false,
    expiresInSeconds: 604_800,
  });
});

test('a link starts with the address of the dashboard, also below a path', () => {
  const invitation = { token: 'x', path: '/invitation#t=x', expiresInSeconds: 1 };
  expect(linkOf('https://a.example/cams', invitation)).toBe(
    'https://a.example/cams/invitation#t=x',
  );
});
