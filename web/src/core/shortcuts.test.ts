import { expect, test } from 'vitest';
import { SHORTCUTS } from './shortcut-list';
import { shortcutOf, type KeyPress, type Page, type Shortcut } from './shortcuts';

const PLAIN: KeyPress = {
  key: '',
  ctrl: false,
  alt: false,
  meta: false,
  isTyping: false,
  isCovered: false,
};

type Case = [key: string, page: Page, shortcut: Shortcut | null];
test.each<Case>([
  ['1', 'wall', { type: 'open', place: 0 }],
  ['9', 'wall', { type: 'open', place: 8 }],
  ['0', 'wall', null],
  ['1', 'camera', null],
  ['ArrowLeft', 'wall', { type: 'focus', direction: 'left' }],
  ['ArrowDown', 'camera', { type: 'pan', direction: 'down' }],
  ['f', 'wall', { type: 'full-screen' }],
  ['F', 'camera', { type: 'full-screen' }],
  ['/', 'wall', { type: 'search' }],
  ['?', 'wall', { type: 'help' }],
  ['?', 'camera', { type: 'help' }],
  ['Escape', 'camera', { type: 'back' }],
  ['+', 'camera', { type: 'zoom', by: 1 }],
  ['=', 'camera', { type: 'zoom', by: 1 }],
  ['-', 'camera', { type: 'zoom', by: -1 }],
  ['0', 'camera', { type: 'zoom', by: 0 }],
  ['s', 'camera', { type: 'snapshot' }],
  ['p', 'camera', { type: 'float' }],
  ['m', 'camera', { type: 'sound' }],
  ['M', 'camera', { type: 'sound' }],
  ['m', 'wall', null],
  ['s', 'wall', null],
  ['m', 'wall', null],
  ['Tab', 'wall', null],
])('%s on the %s is %o', (key, page, shortcut) => {
  expect(shortcutOf({ ...PLAIN, key }, page)).toEqual(shortcut);
});

test.each<Partial<KeyPress>>([
  { ctrl: true },
  { meta: true },
  { alt: true },
  { isTyping: true },
  { isCovered: true },
])('with %o nothing is a shortcut', (more) => {
  for (const key of ['1', 'f', '?', 's', '+', 'Escape']) {
    expect(shortcutOf({ ...PLAIN, key, ...more }, 'wall')).toBeNull();
    expect(shortcutOf({ ...PLAIN, key, ...more }, 'camera')).toBeNull();
  }
});

test('Alt and an arrow move a tile, on the wall only', () => {
  const press = { ...PLAIN, key: 'ArrowUp', alt: true };
  expect(shortcutOf(press, 'wall')).toEqual({ type: 'move', direction: 'up' });
  expect(shortcutOf(press, 'camera')).toBeNull();
});

test('the list has keys that do something, where it says so', () => {
  const [wall, camera] = SHORTCUTS;
  const single = (at: typeof wall) =>
    (at?.rows ?? []).flatMap(({ keys }) => keys).filter((key) => key.length === 1 && key !== '…');
  const plain = (key: string) => ({ ...PLAIN, key: key === '−' ? '-' : key });
  for (const key of single(wall)) expect(shortcutOf(plain(key), 'wall')).not.toBeNull();
  for (const key of single(camera)) expect(shortcutOf(plain(key), 'camera')).not.toBeNull();
});
