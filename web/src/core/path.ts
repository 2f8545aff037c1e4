/** The path of the video, derived from the selected candidate pair. */

import { t } from './text';

export type PathKind = 'lan' | 'direct' | 'relay';

/** A candidate as `getStats` reports it; browsers may hide its address. */
export interface CandidateInfo {
  readonly type: string;
  readonly address: string | null;
  /** `udp` or `tcp`; for a relayed candidate, between the TURN server and the peer. */
  readonly protocol: string | null;
  /** `udp`, `tcp` or `tls`, between the browser and its TURN server; local candidates only. */
  readonly relayProtocol: string | null;
}

export interface Path {
  readonly kind: PathKind;
  readonly transport: 'UDP' | 'TCP' | 'TLS';
  /** Types of the two candidates, such as `host` or `srflx`. */
  readonly local: string;
  readonly remote: string;
}

export function label({ kind }: Path): string {
  return t(`path.${kind}`);
}

export function explanation({ kind }: Path): string {
  return t(`path.${kind}-detail`);
}

export function pathOf(local: CandidateInfo, remote: CandidateInfo): Path {
  return {
    kind: kindOf(local, remote),
    transport: transportOf(local),
    local: local.type,
    remote: remote.type,
  };
}

function kindOf(local: CandidateInfo, remote: CandidateInfo): PathKind {
  if (local.type === 'relay' || remote.type === 'relay') return 'relay';
  const scopes = [scopeOf(local), scopeOf(remote)];
  if (scopes.includes('public')) return sameLink(local.address, remote.address) ? 'lan' : 'direct';
  // A private address was reached, so both ends are in the network where it is valid.
  if (scopes.includes('private')) return 'lan';
  return local.type === 'host' && remote.type === 'host' ? 'lan' : 'direct';
}

/** Returns the scope of a candidate's address. Browsers hide some behind mDNS names. */
function scopeOf({ type, address }: CandidateInfo): 'private' | 'public' | 'hidden' {
  if (address !== null && address !== '' && !address.endsWith('.local')) {
    return isPrivate(address) ? 'private' : 'public';
  }
  return type === 'srflx' ? 'public' : 'hidden';
}

function transportOf(local: CandidateInfo): Path['transport'] {
  const protocol = (local.relayProtocol ?? local.protocol ?? 'udp').toLowerCase();
  if (protocol === 'tls') return 'TLS';
  return protocol === 'tcp' ? 'TCP' : 'UDP';
}

/**
 * Returns true for loopback and the addresses of RFC 1918, 3927, 4193 and 4291 §2.5.6.
 * RFC 6598 is not among them: those addresses belong to a carrier's network.
 */
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

/** Returns true for two IPv6 addresses with the same /64 prefix; IPv4 prefixes are not known. */
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
