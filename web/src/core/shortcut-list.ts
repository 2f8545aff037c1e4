/** The list of the shortcuts, for people. */

import { t, type Key } from './text';

export interface ShortcutRow {
  readonly keys: readonly string[];
  readonly does: string;
}

export interface ShortcutSection {
  readonly title: string;
  readonly rows: readonly ShortcutRow[];
}

const row = (key: Key, ...keys: readonly string[]): ShortcutRow => ({ keys, does: t(key) });

export const SHORTCUTS: readonly ShortcutSection[] = [
  {
    title: t('shortcuts.wall'),
    rows: [
      row('shortcuts.open', '1', '…', '9'),
      row('shortcuts.focus', t('shortcuts.arrows')),
      row('shortcuts.enter', t('shortcuts.enter-key')),
      row('shortcuts.move', t('shortcuts.move-keys')),
      row('shortcuts.search', '/'),
      row('shortcuts.full-screen', 'F'),
      row('shortcuts.help', '?'),
    ],
  },
  {
    title: t('shortcuts.camera'),
    rows: [
      row('shortcuts.zoom', '+', '−', '0'),
      row('shortcuts.pan', t('shortcuts.arrows')),
      row('shortcuts.snapshot', 'S'),
      row('shortcuts.float', 'P'),
      row('shortcuts.sound', 'M'),
      row('shortcuts.full-screen', 'F'),
      row('shortcuts.back', 'Esc'),
    ],
  },
];
