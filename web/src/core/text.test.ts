import { expect, test } from 'vitest';
import { fill, plural, t, TEXT } from './text';

test.each([
  [t('app.copy'), 'Copy'],
  [t('player.retrying', { seconds: 3 }), 'Retrying in 3 s'],
  [t('cameras.some-ready', { count: 3, ready: 2 }), '3 cameras, 2 ready'],
  [plural('unit.viewers', 1), '1 viewer'],
  [plural('unit.viewers', 2), '2 viewers'],
  [fill('from {a} to {b}', { a: '{b}', b: 1 }), 'from {b} to 1'],
  [fill('{missing} stays', {}), '{missing} stays'],
])('"%s" has its values', (sentence, expected) => {
  expect(sentence).toBe(expected);
});

test('a sentence for one has a sentence for others, and the other way round', () => {
  for (const key of Object.keys(TEXT)) {
    const other = key.replace(/\.one$/, '.other');
    if (key.endsWith('.one')) expect(TEXT).toHaveProperty([other]);
    if (key.endsWith('.other')) expect(TEXT).toHaveProperty([key.replace(/other$/, 'one')]);
  }
});
