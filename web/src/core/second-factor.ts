/**
 * State machine of the second factor of an account: the password is asked for, the app is set up
 * and confirmed with a code, and the recovery codes are shown once.
 */

import type { SecondFactor, TotpSecret } from '../protocol';
import type { Step } from './machine';

export type State =
  | { readonly phase: 'loading' }
  | { readonly phase: 'off' }
  | { readonly phase: 'on'; readonly recoveryCodes: number }
  /** The password is asked for, to set it up. */
  | { readonly phase: 'starting'; readonly busy: boolean; readonly error: string | null }
  /** The app reads the secret, and shows a code. */
  | {
      readonly phase: 'confirming';
      readonly totp: TotpSecret;
      readonly busy: boolean;
      readonly error: string | null;
    }
  /** The recovery codes are nowhere else: they are gone once this is closed. */
  | { readonly phase: 'codes'; readonly codes: readonly string[] }
  /** Password and code are asked for, to switch it off. */
  | {
      readonly phase: 'ending';
      readonly recoveryCodes: number;
      readonly busy: boolean;
      readonly error: string | null;
    };

export type Event =
  | { readonly type: 'loaded'; readonly factor: SecondFactor }
  | { readonly type: 'open' }
  | { readonly type: 'cancel' }
  | { readonly type: 'submit'; readonly password: string; readonly code: string }
  | { readonly type: 'secret'; readonly totp: TotpSecret }
  | { readonly type: 'confirmed'; readonly codes: readonly string[] }
  | { readonly type: 'ended' }
  | { readonly type: 'refused'; readonly error: string };

export type Effect =
  | { readonly type: 'load' }
  | { readonly type: 'start'; readonly password: string }
  | { readonly type: 'confirm'; readonly code: string }
  | { readonly type: 'end'; readonly password: string; readonly code: string };

type Outcome = Step<State, Effect>;

/** Returns the next state. Events that do not fit the phase change nothing. */
export function step(state: State, event: Event): Outcome {
  switch (event.type) {
    case 'loaded':
      return { state: loaded(state, event.factor), effects: [] };
    case 'open':
      return { state: opened(state), effects: [] };
    case 'cancel':
      return cancelled(state);
    case 'submit':
      return submitted(state, event.password, event.code.trim());
    case 'secret':
      if (state.phase !== 'starting') return stay(state);
      return stay({ phase: 'confirming', totp: event.totp, busy: false, error: null });
    case 'confirmed':
      if (state.phase !== 'confirming') return stay(state);
      return stay({ phase: 'codes', codes: event.codes });
    case 'ended':
      return state.phase === 'ending' ? reload() : stay(state);
    case 'refused':
      return stay('busy' in state ? { ...state, busy: false, error: event.error } : state);
  }
}

function stay(state: State): Outcome {
  return { state, effects: [] };
}

function reload(): Outcome {
  return { state: { phase: 'loading' }, effects: [{ type: 'load' }] };
}

function loaded(state: State, { enrolled, recoveryCodes }: SecondFactor): State {
  const isShown = state.phase === 'loading' || state.phase === 'off' || state.phase === 'on';
  if (!isShown) return state;
  return enrolled ? { phase: 'on', recoveryCodes } : { phase: 'off' };
}

function opened(state: State): State {
  if (state.phase === 'off') return { phase: 'starting', busy: false, error: null };
  if (state.phase === 'on') return { ...state, phase: 'ending', busy: false, error: null };
  return state;
}

/** A request that is on its way is not cancelled: its answer would change what is shown. */
function cancelled(state: State): Outcome {
  switch (state.phase) {
    case 'starting':
    case 'confirming':
      return stay(state.busy ? state : { phase: 'off' });
    case 'ending':
      return stay(state.busy ? state : { phase: 'on', recoveryCodes: state.recoveryCodes });
    case 'codes':
      return reload();
    case 'loading':
    case 'off':
    case 'on':
      return stay(state);
  }
}

function submitted(state: State, password: string, code: string): Outcome {
  if (!('busy' in state) || state.busy) return stay(state);
  const busy = { ...state, busy: true, error: null };
  switch (state.phase) {
    case 'starting':
      return { state: busy, effects: [{ type: 'start', password }] };
    case 'confirming':
      return { state: busy, effects: [{ type: 'confirm', code }] };
    case 'ending':
      return { state: busy, effects: [{ type: 'end', password, code }] };
  }
}
