/** The answer of a sign-in service, in the address to which it sent the browser back. */

import type { ProviderAnswer } from '../protocol';

/** Reads the query of the address. Returns `null` if it is no answer. */
export function answerIn(query: string): ProviderAnswer | null {
  const parameters = new URLSearchParams(query);
  const [state, code, iss, error] = ['state', 'code', 'iss', 'error'].map((name) =>
    parameters.get(name),
  );
  if (state == null || (code == null && error == null)) return null;
  return {
    state,
    ...(code != null && { code }),
    ...(iss != null && { iss }),
    ...(error != null && { error }),
  };
}
