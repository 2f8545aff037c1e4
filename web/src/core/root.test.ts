import { expect, test } from 'vitest';
import { rootOf, withinRoot } from './root';

test.each([
  ['./', 'http://host/', '', '/'],
  ['./', 'http://host/setup#t=1', '', '/setup'],
  ['../', 'http://host/camera/demo', '', '/camera/demo'],
  ['../../', 'http://host/camera/demo/', '', '/camera/demo/'],
  ['./', 'https://host/cams/', '/cams', '/'],
  ['../', 'https://host/cams/camera/demo', '/cams', '/camera/demo'],
  ['../', 'https://host/a/b/camera/demo', '/a/b', '/camera/demo'],
  ['/', 'http://host/camera/demo', '', '/camera/demo'],
])('%s of %s is the root "%s"', (relative, page, root, path) => {
  expect(rootOf(relative, page)).toBe(root);
  expect(withinRoot(root, new URL(page).pathname)).toBe(path);
});

test('the root itself is the first page, and a longer name is elsewhere', () => {
  expect(withinRoot('/cams', '/cams')).toBe('/');
  expect(withinRoot('/cams', '/camshaft')).toBe('/camshaft');
});
