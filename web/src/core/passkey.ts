/** Passkeys as the server writes about them, in the form in which browsers take and return them. */

import type { NewPasskey, PasskeyCreation, PasskeyRequest, PasskeySignIn } from '../protocol';

/** So long a person has time: as long as the server waits for the answer. */
const TIMEOUT_MS = 5 * 60_000;

/** The parts of a browser's answer to a request to sign in. */
export interface Assertion {
  readonly rawId: ArrayBuffer;
  readonly response: {
    readonly clientDataJSON: ArrayBuffer;
    readonly authenticatorData: ArrayBuffer;
    readonly signature: ArrayBuffer;
    readonly userHandle: ArrayBuffer | null;
  };
}

/** The parts of a browser's answer to a request for a new passkey. */
export interface Attestation {
  readonly response: {
    readonly clientDataJSON: ArrayBuffer;
    readonly attestationObject: ArrayBuffer;
  };
}

/** Returns the options of a sign-in with any passkey of this site. */
export function requestOptions(request: PasskeyRequest): PublicKeyCredentialRequestOptions {
  return {
    challenge: bytesOf(request.challenge),
    rpId: request.site,
    userVerification: 'required',
    timeout: TIMEOUT_MS,
  };
}

/** Returns the options of a new passkey, which the device itself finds again by the site. */
export function creationOptions(request: PasskeyCreation): PublicKeyCredentialCreationOptions {
  const { site, userName: name } = request;
  return {
    challenge: bytesOf(request.challenge),
    rp: { id: site, name: site },
    user: { id: bytesOf(request.userHandle), name, displayName: name },
    pubKeyCredParams: request.algorithms.map((alg) => ({ type: 'public-key', alg })),
    excludeCredentials: request.exclude.map((id) => ({ type: 'public-key', id: bytesOf(id) })),
    authenticatorSelection: {
      residentKey: 'required',
      requireResidentKey: true,
      userVerification: 'required',
    },
    attestation: 'none',
    timeout: TIMEOUT_MS,
  };
}

export function signInOf({ rawId, response }: Assertion): PasskeySignIn {
  return {
    credential: textOf(rawId),
    userHandle: response.userHandle === null ? '' : textOf(response.userHandle),
    clientData: textOf(response.clientDataJSON),
    authenticatorData: textOf(response.authenticatorData),
    signature: textOf(response.signature),
  };
}

export function newPasskeyOf(name: string, { response }: Attestation): NewPasskey {
  return {
    name,
    clientData: textOf(response.clientDataJSON),
    attestation: textOf(response.attestationObject),
  };
}

/** Encodes bytes in base64url without padding. */
export function textOf(bytes: ArrayBuffer): string {
  let binary = '';
  for (const byte of new Uint8Array(bytes)) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

/** Decodes base64url of the server. */
export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
}
