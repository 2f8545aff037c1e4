import { expect, test } from 'vitest';
import { code } from '../protocol';
import { problemText } from './problems';
import { LOCAL } from './rpc';

test.each([
  [code.GONE, 'The gateway is not connected.'],
  [code.UNAVAILABLE, 'The gateway is not connected.'],
  [code.PEER_DISCONNECTED, 'The gateway is not connected.'],
  [code.FORBIDDEN, 'You may not change the cameras'],
  [code.CONFLICT, 'Somebody else has just changed'],
  [code.METHOD_NOT_FOUND, 'This gateway is too old'],
  [code.REQUEST_TIMEOUT, 'The gateway did not answer in time.'],
  [code.TOO_MANY_REQUESTS, 'The gateway is busy'],
  [code.INSUFFICIENT_RESOURCES, 'The gateway is busy'],
  [code.NOT_FOUND, 'The gateway no longer knows it.'],
  [code.STORAGE_FULL, 'The gateway could not store it.'],
  [LOCAL.OFFLINE, 'The connection to the server was lost.'],
  [LOCAL.TIMED_OUT, 'The gateway did not answer in time.'],
  [LOCAL.TOO_MANY, 'The gateway is busy'],
  [code.BAD_REQUEST, 'The name is too long.'],
])('fault %d begins "%s"', (number, start) => {
  const text = problemText({ code: number, message: 'the name is too long' });
  expect(text.startsWith(start), text).toBe(true);
});

test('a fault without a message has a sentence all the same', () => {
  expect(problemText({ code: code.INTERNAL_ERROR, message: '' })).toMatch(/^The gateway refused/);
});
