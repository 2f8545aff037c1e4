import { expect, test } from 'vitest';
import { pathTo, routeOf } from './route';

test.each([
  ['/', '', { page: 'cameras' }],
  ['/camera/front-door_2.main', '', { page: 'camera', address: 'front-door_2.main' }],
  ['/camera/demo/', '', { page: 'camera', address: 'demo' }],
  ['/camera/door@gw-a', '', { page: 'camera', address: 'door@gw-a' }],
  ['/camera/door%40gw-a/', '', { page: 'camera', address: 'door@gw-a' }],
  ['/camera/door@', '', { page: 'not-found' }],
  ['/camera/@gw-a', '', { page: 'not-found' }],
  ['/camera/door@gw-a@gw-b', '', { page: 'not-found' }],
  ['/camera/', '', { page: 'not-found' }],
  ['/camera/-x', '', { page: 'not-found' }],
  ['/camera/a/b', '', { page: 'not-found' }],
  ['/camera/%2e%2e', '', { page: 'not-found' }],
  ['/add', '', { page: 'add' }],
  ['/gateways', '', { page: 'gateways' }],
  ['/gateways/gw-a/door', '', { page: 'change', gateway: 'gw-a', camera: 'door' }],
  ['/gateways/gw-a/', '', { page: 'not-found' }],
  ['/gateways/gw-a/a/b', '', { page: 'not-found' }],
  ['/sign-in', '', { page: 'sign-in' }],
  ['/provider', '', { page: 'provider' }],
  ['/setup', '#t=abc-123', { page: 'setup', token: 'abc-123' }],
  ['/setup', '', { page: 'setup', token: null }],
  ['/invitation', '#t=abc-123', { page: 'invitation', token: 'abc-123' }],
  ['/invitation/', '', { page: 'invitation', token: null }],
  ['/share', '#t=phs_a-b', { page: 'share', token: 'phs_a-b', camera: null }],
  ['/share/', '#t=x&c=door%40gw-a', { page: 'share', token: 'x', camera: 'door@gw-a' }],
  ['/share', '', { page: 'share', token: null, camera: null }],
  ['/access/links', '', { page: 'access', part: 'links' }],
  ['/elsewhere', '', { page: 'not-found' }],
] as const)('%s%s leads to its page', (path, hash, route) => {
  expect(routeOf(path, hash)).toEqual(route);
  if (route.page !== 'not-found' && hash === '' && !('token' in route))
    expect(routeOf(pathTo(route), '')).toEqual(route);
});

test('the address of a camera of a share link keeps the link', () => {
  const route = { page: 'share', token: 'phs_a-b', camera: 'door@gw-a' } as const;
  const [path = '', hash = ''] = pathTo(route).split('#');
  expect(routeOf(path, `#${hash}`)).toEqual(route);
});
