/** Why there is no picture, in words for the person who waits for it. */

import { code, type Camera, type Fault } from '../protocol';
import { LOCAL } from './rpc';

export type ReasonKind = keyof typeof WORDS;

export interface Reason {
  readonly kind: ReasonKind;
  /** What the server, the gateway or the browser said about it. */
  readonly detail?: string;
  /** Trying again by itself would not help. */
  readonly final?: boolean;
}

interface Words {
  readonly title: string;
  readonly hint: string;
}

const WORDS = {
  absent: {
    title: 'There is no such camera',
    hint: 'It was removed, or your account may not watch it.',
  },
  offline: {
    title: 'The camera is offline',
    hint: 'Its gateway is not connected. The picture starts by itself when it is back.',
  },
  camera: {
    title: 'The camera cannot be reached',
    hint: 'Its gateway keeps trying.',
  },
  forbidden: {
    title: 'You may not watch this camera',
    hint: 'Ask an administrator to let you.',
  },
  'signed-out': {
    title: 'You are signed out',
    hint: 'Sign in again to watch.',
  },
  busy: {
    title: 'Too many are watching',
    hint: 'The gateway or the server has reached its limit.',
  },
  timeout: {
    title: 'The gateway did not answer',
    hint: 'It may be busy, or its connection is bad.',
  },
  refused: {
    title: 'The gateway refused',
    hint: 'Its log says more.',
  },
  closed: {
    title: 'The gateway ended the session',
    hint: 'Starting another one.',
  },
  codec: {
    title: 'This browser cannot play the camera’s format',
    hint: 'Set the camera to H.264, or try another browser.',
  },
  answer: {
    title: 'This browser could not answer the gateway',
    hint: 'Try another browser if this stays.',
  },
  'no-way': {
    title: 'No way through was found',
    hint: 'A firewall blocks even the relay. Another network may allow it.',
  },
  'no-picture': {
    title: 'The camera sends no picture',
    hint: 'The connection works, but no video arrived.',
  },
  stalled: {
    title: 'The picture stopped',
    hint: 'No video has arrived for a while.',
  },
  lost: {
    title: 'The connection was lost',
    hint: 'The network may have changed.',
  },
} as const satisfies Record<string, Words>;

export function wordsOf(reason: Reason): Words {
  const { title, hint } = WORDS[reason.kind];
  return { title, hint: reason.detail ? sentence(reason.detail) : hint };
}

/** The same in one line. */
export function briefly(reason: Reason): string {
  return sentence(reason.detail || WORDS[reason.kind].title);
}

export const reasonOf = {
  camera(camera: Camera): Reason {
    return camera.reason ? { kind: 'camera', detail: camera.reason } : { kind: 'camera' };
  },

  closed(detail = ''): Reason {
    return detail === '' ? { kind: 'closed' } : { kind: 'closed', detail };
  },

  fault({ code: number, message }: Fault): Reason {
    const kind = KIND_OF_CODE.get(number) ?? 'refused';
    const final = kind === 'forbidden' || kind === 'signed-out';
    const said = number > 0 && message !== '';
    return { kind, ...(said ? { detail: message } : {}), ...(final ? { final } : {}) };
  },
};

const KIND_OF_CODE: ReadonlyMap<number, ReasonKind> = new Map<number, ReasonKind>([
  [code.UNAUTHORIZED, 'signed-out'],
  [code.FORBIDDEN, 'forbidden'],
  [code.NOT_FOUND, 'absent'],
  [code.REQUEST_TIMEOUT, 'timeout'],
  [code.GONE, 'offline'],
  [code.UNAVAILABLE, 'offline'],
  [code.PEER_DISCONNECTED, 'offline'],
  [code.TOO_MANY_REQUESTS, 'busy'],
  [code.INSUFFICIENT_RESOURCES, 'busy'],
  [LOCAL.TIMED_OUT, 'timeout'],
]);

/** A capital at the start and a stop at the end, whoever wrote it. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  const stopped = /[.!?…]$/.test(trimmed) ? trimmed : `${trimmed}.`;
  return stopped.charAt(0).toUpperCase() + stopped.slice(1);
}
