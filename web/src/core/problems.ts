/** The sentences for requests to a gateway that were not answered, or refused. */

import { code, type Fault } from '../protocol';
import { sentence } from './reasons';
import { LOCAL } from './rpc';
import { t, type Key } from './text';

const KEY_OF_CODE: ReadonlyMap<number, Key> = new Map<number, Key>([
  [LOCAL.OFFLINE, 'problem.server-lost'],
  [LOCAL.TIMED_OUT, 'problem.timeout'],
  [LOCAL.TOO_MANY, 'problem.busy'],
  [code.METHOD_NOT_FOUND, 'problem.too-old'],
  [code.FORBIDDEN, 'problem.forbidden'],
  [code.NOT_FOUND, 'problem.gone'],
  [code.REQUEST_TIMEOUT, 'problem.timeout'],
  [code.CONFLICT, 'problem.conflict'],
  [code.GONE, 'problem.gateway-offline'],
  [code.UNAVAILABLE, 'problem.gateway-offline'],
  [code.PEER_DISCONNECTED, 'problem.gateway-offline'],
  [code.TOO_MANY_REQUESTS, 'problem.busy'],
  [code.INSUFFICIENT_RESOURCES, 'problem.busy'],
  [code.STORAGE_FULL, 'problem.storage'],
]);

/** Returns one sentence for a fault; one that is not known has the sender's own. */
export function problemText({ code: number, message }: Fault): string {
  const key = KEY_OF_CODE.get(number);
  if (key !== undefined) return t(key as 'problem.busy');
  return message === '' ? t('problem.refused') : sentence(message);
}

/** Returns one sentence for a movement that was refused, or ended. */
export function moveProblem(fault: Fault): string {
  if (fault.code === code.FORBIDDEN) return t('control.forbidden');
  const isTold = fault.code === code.CONFLICT && fault.message !== '';
  return isTold ? sentence(fault.message) : problemText(fault);
}
