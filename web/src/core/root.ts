/** The path below which the dashboard is served: `/cams` where a proxy passes `/cams/…` on. */

/** Returns the root, without a slash at its end, from its address relative to the page. */
export function rootOf(relative: string, page: string): string {
  return new URL(relative, page).pathname.replace(/\/+$/, '');
}

/** Returns the path of a page below the root; a path elsewhere as it is. */
export function withinRoot(root: string, pathname: string): string {
  const below = pathname === root || pathname.startsWith(`${root}/`);
  return below ? pathname.slice(root.length) || '/' : pathname;
}
