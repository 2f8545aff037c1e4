/** The reasons why there is no video, and the texts for them. */

import { code, type Camera, type Fault } from '../protocol';
import { LOCAL } from './rpc';

export type ReasonKind = keyof typeof TEXT;

export interface Reason {
  readonly kind: ReasonKind;
  /** Explanation from the server, the gateway or the browser; replaces our own hint. */
  readonly detail?: string;
  /** True if retrying without a change would fail again. */
  readonly final?: boolean;
}

interface ReasonText {
  readonly title: string;
  readonly hint: string;
}

const TEXT = {
  'not-found': {
    title: 'Camera not found',
    hint: 'It was removed, or you do not have access. Ask an administrator for access.',
  },
  offline: {
    title: 'The camera is offline',
    hint: 'Its gateway is not connected. The video starts automatically when it is back.',
  },
  'camera-failed': {
    title: 'No picture from the camera',
    hint: 'The gateway keeps trying. Check that the camera is on and connected.',
  },
  forbidden: {
    title: 'You do not have access to this camera',
    hint: 'Ask an administrator for access.',
  },
  'signed-out': {
    title: 'You are signed out',
    hint: 'Sign in again to watch.',
  },
  busy: {
    title: 'Too many viewers',
    hint: 'The gateway or the server has reached its limit. Close another player, or wait.',
  },
  timeout: {
    title: 'The gateway did not respond',
    hint: 'It may be busy or poorly connected. If this keeps happening, check the gateway.',
  },
  refused: {
    title: 'The stream could not be started',
    hint: 'The logs of the gateway and the server have the details.',
  },
  closed: {
    title: 'The gateway ended the session',
    hint: 'Starting a new one.',
  },
  codec: {
    title: 'This browser cannot play the camera’s video',
    hint: 'Set the camera to H.264, or use another browser.',
  },
  'answer-failed': {
    title: 'This browser could not set up the video',
    hint: 'Reload the page. If that does not help, use another browser.',
  },
  'no-path': {
    title: 'No network path to the camera',
    hint: 'A firewall may block both direct and relayed connections. Try another network.',
  },
  'no-video': {
    title: 'No video from the camera',
    hint: 'The connection works, but no video arrived. Check the camera.',
  },
  stalled: {
    title: 'The video stopped',
    hint: 'No new video has arrived for a while.',
  },
  'connection-lost': {
    title: 'Connection lost',
    hint: 'The network may have changed.',
  },
} as const satisfies Record<string, ReasonText>;

/** Returns a title, and a hint about the cause and what to do. */
export function describe(reason: Reason): ReasonText {
  const { title, hint } = TEXT[reason.kind];
  return { title, hint: reason.detail ? sentence(reason.detail) : hint };
}

/** Returns the reason as one sentence. */
export function oneLine(reason: Reason): string {
  return sentence(reason.detail || TEXT[reason.kind].title);
}

export function cameraReason(camera: Camera): Reason {
  const kind = 'camera-failed';
  return camera.reason ? { kind, detail: camera.reason } : { kind };
}

export function closedReason(detail = ''): Reason {
  return detail === '' ? { kind: 'closed' } : { kind: 'closed', detail };
}

export function faultReason({ code: number, message }: Fault): Reason {
  const kind = KIND_OF_CODE.get(number) ?? 'refused';
  const final = kind === 'forbidden' || kind === 'signed-out';
  const hasDetail = number > 0 && message !== '';
  return { kind, ...(hasDetail ? { detail: message } : {}), ...(final ? { final } : {}) };
}

const KIND_OF_CODE: ReadonlyMap<number, ReasonKind> = new Map<number, ReasonKind>([
  [code.UNAUTHORIZED, 'signed-out'],
  [code.FORBIDDEN, 'forbidden'],
  [code.NOT_FOUND, 'not-found'],
  [code.REQUEST_TIMEOUT, 'timeout'],
  [code.GONE, 'offline'],
  [code.UNAVAILABLE, 'offline'],
  [code.NO_VIDEO, 'camera-failed'],
  [code.PEER_DISCONNECTED, 'offline'],
  [code.TOO_MANY_REQUESTS, 'busy'],
  [code.INSUFFICIENT_RESOURCES, 'busy'],
  [LOCAL.TIMED_OUT, 'timeout'],
]);

/** Returns the text as a sentence: with a capital letter and a final full stop. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  const ended = /[.!?…]$/.test(trimmed) ? trimmed : `${trimmed}.`;
  return ended.charAt(0).toUpperCase() + ended.slice(1);
}
