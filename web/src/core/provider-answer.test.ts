import { expect, test } from 'vitest';
import { answerIn } from './provider-answer';

test.each([
  ['?code=a&state=b', { code: 'a', state: 'b' }],
  [
    '?state=b&code=a%2Bc&iss=https%3A%2F%2Fid.example&session_state=x',
    { code: 'a+c', state: 'b', iss: 'https://id.example' },
  ],
  ['?error=access_denied&error_description=no&state=b', { error: 'access_denied', state: 'b' }],
  ['?code=a', null],
  ['?state=b', null],
  ['', null],
])('the answer in %s is read', (query, expected) => {
  expect(answerIn(query)).toEqual(expected);
});
