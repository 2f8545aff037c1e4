/** The REST interface under `/api/v1`. */

import type { Claim, ErrorBody, Me, Setup, SignIn } from '../protocol';

/** A refusal, in the server's own words. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Long enough for a slow phone network and a deliberately slow password hash. */
const TIMEOUT_MS = 15_000;

export const api = {
  setUp: (body: Setup) => call<Me>('POST', 'setup', body),
  signIn: (body: SignIn) => call<Me>('POST', 'session', body),
  /** Who is signed in; `null` when nobody is. */
  async me(): Promise<Me | null> {
    try {
      return await call<Me>('GET', 'session');
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return null;
      throw error;
    }
  },
  signOut: () => call<null>('DELETE', 'session'),
  makeClaim: () => call<Claim>('POST', 'claims', {}),
};

/** That an answer fits its route is the generated contract's promise. */
async function call<T>(method: string, route: string, body?: unknown): Promise<T> {
  const init: RequestInit = { method, signal: AbortSignal.timeout(TIMEOUT_MS) };
  if (body !== undefined) {
    init.headers = { 'content-type': 'application/json' };
    init.body = JSON.stringify(body);
  }
  const response = await reach(`/api/v1/${route}`, init);
  const answer: unknown = await response.json().catch(() => null);
  if (!response.ok) throw new ApiError(response.status, wordsOf(response, answer));
  return answer as T;
}

async function reach(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch {
    throw new ApiError(0, 'The server cannot be reached. Check that it runs, then try again.');
  }
}

function wordsOf(response: Response, answer: unknown): string {
  const { error } = (answer ?? {}) as Partial<ErrorBody>;
  return error ?? `The server answered ${response.status} ${response.statusText}.`;
}
