import { expect, test } from 'vitest';
import { parseAddress, type Typed } from './address';

const device = (address: string, user?: string, password = ''): Typed => ({
  kind: 'device',
  address,
  login: user === undefined ? null : { user, password },
});

test.each<[string, Typed]>([
  ['', { kind: 'empty' }],
  ['   ', { kind: 'empty' }],
  ['192.168.1.20', device('192.168.1.20')],
  [' cam.local:8000 ', device('cam.local:8000')],
  ['fe80::1', device('fe80::1')],
  ['[fe80::1%eth0]:80', device('[fe80::1%eth0]:80')],
  ['http://192.168.1.20/doc/page/login.asp', device('192.168.1.20')],
  ['https://admin@192.168.1.20:8443/', device('192.168.1.20:8443')],
  ['192.168.1.0/24', { kind: 'range', address: '192.168.1.0/24' }],
  ['fd00::/120', { kind: 'range', address: 'fd00::/120' }],
  ['rtsp://192.168.1.20/stream', device('rtsp://192.168.1.20/stream')],
  ['RTSP://192.168.1.20', device('rtsp://192.168.1.20')],
  [
    'rtsp://admin:p%40ss:1@10.0.0.2:554/a?b=c',
    device('rtsp://10.0.0.2:554/a?b=c', 'admin', 'p@ss:1'),
  ],
  ['rtsp://100%@10.0.0.2/', device('rtsp://10.0.0.2/', '100%')],
  ['rtsp://', { kind: 'bad' }],
  ['rtsp://a b/', { kind: 'bad' }],
  ['my camera', { kind: 'bad' }],
  ['ftp://192.168.1.20/', { kind: 'bad' }],
  ['x'.repeat(513), { kind: 'bad' }],
])('"%s" is read', (text, expected) => {
  expect(parseAddress(text)).toEqual(expected);
});
