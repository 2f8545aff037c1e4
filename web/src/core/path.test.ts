import { describe, expect, test } from 'vitest';
import { isPrivate, pathOf, type CandidateFacts } from './path';

function facts(type: string, address: string | null, more: Partial<CandidateFacts> = {}) {
  return { type, address, protocol: 'udp', relayProtocol: null, ...more };
}

const MDNS = '0b4a4ab8-9c25-4fd4-9a50-9f1d3c5e0a11.local';

describe('the path is named by its selected pair', () => {
  test.each([
    ['host to host in one LAN', facts('host', '192.168.1.5'), facts('host', '192.168.1.9'), 'lan'],
    ['the browser hides its own address', facts('host', MDNS), facts('host', '10.0.0.2'), 'lan'],
    ['the browser leaves its address out', facts('host', null), facts('host', '10.0.0.2'), 'lan'],
    ['both hide theirs', facts('host', MDNS), facts('host', MDNS), 'lan'],
    ['one machine', facts('host', '127.0.0.1'), facts('host', '127.0.0.1'), 'lan'],
    ['link-local IPv6', facts('host', 'fe80::1'), facts('host', 'fe80::2'), 'lan'],
    ['unique local IPv6', facts('host', 'fd12::1'), facts('prflx', 'fd12::2'), 'lan'],
    [
      'prflx with a private address',
      facts('prflx', '192.168.1.5'),
      facts('host', '192.168.1.9'),
      'lan',
    ],
    ['one IPv6 link', facts('host', '2001:db8:1:2::5'), facts('host', '2001:db8:1:2:aa::9'), 'lan'],
    [
      'two IPv6 links',
      facts('host', '2001:db8:1:2::5'),
      facts('host', '2001:db8:1:3::9'),
      'direct',
    ],
    ['a hidden prflx to a LAN host', facts('prflx', null), facts('host', '192.168.1.9'), 'lan'],
    ['a public gateway', facts('host', MDNS), facts('host', '203.0.113.20'), 'direct'],
    ['both public', facts('host', '203.0.113.21'), facts('host', '203.0.113.20'), 'direct'],
    [
      'through both routers',
      facts('srflx', '203.0.113.5'),
      facts('srflx', '198.51.100.9'),
      'direct',
    ],
    ['a symmetric router', facts('host', MDNS), facts('prflx', null), 'direct'],
    ['prflx to srflx', facts('prflx', '203.0.113.5'), facts('srflx', '198.51.100.9'), 'direct'],
    ['a carrier’s shared address', facts('host', MDNS), facts('host', '100.64.0.9'), 'direct'],
    ['our relay', facts('relay', '203.0.113.10'), facts('srflx', '198.51.100.9'), 'relay'],
    ['its relay', facts('host', '192.168.1.5'), facts('relay', '203.0.113.10'), 'relay'],
    [
      'a relay inside the LAN',
      facts('relay', '192.168.1.1'),
      facts('host', '192.168.1.9'),
      'relay',
    ],
  ] as const)('%s', (_, local, remote, kind) => {
    expect(pathOf(local, remote).kind).toBe(kind);
  });

  test.each([
    [facts('host', null), 'UDP'],
    [facts('host', null, { protocol: 'tcp' }), 'TCP'],
    [facts('relay', null, { relayProtocol: 'udp' }), 'UDP'],
    [facts('relay', null, { relayProtocol: 'tcp' }), 'TCP'],
    [facts('relay', null, { relayProtocol: 'tls' }), 'TLS'],
  ] as const)('the transport is that of the first hop: %o', (local, transport) => {
    expect(pathOf(local, facts('srflx', '198.51.100.9')).transport).toBe(transport);
  });
});

test.each([
  ['10.1.2.3', true],
  ['172.15.0.1', false],
  ['172.16.0.1', true],
  ['172.31.255.1', true],
  ['172.32.0.1', false],
  ['192.168.0.1', true],
  ['192.169.0.1', false],
  ['169.254.9.9', true],
  ['100.64.0.1', false],
  ['8.8.8.8', false],
  ['::1', true],
  ['[fe80::1]', true],
  ['fec0::1', false],
  ['fd00:1::1', true],
  ['2001:db8::1', false],
  ['::ffff:192.168.1.1', true],
  ['::ffff:8.8.8.8', false],
])('%s is private: %s', (address, inside) => {
  expect(isPrivate(address)).toBe(inside);
});
