/**
 * State machine of signing in: the name and the password come first, then a code of the second
 * factor if the server asks for one.
 */

import type { SignIn } from '../protocol';
import type { Step } from './machine';

export interface State {
  /** The part of the form that is shown. */
  readonly phase: 'password' | 'code';
  readonly busy: boolean;
  /** The sentence with which the server has refused the last attempt. */
  readonly error: string | null;
}

/** The fields of both parts, as they were typed. */
export interface Typed {
  readonly name: string;
  readonly password: string;
  readonly code: string;
}

/** The answer of a server that signs nobody in. */
export interface Refusal {
  readonly status: number;
  readonly error: string;
  /** True if the password was right, and the code is missing or wrong. */
  readonly needsCode: boolean;
}

export type Event =
  | { readonly type: 'submit'; readonly typed: Typed }
  | { readonly type: 'refused'; readonly refusal: Refusal }
  /** A wish to type the name and the password again. */
  | { readonly type: 'back' };

export interface Effect {
  readonly type: 'sign-in';
  readonly body: SignIn;
}

export const START: State = { phase: 'password', busy: false, error: null };

const UNAUTHORIZED = 401;

/** Returns the next state. Events that do not fit it change nothing. */
export function step(state: State, event: Event): Step<State, Effect> {
  switch (event.type) {
    case 'submit':
      if (state.busy) return { state, effects: [] };
      return {
        state: { ...state, busy: true, error: null },
        effects: [{ type: 'sign-in', body: bodyOf(state, event.typed) }],
      };
    case 'refused':
      return { state: state.busy ? refused(state, event.refusal) : state, effects: [] };
    case 'back':
      return { state: state.busy ? state : START, effects: [] };
  }
}

function bodyOf({ phase }: State, { name, password, code }: Typed): SignIn {
  const body = { name: name.trim(), password };
  return phase === 'code' ? { ...body, code: code.trim() } : body;
}

function refused({ phase }: State, { status, error, needsCode }: Refusal): State {
  if (needsCode) {
    // To be asked for the first time is no error.
    return { phase: 'code', busy: false, error: phase === 'code' ? error : null };
  }
  // The password may have been changed in the meantime. Other refusals pass, such as too many
  // attempts or a server that is not reached.
  return { phase: status === UNAUTHORIZED ? 'password' : phase, busy: false, error };
}
