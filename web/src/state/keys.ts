/** Keys that were pressed, for `core/shortcuts`. */

import type { KeyPress } from '../core/shortcuts';

/** Elements that use keys themselves. */
const FIELDS = [
  'input',
  'textarea',
  'select',
  'summary',
  '[contenteditable]',
  '[data-keys]',
].join();

export function keyPress(event: KeyboardEvent): KeyPress {
  const { key, ctrlKey: ctrl, altKey: alt, metaKey: meta, target } = event;
  const isTyping = target instanceof Element && target.closest(FIELDS) !== null;
  const isCovered = document.querySelector('dialog[open], .account [aria-expanded=true]') !== null;
  return { key, ctrl, alt, meta, isTyping: isTyping || event.isComposing, isCovered };
}

/** Returns true for the keys that press a button. */
export function isPress({ key }: KeyboardEvent): boolean {
  return key === ' ' || key === 'Enter';
}
