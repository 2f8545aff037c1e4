/**
 * The access token of a share link whose password was given: kept until the tab is closed, on a
 * screen on a wall as long as the link lasts.
 */

const STORED_AS = 'porthole.share';

/** Returns the token that was kept for a link, if there is one. */
export function keptToken(link: string): string | null {
  const kept = [() => sessionStorage, () => localStorage].map(read);
  return kept.find((token) => token?.startsWith(`${link}.`)) ?? null;
}

export function keepToken(token: string, kiosk: boolean): void {
  try {
    (kiosk ? localStorage : sessionStorage).setItem(STORED_AS, token);
  } catch {
    // The password is asked for again.
  }
}

/** Forgets the token of a link that has ended. */
export function forgetToken(link: string): void {
  for (const storage of [() => sessionStorage, () => localStorage]) {
    if (read(storage)?.startsWith(`${link}.`) === true) storage().removeItem(STORED_AS);
  }
}

function read(storage: () => Storage): string | null {
  try {
    return storage().getItem(STORED_AS);
  } catch {
    return null;
  }
}
