/** JSON-RPC 2.0 messages: written, and parsed without trusting the sender. */

import {
  MAX_CLIENT_MESSAGE_BYTES,
  type ClientNotifications,
  type ClientRequests,
  type Fault,
  type RequestId,
} from '../protocol';

export type Outcome<T> =
  { readonly ok: true; readonly result: T } | { readonly ok: false; readonly fault: Fault };

export type Incoming =
  | {
      readonly kind: 'request';
      readonly id: RequestId;
      readonly method: string;
      readonly params: Record<string, unknown>;
    }
  | {
      readonly kind: 'notification';
      readonly method: string;
      readonly params: Record<string, unknown>;
    }
  | {
      readonly kind: 'response';
      readonly id: RequestId | null;
      readonly outcome: Outcome<unknown>;
    }
  | { readonly kind: 'error'; readonly fault: Fault };

/** Codes of faults made in the browser, for requests without a response. */
export const LOCAL = { OFFLINE: -1, TIMED_OUT: -2, TOO_MANY: -3 } as const;

export function request<M extends keyof ClientRequests>(
  id: number,
  method: M,
  params: ClientRequests[M]['params'],
): string {
  return JSON.stringify({ jsonrpc: '2.0', id, method, params });
}

export function notification<M extends keyof ClientNotifications>(
  method: M,
  params: ClientNotifications[M]['params'],
): string {
  return JSON.stringify({ jsonrpc: '2.0', method, params });
}

export function response(id: RequestId, value: unknown): string {
  return JSON.stringify({ jsonrpc: '2.0', id, result: value });
}

export function errorResponse(id: RequestId, fault: Fault): string {
  return JSON.stringify({ jsonrpc: '2.0', id, error: fault });
}

/** Parses one message. Returns `null` for anything else, and for one that is too long. */
export function parse(text: string): Incoming | null {
  if (text.length > MAX_CLIENT_MESSAGE_BYTES) return null;
  const message = parseObject(text);
  if (message === null) return null;
  const { method } = message;
  const id = isId(message.id) ? message.id : null;
  const fault = readFault(message.error);
  if (fault !== null) {
    // An error response without an id, or a message named `error` (ONVIF WebRTC 26.06 §5.8).
    if (id === null) return { kind: 'error', fault };
    return { kind: 'response', id, outcome: { ok: false, fault } };
  }
  if (typeof method === 'string') {
    const params = isObject(message.params) ? message.params : {};
    if (method === 'error') return errorNotification(params);
    return id === null
      ? { kind: 'notification', method, params }
      : { kind: 'request', id, method, params };
  }
  if (id === null) return null;
  return { kind: 'response', id, outcome: { ok: true, result: message.result ?? {} } };
}

function errorNotification(params: Record<string, unknown>): Incoming | null {
  const fault = readFault(params);
  return fault === null ? null : { kind: 'error', fault };
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

function readFault(value: unknown): Fault | null {
  if (!isObject(value) || typeof value.code !== 'number') return null;
  const message = typeof value.message === 'string' ? value.message : '';
  const fault: Fault = { code: value.code, message };
  return typeof value.session === 'string' ? { ...fault, session: value.session } : fault;
}

function isId(value: unknown): value is RequestId {
  return typeof value === 'number' || typeof value === 'string';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
