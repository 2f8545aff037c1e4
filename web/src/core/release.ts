/** Notices that the server serves another release of the dashboard. */

/** The page is half a kilobyte; a longer answer is not it. */
const MAX_PAGE_CHARS = 65_536;

/** Returns the file that a page of the dashboard starts with: its name changes with each build. */
export function entryOf(page: string): string | null {
  if (page.length > MAX_PAGE_CHARS) return null;
  return /<script[^>]*\ssrc="[^"]*?([^"/]+\.js)"/.exec(page)?.[1] ?? null;
}

/** Returns true if both are known, and differ. */
export function isOther(own: string | null, served: string | null): boolean {
  return own !== null && served !== null && own !== served;
}
