import { expect, test } from 'vitest';
import { MAX_HEARD, parseHeard, serializeHeard, withHeard } from './heard';

test('what is written is read again', () => {
  const cameras = withHeard(withHeard([], 'door@gw-1', true), 'yard@gw-1', true);
  expect(parseHeard(serializeHeard(cameras))).toEqual(['door@gw-1', 'yard@gw-1']);
  expect(withHeard(cameras, 'door@gw-1', false)).toEqual(['yard@gw-1']);
  expect(withHeard(cameras, 'door@gw-1', true)).toEqual(['yard@gw-1', 'door@gw-1']);
});

test.each([
  ['nothing', null],
  ['no JSON', '{'],
  ['a number', '7'],
  ['null', 'null'],
  ['another version', '{"version":2,"cameras":["a@b"]}'],
  ['no list', '{"version":1,"cameras":{}}'],
  ['too much', `{"version":1,"cameras":["${'a'.repeat(70_000)}"]}`],
])('%s is an empty list', (_, text) => {
  expect(parseHeard(text)).toEqual([]);
});

test('what is no camera is left out, and so is what was written twice', () => {
  const cameras = ['a@b', 7, null, 'x'.repeat(200), 'c@d', 'a@b'];
  expect(parseHeard(JSON.stringify({ version: 1, cameras }))).toEqual(['a@b', 'c@d']);
});

test('as many are kept as a person looks at, those that were chosen last', () => {
  const many = Array.from({ length: MAX_HEARD + 1 }, (_, at) => `c${at}@gw`);
  const kept = many.reduce<readonly string[]>((list, key) => withHeard(list, key, true), []);
  expect(kept).toEqual(many.slice(1));
  expect(parseHeard(JSON.stringify({ version: 1, cameras: many }))).toEqual(many.slice(1));
});
