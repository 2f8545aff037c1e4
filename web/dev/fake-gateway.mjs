// A gateway for the mock server that answers requests about cameras, and opens sealed logins as a
// real one does. What it finds and says is set by whoever starts it.
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import {
  AEAD_ChaCha20Poly1305,
  KDF_HKDF_SHA256,
  KEM_DHKEM_X25519_HKDF_SHA256,
} from '@panva/hpke-noble';
import { CipherSuite } from 'hpke';

const SUITE = new CipherSuite(KEM_DHKEM_X25519_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_ChaCha20Poly1305);
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

function gatewayId(publicKey) {
  const bits = [...createHash('sha256').update(publicKey).digest().subarray(0, 10)]
    .map((byte) => byte.toString(2).padStart(8, '0'))
    .join('');
  return (
    'gw-' +
    bits
      .match(/.{5}/g)
      .map((five) => BASE32[parseInt(five, 2)])
      .join('')
  );
}

export async function fakeGateway(name = 'House') {
  const identity = generateKeyPairSync('ed25519');
  const publicKey = identity.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
  const id = gatewayId(publicKey);
  const pair = await SUITE.GenerateKeyPair(true);
  const sealingKey = Buffer.from(await SUITE.SerializePublicKey(pair.publicKey)).toString(
    'base64url',
  );
  const nonces = new Set();

  const gateway = {
    id,
    name,
    online: true,
    revision: 1,
    cameras: [],
    /** The devices of a search, each after `afterMs`. */
    devices: [],
    searchMs: 400,
    /** What a probe of an address says: a list of progress, and the number of refusals. */
    probes: new Map(),
    /** Faults to answer with, by method. */
    faults: new Map(),
    /** The cameras of the file that is sent next. */
    entries: [],
    /** The files that were sent, opened. */
    files: [],
    /** The logins that were sent, opened. */
    logins: [],
    /** The movements that were asked for. */
    moves: [],
    presets: [],
    /** Called with a camera whose settings were changed. */
    changed: () => {},
    tampers: false,
    /** The answers about the settings of a camera. */
    settings: { check: { plan: '', changes: [], left: [] }, checkMs: 50, apply: { changes: [] } },
  };

  const pieces = new Map();

  async function open(params) {
    const action = params.allowsText ? 'probe-text' : 'probe';
    const camera = params.camera ?? '-';
    const { nonce } = params.login;
    const info = `porthole-seal-v1\n${id}\n${nonce}\n${action}\n${camera}\n${params.address}`;
    return JSON.parse(await openFor(info, params.login));
  }

  async function openFor(info, { nonce, enc, ciphertext }) {
    if (!nonces.delete(nonce)) throw new Error('the nonce is not valid');
    const bytes = (text) => new Uint8Array(Buffer.from(text, 'base64url'));
    const options = { info: new TextEncoder().encode(info) };
    const plain = await SUITE.Open(pair, bytes(enc), bytes(ciphertext), options);
    return new TextDecoder().decode(plain);
  }

  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const handlers = {
    portholeSealingKey() {
      const nonce = randomBytes(16).toString('base64url');
      nonces.add(nonce);
      const message = `porthole-sealing-key-v1\n${id}\n${nonce}\n${sealingKey}`;
      const signature = sign(null, Buffer.from(message), identity.privateKey).toString('base64url');
      const key = gateway.tampers ? randomBytes(32).toString('base64url') : sealingKey;
      return { publicKey: publicKey.toString('base64url'), sealingKey: key, nonce, signature };
    },
    async portholeDiscover(params, progress) {
      for (const { afterMs = 30, ...device } of gateway.devices) {
        await wait(afterMs);
        progress({ cameras: [], ...device });
      }
      await wait(gateway.searchMs);
      return { networks: ['192.168.1.0/24'] };
    },
    async portholeProbe(params, progress) {
      if (params.login) gateway.logins.push(await open(params));
      const script = gateway.probes.get(params.address) ?? [];
      const { steps, refused = 0 } =
        typeof script === 'function' ? script(params) : { steps: script };
      for (const { afterMs = 30, ...step } of steps) {
        await wait(afterMs);
        progress(step);
      }
      return { refused };
    },
    async portholeReadConfiguration({ sealed, piece, pieces: count }, progress) {
      const { nonce } = sealed;
      const ciphertext = (pieces.get(nonce) ?? '') + sealed.ciphertext;
      pieces.set(nonce, ciphertext);
      if (piece + 1 < count) return { leftOut: 0 };
      const info = `porthole-seal-v1\n${id}\n${nonce}\nconfiguration`;
      gateway.files.push(await openFor(info, { ...sealed, ciphertext }));
      for (const entry of gateway.entries) progress(entry);
      return { import: 'file-1', program: 'Frigate', leftOut: 0 };
    },
    portholeStoredCameras: () => ({ revision: gateway.revision, cameras: gateway.cameras }),
    portholeAddCamera({ name }) {
      const camera = name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
      gateway.cameras.push({
        id: camera,
        name,
        origin: 'stored',
        hasPassword: true,
        changedBy: 'ada',
        changedS: 1_795_900_000,
      });
      return { camera, revision: ++gateway.revision };
    },
    portholeChangeCamera({ camera, name, rotation, mirrored, onDemand }) {
      const stored = gateway.cameras.find((one) => one.id === camera);
      const changes = { name, rotation, mirrored, onDemand };
      for (const [key, value] of Object.entries(changes)) {
        if (value !== undefined) stored[key] = value;
      }
      gateway.changed(stored);
      return { camera, revision: ++gateway.revision };
    },
    async portholeCheckSettings() {
      await wait(gateway.settings.checkMs);
      return gateway.settings.check;
    },
    portholeApplySettings({ plan }) {
      if (plan !== gateway.settings.check.plan) throw { code: 409, message: 'another plan' };
      return gateway.settings.apply;
    },
    portholeMove({ camera, pan, tilt, zoom }) {
      gateway.moves.push({ camera, pan, tilt, zoom, at: Date.now() });
      return {};
    },
    portholePresets: () => ({ presets: gateway.presets }),
    portholeGoToPreset({ preset }) {
      gateway.moves.push({ preset });
      return {};
    },
    portholeSavePreset({ name }) {
      const preset = { token: `preset-${gateway.presets.length + 1}`, name };
      gateway.presets.push(preset);
      return preset;
    },
    portholeRemovePreset({ preset }) {
      gateway.presets = gateway.presets.filter(({ token }) => token !== preset);
      return {};
    },
    portholeRemoveCamera({ camera }) {
      gateway.cameras = gateway.cameras.filter((one) => one.id !== camera);
      return { camera, revision: ++gateway.revision };
    },
  };
  const CHANGES = ['portholeAddCamera', 'portholeChangeCamera', 'portholeRemoveCamera'];

  /** Answers a request: returns a result, or throws an object with code and message. */
  gateway.handle = async (method, params, progress) => {
    const fault = gateway.faults.get(method);
    if (fault !== undefined) throw fault;
    if (!gateway.online) throw { code: 410, message: 'the gateway is not connected' };
    if (CHANGES.includes(method) && params.revision !== gateway.revision) {
      throw { code: 409, message: 'the cameras were changed meanwhile' };
    }
    return handlers[method](params, progress);
  };
  return gateway;
}
