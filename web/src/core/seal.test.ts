import { ed25519 } from '@noble/curves/ed25519.js';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { SealingKeyResult } from '../protocol';
import { fileInfo, fromBase64Url, gatewayId, seal, sealFile, sealInfo } from './seal';
import { sealingKeyMessage, SUITE, toBase64Url, WrongKey, type Use } from './seal';

const hex = (text: string) => Uint8Array.from(text.match(/../g) ?? [], (two) => parseInt(two, 16));
const utf8 = (text: string) => new TextEncoder().encode(text);

/** RFC 9180 A.2.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305, base mode. */
const VECTOR = {
  info: hex('4f6465206f6e2061204772656369616e2055726e'),
  ikmE: hex('909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b'),
  ikmR: hex('1ac01f181fdf9f352797655161c58b75c656a6cc2716dcb66372da835542e1df'),
  pkRm: hex('4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a'),
  skRm: hex('8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb'),
  enc: hex('1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a'),
  pt: hex('4265617574792069732074727574682c20747275746820626561757479'),
  aad: hex('436f756e742d30'),
  ct: hex(
    '1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28',
  ),
};

describe('the cipher suite agrees with RFC 9180 A.2.1', () => {
  afterEach(() => vi.restoreAllMocks());

  test('it derives the keys of the recipient', async () => {
    const { publicKey } = await SUITE.DeriveKeyPair(VECTOR.ikmR, true);
    expect(await SUITE.SerializePublicKey(publicKey)).toEqual(VECTOR.pkRm);
  });

  test('it opens the ciphertext', async () => {
    const { enc, ct, aad, info, skRm } = VECTOR;
    const key = await SUITE.DeserializePrivateKey(skRm, false);
    expect(await SUITE.Open(key, enc, ct, { aad, info })).toEqual(VECTOR.pt);
  });

  test('it seals to the ciphertext', async () => {
    const real = crypto.getRandomValues.bind(crypto);
    let calls = 0;
    vi.spyOn(crypto, 'getRandomValues').mockImplementation((array) => {
      // The first random bytes become the key of the sender; later ones only blind computations.
      if (calls++ > 0) return real(array);
      expect(array?.byteLength).toBe(32);
      new Uint8Array((array as Uint8Array).buffer).set(VECTOR.ikmE);
      return array;
    });
    const { aad, info, pt, pkRm } = VECTOR;
    const key = await SUITE.DeserializePublicKey(pkRm);
    const sealed = await SUITE.Seal(key, pt, { aad, info });
    expect(sealed.encapsulatedSecret).toEqual(VECTOR.enc);
    expect(sealed.ciphertext).toEqual(VECTOR.ct);
  });
});

test.each([
  [new Uint8Array(32), 'gw-mzuhvlpymk6xo3ep'],
  [new Uint8Array(32).fill(1), 'gw-olgw5bbcyqd7w3ij'],
])('the id of a gateway is the hash of its key', (key, id) => {
  expect(gatewayId(key)).toBe(id);
});

test.each([
  ['', []],
  ['AA', [0]],
  ['-_8', [0xfb, 0xff]],
  ['A', null],
  ['AA==', null],
  ['+/8', null],
  ['Ä', null],
] as const)('base64url "%s" becomes %s', (text, bytes) => {
  const decoded = fromBase64Url(text);
  expect(decoded === null ? null : [...decoded]).toEqual(bytes);
  if (decoded !== null) expect(toBase64Url(decoded)).toBe(text);
});

/** A gateway that hands out its sealing key. */
async function gateway(nonce = 'nonce-1') {
  const secret = new Uint8Array(32).fill(7);
  const publicKey = ed25519.getPublicKey(secret);
  const id = gatewayId(publicKey);
  const pair = await SUITE.GenerateKeyPair(true);
  const sealingKey = toBase64Url(await SUITE.SerializePublicKey(pair.publicKey));
  const message = utf8(sealingKeyMessage(id, nonce, sealingKey));
  const key: SealingKeyResult = {
    publicKey: toBase64Url(publicKey),
    sealingKey,
    nonce,
    signature: toBase64Url(ed25519.sign(message, secret)),
  };
  return { id, pair, key };
}

const LOGIN = { user: 'admin', password: 'pässwörd "1"' };

test.each([
  [undefined, false, 'porthole-seal-v1\nGW\nnonce-1\nprobe\n-\n192.168.1.20'],
  ['door', true, 'porthole-seal-v1\nGW\nnonce-1\nprobe-text\ndoor\n192.168.1.20'],
] as const)('a login for camera %s, text allowed: %s, opens only for it', async (...row) => {
  const [camera, allowsText, expected] = row;
  const { id, pair, key } = await gateway();
  const use: Use = { gateway: id, address: '192.168.1.20', camera, allowsText };
  const info = sealInfo(key.nonce, use);
  expect(info).toBe(expected.replace('GW', id));

  const sealed = await seal(key, use, LOGIN);
  expect(sealed.nonce).toBe('nonce-1');
  expect(JSON.stringify(sealed)).not.toContain(LOGIN.user);
  const open = async (text: string) => {
    const enc = fromBase64Url(sealed.enc) ?? new Uint8Array();
    const ciphertext = fromBase64Url(sealed.ciphertext) ?? new Uint8Array();
    const plain = await SUITE.Open(pair, enc, ciphertext, { info: utf8(text) });
    return JSON.parse(new TextDecoder().decode(plain)) as unknown;
  };
  expect(await open(info)).toEqual(LOGIN);
  for (const other of [info + ' ', info.replace('probe', 'prober'), info.replace('.20', '.21')]) {
    await expect(open(other)).rejects.toThrow();
  }
});

test('a file opens as a file only', async () => {
  const { id, pair, key } = await gateway();
  const file = utf8('streams: {yard: rtsp://ada:secret@10.0.0.1/}');
  const sealed = await sealFile(key, id, file);
  const open = async (info: string) => {
    const enc = fromBase64Url(sealed.enc) ?? new Uint8Array();
    const ciphertext = fromBase64Url(sealed.ciphertext) ?? new Uint8Array();
    return SUITE.Open(pair, enc, ciphertext, { info: utf8(info) });
  };
  expect(fileInfo(id, 'nonce-1')).toBe(`porthole-seal-v1\n${id}\nnonce-1\nconfiguration`);
  expect(await open(fileInfo(id, 'nonce-1'))).toEqual(file);
  const use: Use = { gateway: id, address: '', allowsText: false };
  await expect(open(sealInfo('nonce-1', use))).rejects.toThrow();
  await expect(sealFile(key, 'gw-mzuhvlpymk6xo3ep', file)).rejects.toThrow(WrongKey);
});

type Change = (key: SealingKeyResult, other: SealingKeyResult) => Partial<SealingKeyResult>;

test.each<[string, Change]>([
  ['the sealing key is of somebody else', (_, other) => ({ sealingKey: other.sealingKey })],
  ['the nonce is not the one that was signed', () => ({ nonce: 'nonce-2' })],
  ['the signature is another one', (_, other) => ({ signature: other.signature })],
  ['the signature is no signature', () => ({ signature: 'AAAA' })],
  ['the identity is another one', () => ({ publicKey: toBase64Url(new Uint8Array(32)) })],
  ['the identity is no key', () => ({ publicKey: '!' })],
  ['the sealing key is too short', () => ({ sealingKey: 'AAAA' })],
])('nothing is sealed if %s', async (_, change) => {
  const { id, key } = await gateway();
  const { key: other } = await gateway('nonce-3');
  const use: Use = { gateway: id, address: '192.168.1.20', allowsText: false };
  await expect(seal({ ...key, ...change(key, other) }, use, LOGIN)).rejects.toThrow(WrongKey);
});

test('nothing is sealed to the key of another gateway', async () => {
  const { key } = await gateway();
  const use: Use = { gateway: 'gw-mzuhvlpymk6xo3ep', address: 'a', allowsText: false };
  await expect(seal(key, use, LOGIN)).rejects.toThrow(WrongKey);
});

test('sealing works without a secure context', async () => {
  const { id, key } = await gateway();
  const { getRandomValues } = crypto;
  vi.stubGlobal('crypto', { getRandomValues: getRandomValues.bind(crypto) });
  try {
    const sealed = await seal(key, { gateway: id, address: 'a', allowsText: false }, LOGIN);
    expect(sealed.enc).toHaveLength(43);
  } finally {
    vi.unstubAllGlobals();
  }
});
