/**
 * Seals the user and password of a camera to its gateway's key, so that the server cannot read
 * them (HPKE, RFC 9180; what is signed and sealed: `signaling/proto/src/manage.rs`).
 *
 * Architecture invariant: nothing here uses `crypto.subtle`, which a page over plain HTTP lacks.
 */

import { ed25519 } from '@noble/curves/ed25519.js';
import { sha256 } from '@noble/hashes/sha2.js';
import {
  AEAD_ChaCha20Poly1305,
  KDF_HKDF_SHA256,
  KEM_DHKEM_X25519_HKDF_SHA256,
} from '@panva/hpke-noble';
import { CipherSuite } from 'hpke';
import type { CameraId, GatewayId, Login, Sealed, SealingKeyResult } from '../protocol';

/** The cipher suite of passwords: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305. */
export const SUITE = new CipherSuite(
  KEM_DHKEM_X25519_HKDF_SHA256,
  KDF_HKDF_SHA256,
  AEAD_ChaCha20Poly1305,
);

/** The use that a sealed password is bound to. */
export interface Use {
  readonly gateway: GatewayId;
  /** The address of the probe, letter by letter. */
  readonly address: string;
  /** The camera whose address or password is changed, if one is. */
  readonly camera?: CameraId | undefined;
  readonly allowsText: boolean;
}

/** The sealing key is not of the gateway that was asked: somebody in between has changed it. */
export class WrongKey extends Error {}

/** Seals a login for one use. Throws `WrongKey` if the key is not the gateway's. */
export async function seal(key: SealingKeyResult, use: Use, login: Login): Promise<Sealed> {
  const plaintext = utf8(JSON.stringify({ user: login.user, password: login.password }));
  return sealFor(key, use.gateway, sealInfo(key.nonce, use), plaintext);
}

/** Seals a file of another program. Throws `WrongKey` if the key is not the gateway's. */
export async function sealFile(
  key: SealingKeyResult,
  gateway: GatewayId,
  file: Uint8Array,
): Promise<Sealed> {
  return sealFor(key, gateway, fileInfo(gateway, key.nonce), file);
}

async function sealFor(
  key: SealingKeyResult,
  gateway: GatewayId,
  use: string,
  plaintext: Uint8Array,
): Promise<Sealed> {
  const publicKey = await SUITE.DeserializePublicKey(checkedKey(key, gateway));
  const info = utf8(use);
  const { encapsulatedSecret, ciphertext } = await SUITE.Seal(publicKey, plaintext, { info });
  return {
    nonce: key.nonce,
    enc: toBase64Url(encapsulatedSecret),
    ciphertext: toBase64Url(ciphertext),
  };
}

/** Returns the sealing key, if the gateway whose id was asked for has signed it. */
function checkedKey(key: SealingKeyResult, gateway: GatewayId): Uint8Array {
  const publicKey = fromBase64Url(key.publicKey);
  const signature = fromBase64Url(key.signature);
  const sealingKey = fromBase64Url(key.sealingKey);
  const isGateways = publicKey?.length === 32 && gatewayId(publicKey) === gateway;
  if (!isGateways || signature?.length !== 64 || sealingKey?.length !== 32) throw new WrongKey();
  const message = utf8(sealingKeyMessage(gateway, key.nonce, key.sealingKey));
  // As RFC 8032 has it: no key or signature of small order, which would fit any message.
  if (!ed25519.verify(signature, message, publicKey, { zip215: false })) throw new WrongKey();
  return sealingKey;
}

/** Returns the message that a gateway signs when it hands out a sealing key. */
export function sealingKeyMessage(gateway: GatewayId, nonce: string, sealingKey: string): string {
  return `porthole-sealing-key-v1\n${gateway}\n${nonce}\n${sealingKey}`;
}

/** Returns the `info` of HPKE (RFC 9180 §5.1): what the password may be used for. */
export function sealInfo(nonce: string, { gateway, camera, address, allowsText }: Use): string {
  const action = allowsText ? 'probe-text' : 'probe';
  return `porthole-seal-v1\n${gateway}\n${nonce}\n${action}\n${camera ?? '-'}\n${address}`;
}

/** Returns the `info` of HPKE for a file, which can be used for nothing else. */
export function fileInfo(gateway: GatewayId, nonce: string): string {
  return `porthole-seal-v1\n${gateway}\n${nonce}\nconfiguration`;
}

/** Returns the id of the gateway with an Ed25519 key: `gw-` and 80 bits of its hash. */
export function gatewayId(publicKey: Uint8Array): GatewayId {
  const ID_HASH_BYTES = 10;
  const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';
  let [id, bits, count] = ['gw-', 0, 0];
  for (const byte of sha256(publicKey).subarray(0, ID_HASH_BYTES)) {
    bits = ((bits << 8) | byte) & 0xffff;
    count += 8;
    for (; count >= 5; count -= 5) id += BASE32.charAt((bits >> (count - 5)) & 31);
  }
  return id;
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function toBase64Url(bytes: Uint8Array): string {
  const binary = Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

/** Decodes base64url without padding. Returns `null` for anything else. */
export function fromBase64Url(text: string): Uint8Array | null {
  if (!/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) return null;
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}
