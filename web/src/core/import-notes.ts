/** The notes about the cameras of a file, as the dashboard shows them. */

import type { ImportNote } from '../protocol';
import { sentence } from './reasons';
import { fill, TEXT, type Key } from './text';

/** Returns the sentence of a note; one that is not known has the gateway's own. */
export function noteText({ key, text, values }: ImportNote): string {
  const own = `import.note.${key}`;
  const filled = own in TEXT ? fill(TEXT[own as Key], values) : null;
  return filled === null || /\{[a-z]+\}/.test(filled) ? sentence(text) : filled;
}
