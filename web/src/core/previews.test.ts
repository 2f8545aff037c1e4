import { expect, test } from 'vitest';
import { nextPlaying } from './previews';

type Case = [wanted: string, finished: string, playing: string, next: string];

test.each<Case>([
  ['', '', '', ''],
  ['a', '', '', 'a'],
  ['abc', '', '', 'ab'],
  ['abc', '', 'ab', 'ab'],
  ['abc', 'a', 'ab', 'bc'],
  ['abc', 'ab', 'ab', 'ac'],
  ['abc', 'abc', 'ac', 'ac'],
  ['abcd', 'ab', 'ab', 'cd'],
  ['bc', '', 'ab', 'bc'],
  ['', 'a', 'a', ''],
])('of %s, of which %s were seen, and %s play, %s play next', (wanted, finished, playing, next) => {
  expect(nextPlaying([...wanted], new Set(finished), [...playing]).join('')).toBe(next);
});
