/** The keyboard shortcuts of the wall and of a camera's page. */

import type { Direction } from './focus';

export type Page = 'wall' | 'camera';

export type Shortcut =
  | { readonly type: 'open'; readonly place: number }
  | { readonly type: 'focus' | 'move'; readonly direction: Direction }
  | { readonly type: 'full-screen' | 'help' | 'back' | 'search' | 'snapshot' | 'float' | 'sound' }
  | { readonly type: 'zoom'; readonly by: -1 | 0 | 1 }
  | { readonly type: 'pan'; readonly direction: Direction };

/** A key that was pressed, and the surroundings in which it was. */
export interface KeyPress {
  readonly key: string;
  readonly ctrl: boolean;
  readonly alt: boolean;
  readonly meta: boolean;
  /** True while the focus is in a field, or in an element that uses keys itself. */
  readonly isTyping: boolean;
  /** True while a dialog or menu is open, which uses the keys. */
  readonly isCovered: boolean;
}

/** The arrow keys, by their names. */
export const ARROWS: ReadonlyMap<string, Direction> = new Map([
  ['ArrowLeft', 'left'],
  ['ArrowRight', 'right'],
  ['ArrowUp', 'up'],
  ['ArrowDown', 'down'],
]);

/** Returns the shortcut of a key, or `null` if the key has none here. */
export function shortcutOf(press: KeyPress, page: Page): Shortcut | null {
  const { key, ctrl, alt, meta, isTyping, isCovered } = press;
  if (ctrl || meta || isTyping || isCovered) return null;
  const direction = ARROWS.get(key);
  if (alt) return direction && page === 'wall' ? { type: 'move', direction } : null;
  if (key === '?') return { type: 'help' };
  if (key === 'f' || key === 'F') return { type: 'full-screen' };
  if (key === 'Escape') return { type: 'back' };
  return page === 'wall' ? onWall(key, direction) : onCamera(key, direction);
}

function onWall(key: string, direction: Direction | undefined): Shortcut | null {
  if (direction !== undefined) return { type: 'focus', direction };
  if (/^[1-9]$/.test(key)) return { type: 'open', place: Number(key) - 1 };
  return key === '/' ? { type: 'search' } : null;
}

function onCamera(key: string, direction: Direction | undefined): Shortcut | null {
  if (direction !== undefined) return { type: 'pan', direction };
  switch (key) {
    case '+':
    case '=':
      return { type: 'zoom', by: 1 };
    case '-':
      return { type: 'zoom', by: -1 };
    case '0':
      return { type: 'zoom', by: 0 };
    case 's':
    case 'S':
      return { type: 'snapshot' };
    case 'p':
    case 'P':
      return { type: 'float' };
    case 'm':
    case 'M':
      return { type: 'sound' };
    default:
      return null;
  }
}
