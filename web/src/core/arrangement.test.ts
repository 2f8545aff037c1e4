import { describe, expect, test } from 'vitest';
import type { Camera } from '../protocol';
import * as arrangement from './arrangement';
import { NO_ARRANGEMENT, type Arrangement } from './arrangement';

const camera = (id: string, name = id, gateway = 'gw'): Camera => ({
  gateway,
  address: id,
  id,
  name,
  state: 'live',
  viewers: 0,
  permissions: ['watch'],
});
const LIST = [camera('a', 'Alley'), camera('b', 'Café door'), camera('c', 'Garden')];
const ids = (cameras: readonly Camera[]) => cameras.map(({ id }) => id).join('');
const order = (...keys: readonly string[]): Arrangement => ({
  ...NO_ARRANGEMENT,
  order: keys.map((key) => `${key}@gw`),
});

describe('order', () => {
  test.each([
    [order(), 'abc'],
    [order('c', 'a'), 'cab'],
    [order('gone', 'b'), 'bac'],
  ])('%o shows %s', (given, expected) => {
    expect(ids(arrangement.ordered(LIST, given))).toBe(expected);
  });

  test.each([
    ['a', 'c', 'bca'],
    ['c', 'a', 'cab'],
    ['a', 'b', 'bac'],
    ['a', 'a', 'abc'],
    ['a', 'gone', 'abc'],
  ])('moving %s to the place of %s gives %s', (from, to, expected) => {
    const next = arrangement.moved(NO_ARRANGEMENT, LIST, `${from}@gw`, `${to}@gw`);
    expect(ids(arrangement.ordered(LIST, next))).toBe(expected);
  });

  test('two gateways may have a camera with one id', () => {
    const both = [camera('a'), camera('a', 'Other', 'gw-2')];
    const next = arrangement.moved(NO_ARRANGEMENT, both, 'a@gw-2', 'a@gw');
    expect(arrangement.ordered(both, next)[0]?.gateway).toBe('gw-2');
  });
});

describe('search and groups', () => {
  const grouped = arrangement.withGroup(NO_ARRANGEMENT, '  Out   side ', ['b@gw', 'c@gw']);

  test.each([
    ['', 'abc'],
    ['cafe', 'b'],
    ['DOOR caf', 'b'],
    ['a', 'abc'],
    ['cellar', ''],
  ])('"%s" finds "%s"', (typed, expected) => {
    expect(ids(arrangement.chosen(LIST, NO_ARRANGEMENT, typed))).toBe(expected);
  });

  test('a new group is shown, with a tidy name', () => {
    expect(grouped.groups).toEqual([{ id: 1, name: 'Out side', cameras: ['b@gw', 'c@gw'] }]);
    expect(ids(arrangement.chosen(LIST, grouped, ''))).toBe('bc');
    expect(ids(arrangement.chosen(LIST, grouped, 'garden'))).toBe('c');
  });

  test('a group is changed, and removed', () => {
    const changed = arrangement.withChangedGroup(grouped, 1, '', ['a@gw']);
    expect(changed.groups).toEqual([{ id: 1, name: 'Out side', cameras: ['a@gw'] }]);
    const removed = arrangement.withoutGroup(changed, 1);
    expect(removed).toMatchObject({ groups: [], shown: null });
  });

  test('there are not too many groups, and none without a name', () => {
    let many = NO_ARRANGEMENT;
    for (let at = 0; at < 40; at++) many = arrangement.withGroup(many, `Group ${at}`, []);
    expect(many.groups).toHaveLength(arrangement.MAX_GROUPS);
    expect(new Set(many.groups.map(({ id }) => id)).size).toBe(arrangement.MAX_GROUPS);
    expect(arrangement.withGroup(NO_ARRANGEMENT, '   ', [])).toBe(NO_ARRANGEMENT);
    expect(arrangement.groupName('x'.repeat(99))).toHaveLength(arrangement.MAX_NAME_CHARS);
  });
});

describe('what is kept', () => {
  const full: Arrangement = {
    order: ['c@gw', 'a@gw'],
    groups: [{ id: 3, name: 'Front', cameras: ['a@gw'] }],
    shown: 3,
    featured: 'c@gw',
    size: 'large',
  };

  test('comes back as it was', () => {
    expect(arrangement.parse(arrangement.serialize(full))).toEqual(full);
  });

  test.each([
    null,
    '',
    'null',
    '[]',
    '{}',
    '{"version":2,"order":["a"]}',
    `{"version":1,"order":"${'x'.repeat(2_000_000)}"}`,
  ])('nothing is taken from what this page did not write', (text) => {
    expect(arrangement.parse(text)).toEqual(NO_ARRANGEMENT);
  });

  test.each<[Record<string, unknown>, Partial<Arrangement>]>([
    [{ order: [1, 'a', 'a', null] }, { order: ['a'] }],
    [{ order: ['x'.repeat(200)] }, { order: [] }],
    [{ groups: [{ id: 1 }, { id: 2, name: ' ' }, 7] }, { groups: [] }],
    [{ groups: [], shown: 4 }, { shown: null }],
    [
      { featured: 9, size: 'huge' },
      { featured: null, size: 'fit' },
    ],
    [
      { groups: Array.from({ length: 99 }, () => ({ id: 1, name: 'A', cameras: [] })) },
      { groups: [{ id: 1, name: 'A', cameras: [] }] },
    ],
  ])('%o is read as %o', (value, expected) => {
    const text = JSON.stringify({ version: 1, ...value });
    expect(arrangement.parse(text)).toMatchObject(expected);
  });
});
