/** Which way the video takes, told from the selected candidate pair. */

export type PathKind = 'lan' | 'direct' | 'relay';

/** What `getStats` says of a candidate; browsers leave out what would give an address away. */
export interface CandidateFacts {
  readonly type: string;
  readonly address: string | null;
  /** `udp` or `tcp`: for a relay candidate, between the relay and the other side. */
  readonly protocol: string | null;
  /** Local relay candidates: `udp`, `tcp` or `tls`, between the browser and its relay. */
  readonly relayProtocol: string | null;
}

export interface Path {
  readonly kind: PathKind;
  readonly transport: 'UDP' | 'TCP' | 'TLS';
  /** How each end is reached, such as `host` or `srflx`. */
  readonly local: string;
  readonly remote: string;
}

export const PATH_WORDS: Record<PathKind, string> = {
  lan: 'Direct in the LAN',
  direct: 'Direct',
  relay: 'Relayed',
};

export const PATH_EXPLAINED: Record<PathKind, string> = {
  lan: 'The video stays inside your network.',
  direct: 'The video comes straight from the gateway, through both routers.',
  relay: 'No direct way was found. The TURN server passes the video on, and cannot see it.',
};

export function pathOf(local: CandidateFacts, remote: CandidateFacts): Path {
  return {
    kind: kindOf(local, remote),
    transport: transportOf(local),
    local: local.type,
    remote: remote.type,
  };
}

function kindOf(local: CandidateFacts, remote: CandidateFacts): PathKind {
  if (local.type === 'relay' || remote.type === 'relay') return 'relay';
  const ends = [endOf(local), endOf(remote)];
  if (ends.includes('public')) return sameLink(local.address, remote.address) ? 'lan' : 'direct';
  // A private address was reached, so both ends are where it means something.
  if (ends.includes('private')) return 'lan';
  return local.type === 'host' && remote.type === 'host' ? 'lan' : 'direct';
}

/** Where an end is; browsers hide addresses behind mDNS names, or leave them out. */
function endOf({ type, address }: CandidateFacts): 'private' | 'public' | 'hidden' {
  if (address !== null && address !== '' && !address.endsWith('.local')) {
    return isPrivate(address) ? 'private' : 'public';
  }
  return type === 'srflx' ? 'public' : 'hidden';
}

function transportOf(local: CandidateFacts): Path['transport'] {
  const protocol = (local.relayProtocol ?? local.protocol ?? 'udp').toLowerCase();
  if (protocol === 'tls') return 'TLS';
  return protocol === 'tcp' ? 'TCP' : 'UDP';
}

/** RFC 1918, 3927, 4193, 4291 §2.5.6 and loopback; not RFC 6598, which is a carrier's. */
export function isPrivate(address: string): boolean {
  const text = address.replace(/^\[|\]$/g, '').toLowerCase();
  const mapped = text.startsWith('::ffff:') ? text.slice(7) : text;
  const v4 = /^(\d{1,3})\.(\d{1,3})\.\d{1,3}\.\d{1,3}$/.exec(mapped);
  if (v4) {
    const [a, b] = [Number(v4[1]), Number(v4[2])];
    return (
      a === 10 ||
      a === 127 ||
      (a === 172 && b >= 16 && b <= 31) ||
      (a === 192 && b === 168) ||
      (a === 169 && b === 254)
    );
  }
  return text === '::1' || /^f[cd][0-9a-f]{2}:/.test(text) || /^fe[89ab][0-9a-f]:/.test(text);
}

/** Two global IPv6 addresses of one /64 are on one link; IPv4 does not tell its prefix. */
function sameLink(a: string | null, b: string | null): boolean {
  const [left, right] = [prefix64(a), prefix64(b)];
  return left !== null && left === right;
}

function prefix64(address: string | null): string | null {
  const text = address?.replace(/^\[|\]$/g, '').toLowerCase() ?? '';
  if (!text.includes(':') || text.includes('.')) return null;
  const [head = '', tail] = text.split('::');
  const groups = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  if (tail === undefined && groups.length !== 8) return null;
  while (groups.length + after.length < 8) groups.push('0');
  return [...groups, ...after]
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':');
}
