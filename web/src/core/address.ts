/** Addresses of cameras as people type them. */

import type { Login } from '../protocol';

export type Typed =
  | { readonly kind: 'empty' }
  | { readonly kind: 'bad' }
  /** A range such as 192.168.1.0/24, to search. */
  | { readonly kind: 'range'; readonly address: string }
  /** One device; a login is what an `rtsp://` address carried. */
  | { readonly kind: 'device'; readonly address: string; readonly login: Login | null };

/** The longest address that is taken; a URL of a camera is much shorter. */
const MAX_LENGTH = 512;
const RANGE = /^[0-9a-f.:]+\/\d{1,3}$/i;
const HOST = /^(\[[0-9a-f:.%a-z]+\]|[\p{L}\p{N}._-]+|[0-9a-f:]+)(:\d{1,5})?$/iu;
const RTSP = /^(rtsps?:\/\/)(?:([^/@\s]*)@)?([^/@\s]+(?:\/\S*)?)$/i;
const HTTP = /^https?:\/\/(?:[^/@\s]*@)?([^/@\s]+)(?:\/\S*)?$/i;

/** Reads what was typed. A login is taken out of an address, since it must be sealed. */
export function parseAddress(text: string): Typed {
  const typed = text.trim();
  if (typed === '') return { kind: 'empty' };
  if (typed.length > MAX_LENGTH) return { kind: 'bad' };
  if (RANGE.test(typed)) return { kind: 'range', address: typed };
  const rtsp = RTSP.exec(typed);
  if (rtsp !== null) {
    const [, scheme = '', login, rest = ''] = rtsp;
    return { kind: 'device', address: scheme.toLowerCase() + rest, login: parseLogin(login) };
  }
  // The address of a camera's own page, copied from the browser: the host is what counts.
  const address = HTTP.exec(typed)?.[1] ?? typed;
  return HOST.test(address) ? { kind: 'device', address, login: null } : { kind: 'bad' };
}

function parseLogin(text: string | undefined): Login | null {
  if (text === undefined || text === '') return null;
  const [user = '', ...password] = text.split(':');
  return { user: decoded(user), password: decoded(password.join(':')) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
