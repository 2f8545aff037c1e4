/** The rule for a password that somebody chooses. */

/** The least number of characters, which is the server's own limit. */
export const MIN_PASSWORD_LENGTH = 10;

/** Returns true if the server takes the password. */
export function isLongEnough(password: string): boolean {
  return [...password].length >= MIN_PASSWORD_LENGTH;
}
