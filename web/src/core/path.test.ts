import { describe, expect, test } from 'vitest';
import { isPrivate, pathOf, type CandidateInfo } from './path';

function candidate(type: string, address: string | null, more: Partial<CandidateInfo> = {}) {
  return { type, address, protocol: 'udp', relayProtocol: null, ...more };
}

const MDNS = '0b4a4ab8-9c25-4fd4-9a50-9f1d3c5e0a11.local';

describe('the kind of path follows from the selected pair', () => {
  test.each([
    [
      'host to host in one LAN',
      candidate('host', '192.168.1.5'),
      candidate('host', '192.168.1.9'),
      'lan',
    ],
    [
      'the browser hides its own address',
      candidate('host', MDNS),
      candidate('host', '10.0.0.2'),
      'lan',
    ],
    [
      'the browser leaves its address out',
      candidate('host', null),
      candidate('host', '10.0.0.2'),
      'lan',
    ],
    ['both ends hide their addresses', candidate('host', MDNS), candidate('host', MDNS), 'lan'],
    ['one machine', candidate('host', '127.0.0.1'), candidate('host', '127.0.0.1'), 'lan'],
    ['link-local IPv6', candidate('host', 'fe80::1'), candidate('host', 'fe80::2'), 'lan'],
    ['unique local IPv6', candidate('host', 'fd12::1'), candidate('prflx', 'fd12::2'), 'lan'],
    [
      'prflx with a private address',
      candidate('prflx', '192.168.1.5'),
      candidate('host', '192.168.1.9'),
      'lan',
    ],
    [
      'one IPv6 link',
      candidate('host', '2001:db8:1:2::5'),
      candidate('host', '2001:db8:1:2:aa::9'),
      'lan',
    ],
    [
      'two IPv6 links',
      candidate('host', '2001:db8:1:2::5'),
      candidate('host', '2001:db8:1:3::9'),
      'direct',
    ],
    [
      'a hidden prflx to a LAN host',
      candidate('prflx', null),
      candidate('host', '192.168.1.9'),
      'lan',
    ],
    ['a public gateway', candidate('host', MDNS), candidate('host', '203.0.113.20'), 'direct'],
    ['both public', candidate('host', '203.0.113.21'), candidate('host', '203.0.113.20'), 'direct'],
    [
      'through both routers',
      candidate('srflx', '203.0.113.5'),
      candidate('srflx', '198.51.100.9'),
      'direct',
    ],
    ['a symmetric router', candidate('host', MDNS), candidate('prflx', null), 'direct'],
    [
      'prflx to srflx',
      candidate('prflx', '203.0.113.5'),
      candidate('srflx', '198.51.100.9'),
      'direct',
    ],
    [
      'a carrier’s shared address',
      candidate('host', MDNS),
      candidate('host', '100.64.0.9'),
      'direct',
    ],
    [
      'the viewer is relayed',
      candidate('relay', '203.0.113.10'),
      candidate('srflx', '198.51.100.9'),
      'relay',
    ],
    [
      'the gateway is relayed',
      candidate('host', '192.168.1.5'),
      candidate('relay', '203.0.113.10'),
      'relay',
    ],
    [
      'a TURN server inside the LAN',
      candidate('relay', '192.168.1.1'),
      candidate('host', '192.168.1.9'),
      'relay',
    ],
  ] as const)('%s', (_, local, remote, kind) => {
    expect(pathOf(local, remote).kind).toBe(kind);
  });

  test.each([
    [candidate('host', null), 'UDP'],
    [candidate('host', null, { protocol: 'tcp' }), 'TCP'],
    [candidate('relay', null, { relayProtocol: 'udp' }), 'UDP'],
    [candidate('relay', null, { relayProtocol: 'tcp' }), 'TCP'],
    [candidate('relay', null, { relayProtocol: 'tls' }), 'TLS'],
  ] as const)('the transport is that of the browser’s first hop: %o', (local, transport) => {
    expect(pathOf(local, candidate('srflx', '198.51.100.9')).transport).toBe(transport);
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
