/** The root of the dashboard, as the page was served. */

import { rootOf } from '../core/root';

const meta = document.querySelector('meta[name="root"]');

/** The path of the root without a slash at its end, such as `/cams`; empty at the server's root. */
export const root = rootOf(meta?.getAttribute('content') ?? '/', location.href);
