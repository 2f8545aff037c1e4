/** The reasons why there is no video, and the texts for them. */

import { code, type Camera, type Fault } from '../protocol';
import { LOCAL } from './rpc';
import { t } from './text';

/** The kinds; each has a title and a hint in `text.ts`. */
export type ReasonKind =
  | 'not-found'
  | 'offline'
  | 'camera-failed'
  | 'forbidden'
  | 'signed-out'
  | 'busy'
  | 'timeout'
  | 'refused'
  | 'closed'
  | 'codec'
  | 'answer-failed'
  | 'no-path'
  | 'no-video'
  | 'stalled'
  | 'connection-lost';

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

/** Returns a title, and a hint about the cause and what to do. */
export function describe(reason: Reason): ReasonText {
  const { kind, detail } = reason;
  const hint = detail ? sentence(detail) : t(`reason.${kind}-hint`);
  return { title: t(`reason.${kind}`), hint };
}

/** Returns the reason as one sentence. */
export function oneLine(reason: Reason): string {
  return sentence(reason.detail || t(`reason.${reason.kind}`));
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
