/** The names of keyboard shortcuts, a part of the table in `../text.ts`. */

export const SHORTCUTS_TEXT = {
  'shortcuts.title': 'Keyboard shortcuts',
  'shortcuts.close': 'Close',
  'shortcuts.wall': 'On the wall',
  'shortcuts.camera': 'On the page of a camera',
  'shortcuts.open': 'Open the first, second, … camera',
  'shortcuts.focus': 'Go to the next camera',
  'shortcuts.enter': 'Open the camera',
  'shortcuts.move': 'Move the camera',
  'shortcuts.search': 'Search',
  'shortcuts.full-screen': 'Full screen',
  'shortcuts.help': 'This list',
  'shortcuts.back': 'Back',
  'shortcuts.zoom': 'Zoom in, out, back',
  'shortcuts.pan': 'Move within the enlarged picture; move the camera while its pad has the focus',
  'shortcuts.snapshot': 'Save a snapshot',
  'shortcuts.float': 'Picture in picture',
  'shortcuts.arrows': 'Arrows',
  'shortcuts.enter-key': 'Enter',
  'shortcuts.move-keys': 'Alt + arrows',
} as const;
