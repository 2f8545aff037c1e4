import { expect, test } from 'vitest';
import {
  bytesOf,
  creationOptions,
  newPasskeyOf,
  requestOptions,
  signInOf,
  textOf,
} from './passkey';

const buffer = (...bytes: number[]) => new Uint8Array(bytes).buffer;

test.each([
  ['', []],
  ['AA', [0]],
  ['-_8', [251, 255]],
  ['AQID', [1, 2, 3]],
])('base64url "%s" stands for %j', (text, bytes) => {
  expect([...bytesOf(text)]).toEqual(bytes);
  expect(textOf(buffer(...bytes))).toBe(text);
});

test('a sign-in asks for any passkey of the site, with a check of the person', () => {
  const options = requestOptions({ challenge: 'AQID', site: 'cams.example' });
  expect(options).toMatchObject({ rpId: 'cams.example', userVerification: 'required' });
  expect(options.allowCredentials).toBeUndefined();
  expect([...new Uint8Array(options.challenge as ArrayBuffer)]).toEqual([1, 2, 3]);
});

test('a new passkey is found by the device itself, and only one is made on it', () => {
  const options = creationOptions({
    challenge: 'AQID',
    site: 'cams.example',
    userHandle: 'BA',
    userName: 'ada',
    algorithms: [-8, -7],
    exclude: ['BQ'],
  });
  expect(options).toMatchObject({
    rp: { id: 'cams.example' },
    user: { name: 'ada', displayName: 'ada' },
    pubKeyCredParams: [{ alg: -8 }, { alg: -7 }],
    authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
    attestation: 'none',
  });
  expect(options.excludeCredentials?.map(({ id }) => [...(id as Uint8Array)])).toEqual([[5]]);
});

test('what a browser returns is written for the server', () => {
  const response = {
    clientDataJSON: buffer(2),
    authenticatorData: buffer(3),
    signature: buffer(4),
    attestationObject: buffer(6),
  };
  const signIn = { credential: 'AQ', clientData: 'Ag', authenticatorData: 'Aw', signature: 'BA' };
  expect(signInOf({ rawId: buffer(1), response: { ...response, userHandle: buffer(5) } })).toEqual({
    ...signIn,
    userHandle: 'BQ',
  });
  expect(signInOf({ rawId: buffer(1), response: { ...response, userHandle: null } })).toEqual({
    ...signIn,
    userHandle: '',
  });
  const made = { name: 'phone', clientData: 'Ag', attestation: 'Bg' };
  expect(newPasskeyOf('phone', { response })).toEqual(made);
});
