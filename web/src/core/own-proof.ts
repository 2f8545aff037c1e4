/**
 * State machine of a form that asks for the own password again, and for a code of the second factor
 * if the server asks for one.
 */

import type { OwnProof } from '../protocol';
import type { Step } from './machine';

export interface State {
  /** True once the server has asked for a code. */
  readonly asksCode: boolean;
  readonly busy: boolean;
  /** The sentence with which the last request was refused. */
  readonly error: string | null;
}

export type Event =
  | { readonly type: 'submit'; readonly password: string; readonly code: string }
  /** `needsCode` if the password was right, and the code is missing or wrong. */
  | { readonly type: 'refused'; readonly error: string; readonly needsCode: boolean }
  | { readonly type: 'done' };

export interface Effect {
  readonly type: 'send';
  readonly proof: OwnProof;
}

export const START: State = { asksCode: false, busy: false, error: null };

/** Returns the next state. Events that do not fit it change nothing. */
export function step(state: State, event: Event): Step<State, Effect> {
  const { asksCode, busy } = state;
  if (busy === (event.type === 'submit')) return { state, effects: [] };
  switch (event.type) {
    case 'submit': {
      const { password, code } = event;
      const proof = asksCode ? { password, code: code.trim() } : { password };
      return { state: { asksCode, busy: true, error: null }, effects: [{ type: 'send', proof }] };
    }
    case 'refused': {
      const { needsCode } = event;
      // To be asked for the first time is no error.
      const error = needsCode && !asksCode ? null : event.error;
      return { state: { asksCode: asksCode || needsCode, busy: false, error }, effects: [] };
    }
    case 'done':
      return { state: { asksCode, busy: false, error: null }, effects: [] };
  }
}
