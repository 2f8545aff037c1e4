import { expect, test } from 'vitest';
import { entryOf, isOther } from './release';

const page = (src: string) => `<head><script type="module" crossorigin src="${src}"></script>`;

test.each([
  [page('./assets/index-AbC_1-2.js'), 'index-AbC_1-2.js'],
  [page('../../assets/index-AbC_1-2.js'), 'index-AbC_1-2.js'],
  [page('/src/main.ts'), null],
  ['<h1>Bad gateway</h1>', null],
  ['', null],
  [`${'x'.repeat(70_000)}${page('a.js')}`, null],
])('the start of a page is found', (html, entry) => {
  expect(entryOf(html)).toBe(entry);
});

test.each([
  ['a.js', 'a.js', false],
  ['a.js', 'b.js', true],
  ['a.js', null, false],
  [null, 'b.js', false],
])('%s and %s are other releases: %s', (own, served, expected) => {
  expect(isOther(own, served)).toBe(expected);
});
