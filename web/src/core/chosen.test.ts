import { expect, test } from 'vitest';
import type { ShownParams } from '../protocol';
import { chosenNotice, chosenText } from './chosen';

const session = 's1';

test.each<[string, Omit<ShownParams, 'session'>, string, boolean]>([
  ['all', { picture: 'main' }, 'Full resolution', false],
  [
    'a slow line',
    { picture: 'sub', reason: 'path', kbitPerS: 950 },
    'Low resolution: your connection carries 950 kbit/s',
    true,
  ],
  [
    'an unknown rate',
    { picture: 'keyFrames', reason: 'path' },
    'A picture every few seconds: your connection carries no more',
    true,
  ],
  [
    'a cap',
    { picture: 'sub', reason: 'cap', kbitPerS: 800 },
    'Low resolution: 800 kbit/s of what may be sent are left for you',
    true,
  ],
  [
    'nothing',
    { picture: 'still', reason: 'path', kbitPerS: 40 },
    'The last picture: your connection carries 40 kbit/s',
    false,
  ],
])('what is chosen is told with its reason: %s', (_, shown, expected, hasNotice) => {
  expect(chosenText({ session, ...shown })).toBe(expected);
  expect(chosenNotice({ session, ...shown })).toBe(hasNotice ? expected : null);
});

test('there is no notice without a choice', () => {
  expect(chosenNotice(null)).toBeNull();
});
