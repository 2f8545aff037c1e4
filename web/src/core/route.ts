/** The pages of the dashboard and their addresses. */

export type Route =
  | { readonly page: 'cameras' }
  | { readonly page: 'camera'; readonly id: string }
  | { readonly page: 'setup'; readonly token: string | null }
  | { readonly page: 'sign-in' }
  | { readonly page: 'not-found' };

/** Returns the page at an address; the setup token is in the hash. */
export function routeOf(pathname: string, hash: string): Route {
  const path = pathname.replace(/\/+$/, '') || '/';
  if (path === '/') return { page: 'cameras' };
  if (path === '/sign-in') return { page: 'sign-in' };
  if (path === '/setup')
    return { page: 'setup', token: new URLSearchParams(hash.slice(1)).get('t') };
  const camera = /^\/camera\/([A-Za-z0-9_][A-Za-z0-9._-]{0,63})$/.exec(path);
  return camera?.[1] === undefined ? { page: 'not-found' } : { page: 'camera', id: camera[1] };
}

/** Returns the address of a page. */
export function pathTo(route: Route): string {
  switch (route.page) {
    case 'camera':
      return `/camera/${route.id}`;
    case 'setup':
      return '/setup';
    case 'sign-in':
      return '/sign-in';
    case 'cameras':
    case 'not-found':
      return '/';
  }
}
