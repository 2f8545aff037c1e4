import { expect, test } from 'vitest';
import { sentence } from './reasons';

test.each([
  ['wrong password', 'Wrong password.'],
  ['It is off.', 'It is off.'],
  [' why? ', 'Why?'],
])('%s becomes a sentence', (text, expected) => {
  expect(sentence(text)).toBe(expected);
});
