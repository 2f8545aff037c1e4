/** The pages of the dashboard and their addresses. */

export type Route =
  | { readonly page: 'cameras' }
  | { readonly page: 'camera'; readonly address: string }
  | { readonly page: 'add' }
  | { readonly page: 'gateways' }
  | { readonly page: 'change'; readonly gateway: string; readonly camera: string }
  | { readonly page: 'account' }
  | { readonly page: 'access'; readonly part: AccessPart }
  | { readonly page: 'setup'; readonly token: string | null }
  | { readonly page: 'invitation'; readonly token: string | null }
  | { readonly page: 'share'; readonly token: string | null; readonly camera: string | null }
  | { readonly page: 'sign-in' }
  /** The page to which a sign-in service sends the browser back. */
  | { readonly page: 'provider' }
  | { readonly page: 'not-found' };

/** The parts of the page about people and access. */
export type AccessPart = 'people' | 'tokens' | 'links' | 'codes' | 'log';

/** A camera's id, alone or followed by its gateway's: `door`, `door@gw-a`. */
const CAMERA =
  /^\/camera\/([A-Za-z0-9_][A-Za-z0-9._-]{0,63}(?:@[A-Za-z0-9_][A-Za-z0-9._-]{0,63})?)$/;
const CHANGE =
  /^\/gateways\/([A-Za-z0-9_][A-Za-z0-9._-]{0,63})\/([A-Za-z0-9_][A-Za-z0-9._-]{0,63})$/;

/** Returns the page at an address; the token of a link is in the hash. */
export function routeOf(pathname: string, hash: string): Route {
  const path = pathname.replace(/\/+$/, '') || '/';
  if (path === '/') return { page: 'cameras' };
  if (path === '/add') return { page: 'add' };
  if (path === '/gateways') return { page: 'gateways' };
  if (path === '/account') return { page: 'account' };
  if (path === '/access') return { page: 'access', part: 'people' };
  if (path === '/access/tokens') return { page: 'access', part: 'tokens' };
  if (path === '/access/links') return { page: 'access', part: 'links' };
  if (path === '/access/codes') return { page: 'access', part: 'codes' };
  if (path === '/access/log') return { page: 'access', part: 'log' };
  if (path === '/sign-in') return { page: 'sign-in' };
  if (path === '/provider') return { page: 'provider' };
  const params = new URLSearchParams(hash.slice(1));
  const token = params.get('t');
  if (path === '/setup') return { page: 'setup', token };
  if (path === '/invitation') return { page: 'invitation', token };
  if (path === '/share') return { page: 'share', token, camera: params.get('c') };
  const change = CHANGE.exec(path);
  if (change?.[1] !== undefined && change[2] !== undefined) {
    return { page: 'change', gateway: change[1], camera: change[2] };
  }
  // Some programs write the `@` of an address as they would in a host.
  const address = CAMERA.exec(path.replace('%40', '@'))?.[1];
  return address === undefined ? { page: 'not-found' } : { page: 'camera', address };
}

/** Returns the address of a page. */
export function pathTo(route: Route): string {
  switch (route.page) {
    case 'camera':
      return `/camera/${route.address}`;
    case 'add':
      return '/add';
    case 'gateways':
      return '/gateways';
    case 'change':
      return `/gateways/${route.gateway}/${route.camera}`;
    case 'account':
      return '/account';
    case 'access':
      return route.part === 'people' ? '/access' : `/access/${route.part}`;
    case 'share': {
      const { token, camera } = route;
      const params = { ...(token !== null && { t: token }), ...(camera !== null && { c: camera }) };
      return `/share#${new URLSearchParams(params).toString()}`;
    }
    case 'setup':
      return '/setup';
    case 'invitation':
      return '/invitation';
    case 'sign-in':
      return '/sign-in';
    case 'provider':
      return '/provider';
    case 'cameras':
    case 'not-found':
      return '/';
  }
}
