/** The rule that every finding in `docs/ref/onvif.md` has a sentence in the dashboard. */

import { expect, test } from 'vitest';
import reference from '../../docs/ref/onvif.md?raw';
import { findingView } from './core/findings';

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
