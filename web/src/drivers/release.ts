/** Asks the server for the page again, to see whether it is of this release. */

import { entryOf, isOther } from '../core/release';
import { root } from './root';

/** Returns true if the server has another release of the dashboard than this page. */
export async function isUpdated(): Promise<boolean> {
  const own = document.querySelector('script[type=module][src]')?.outerHTML ?? '';
  try {
    const response = await fetch(`${root}/`, { cache: 'no-store' });
    return response.ok && isOther(entryOf(own), entryOf(await response.text()));
  } catch {
    return false;
  }
}

/** Loads the page again, as the server has it now. */
export function reload(): void {
  location.reload();
}
