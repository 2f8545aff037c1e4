/** The passkeys of this browser and its devices. */

import { creationOptions, newPasskeyOf, requestOptions, signInOf } from '../core/passkey';
import { t } from '../core/text';
import type { NewPasskey, PasskeyCreation, PasskeyRequest, PasskeySignIn } from '../protocol';

/** Returns true if this page may use the passkeys of an origin. */
export function isOwnOrigin(origin: string): boolean {
  return location.origin === origin;
}

/** Returns true if the browser knows passkeys, which it does on trustworthy pages only. */
export function knowsPasskeys(): boolean {
  return 'PublicKeyCredential' in window;
}

/** Asks the person for a passkey. Returns `null` if they do not want to. */
export async function askForPasskey(request: PasskeyRequest): Promise<PasskeySignIn | null> {
  const publicKey = requestOptions(request);
  const found = await wanted(() => navigator.credentials.get({ publicKey }));
  if (!(found instanceof PublicKeyCredential)) return null;
  const { rawId, response } = found;
  return response instanceof AuthenticatorAssertionResponse ? signInOf({ rawId, response }) : null;
}

/** Makes a passkey on a device of the person. Returns `null` if they do not want to. */
export async function makePasskey(
  request: PasskeyCreation,
  name: string,
): Promise<NewPasskey | null> {
  const publicKey = creationOptions(request);
  const made = await wanted(() => navigator.credentials.create({ publicKey }));
  if (!(made instanceof PublicKeyCredential)) return null;
  const { response } = made;
  if (!(response instanceof AuthenticatorAttestationResponse)) return null;
  return newPasskeyOf(name, { response });
}

/** Runs a question to the person. The browser tells no more about a refusal than that it is one. */
async function wanted(ask: () => Promise<Credential | null>): Promise<Credential | null> {
  try {
    return await ask();
  } catch (error) {
    const name = error instanceof DOMException ? error.name : '';
    if (name === 'NotAllowedError' || name === 'AbortError') return null;
    if (name === 'InvalidStateError') throw new Error(t('passkeys.exists'));
    throw error;
  }
}
