/**
 * State machine of a form that gives access to somebody: what is given is chosen, the server
 * creates it, and the secret that it returns is shown once.
 */

import type { Step } from './machine';

/** The choices of a form, and how they become a request. */
export interface Form<Draft, Body> {
  readonly empty: Draft;
  /** Returns a sentence for each field that is wrong; none if it can be sent. */
  readonly problemsOf: (draft: Draft) => Problems<Draft>;
  readonly bodyOf: (draft: Draft) => Body;
}

export type Problems<Draft> = { readonly [Field in keyof Draft]?: string };

export type State<Draft> =
  | { readonly phase: 'closed' }
  | {
      readonly phase: 'editing';
      readonly draft: Draft;
      /** Complaints about the fields; empty before the first attempt. */
      readonly problems: Problems<Draft>;
      /** The sentence with which the server has refused it. */
      readonly error: string | null;
    }
  | { readonly phase: 'creating'; readonly draft: Draft }
  /** The secret is nowhere else: it is gone once this is closed. */
  | { readonly phase: 'created'; readonly draft: Draft; readonly secret: string };

export type Event<Draft> =
  | { readonly type: 'open' }
  | { readonly type: 'change'; readonly draft: Draft }
  | { readonly type: 'submit' }
  | { readonly type: 'created'; readonly secret: string }
  | { readonly type: 'refused'; readonly error: string }
  | { readonly type: 'close' };

export type Effect<Body> =
  | { readonly type: 'create'; readonly body: Body }
  /** The list has one more now. */
  | { readonly type: 'reload' };

export const CLOSED = { phase: 'closed' } as const;

/** Returns the step function of a form. Events that do not fit the phase change nothing. */
export function stepOf<Draft, Body>(form: Form<Draft, Body>) {
  return (state: State<Draft>, event: Event<Draft>): Step<State<Draft>, Effect<Body>> => {
    switch (event.type) {
      case 'open':
        if (state.phase !== 'closed') return stay(state);
        return stay({ phase: 'editing', draft: form.empty, problems: {}, error: null });
      case 'change':
        return state.phase === 'editing' ? stay(changed(form, state, event.draft)) : stay(state);
      case 'submit':
        return state.phase === 'editing' ? submit(form, state.draft) : stay(state);
      case 'created':
        if (state.phase !== 'creating') return stay(state);
        return {
          state: { phase: 'created', draft: state.draft, secret: event.secret },
          effects: [{ type: 'reload' }],
        };
      case 'refused':
        if (state.phase !== 'creating') return stay(state);
        return stay({ phase: 'editing', draft: state.draft, problems: {}, error: event.error });
      case 'close':
        // What is being created would come back without anybody who can copy it.
        return stay(state.phase === 'creating' ? state : CLOSED);
    }
  };
}

function stay<S>(state: S): { state: S; effects: never[] } {
  return { state, effects: [] };
}

/** Keeps complaining about a field until it is right, and about no other. */
function changed<Draft, Body>(
  form: Form<Draft, Body>,
  state: Extract<State<Draft>, { phase: 'editing' }>,
  draft: Draft,
): State<Draft> {
  const had = Object.keys(state.problems);
  const has = Object.entries(form.problemsOf(draft)).filter(([field]) => had.includes(field));
  return { ...state, draft, problems: Object.fromEntries(has) as Problems<Draft> };
}

function submit<Draft, Body>(
  form: Form<Draft, Body>,
  draft: Draft,
): Step<State<Draft>, Effect<Body>> {
  const problems = form.problemsOf(draft);
  if (Object.keys(problems).length > 0) {
    return stay({ phase: 'editing', draft, problems, error: null });
  }
  const effect = { type: 'create', body: form.bodyOf(draft) } as const;
  return { state: { phase: 'creating', draft }, effects: [effect] };
}
