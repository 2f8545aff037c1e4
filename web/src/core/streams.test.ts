import { describe, expect, test } from 'vitest';
import type { Camera } from '../protocol';
import { otherStream, withoutSubStreams } from './streams';

function cameras(...ids: string[]): Camera[] {
  return ids.map((id) => ({ gateway: 'gw-a', id, name: id, state: 'live', viewers: 0 }));
}

describe('a sub stream', () => {
  test.each([
    [
      ['door', 'door.sub', 'yard'],
      ['door', 'yard'],
    ],
    [['door.sub'], ['door.sub']],
    [['yard'], ['yard']],
    [[], []],
  ])('is left out of %j: %j', (given, expected) => {
    expect(withoutSubStreams(cameras(...given)).map(({ id }) => id)).toEqual(expected);
  });

  test.each([
    ['door', { id: 'door.sub', label: 'Switch to low resolution' }],
    ['door.sub', { id: 'door', label: 'Switch to full resolution' }],
    ['yard', null],
    ['attic.sub', null],
  ])('is found from %s', (id, expected) => {
    expect(otherStream(cameras('door', 'door.sub', 'yard', 'attic.sub'), id)).toEqual(expected);
  });
});
