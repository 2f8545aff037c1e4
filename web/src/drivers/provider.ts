/** The way to a sign-in service and back. */

import { answerIn } from '../core/provider-answer';
import type { ProviderAnswer, ProviderRequest } from '../protocol';

/** Leaves the dashboard for the sign-in service. */
export function goTo({ url }: ProviderRequest): void {
  location.assign(url);
}

/**
 * Takes the answer of the service out of the address, where it would stay in the history. Returns
 * `null` if there is none.
 */
export function takeAnswer(): ProviderAnswer | null {
  const answer = answerIn(location.search);
  history.replaceState(null, '', location.pathname);
  return answer;
}
