/** The rule that every finding and note of the reference has a sentence in the dashboard. */

import { expect, test } from 'vitest';
import imports from '../../docs/ref/import.md?raw';
import reference from '../../docs/ref/onvif.md?raw';
import { findingView } from './core/findings';
import { noteText } from './core/import-notes';

const keys = [...reference.matchAll(/^\| `([a-z0-9-]+)` \|.*\| (?:yes|no)[^|]*\|$/gm)].map(
  ([, key = '']) => key,
);

test('the reference lists the findings', () => {
  expect(keys.length).toBeGreaterThan(20);
});

test.each(keys)('%s has an icon and a sentence of its own', (key) => {
  const number = '7';
  const values = { host: 'a', to: 'a', named: 'a', used: 'a', stream: 'a', reason: 'a' };
  const finding = { key, failure: true, text: 'fallback' };
  const view = findingView({ ...finding, values: { ...values, seconds: number, camera: number } });
  expect(view.sentence).not.toBe('Fallback.');
});

const notes = [...imports.matchAll(/^\| `([a-z-]+)` \| (?:`(\w+)` )?\| (?:yes|no) \|/gm)].map(
  ([, key = '', value = 'none']) => ({ key, value }),
);

test('the reference lists the notes about imported cameras', () => {
  expect(notes.length).toBeGreaterThan(20);
});

test.each(notes)('the note $key has a sentence of its own', ({ key, value }) => {
  const note = { key, failure: false, text: 'fallback', values: { [value]: '7' } };
  expect(noteText(note)).not.toBe('Fallback.');
  expect(noteText({ ...note, key: 'x' })).toBe('Fallback.');
});
