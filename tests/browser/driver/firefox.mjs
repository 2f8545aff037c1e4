// Plays in Firefox, driven over its own remote protocol, Marionette.
//
// Arguments: url, pictures, and steps to take before there is a picture: { fill: label, value } and
// { click: name } of a button or link; or listen, the options of a player with sound in the page
// (`play` of page/whep.html), which waits until it is heard. Prints {"event":"playing"} with the
// size of the picture once that many different ones have been seen, and with `srtpCipher` of each
// connection that was made after the first step.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

// For a loaded machine; all of it takes a few seconds on an idle one.
const START_MS = 60_000;
const STEP_MS = 45_000;
const POLL_MS = 200;

const PREFERENCES = {
  'marionette.port': 0,
  'media.autoplay.default': 0,
  'media.peerconnection.ice.loopback': true,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'app.update.enabled': false,
  'browser.shell.checkDefaultBrowser': false,
};

// Returns the size of the page's video, and the picture that it shows, made small. Without a screen
// Firefox counts no frames as shown.
const SAMPLE = `
  const video = document.querySelector('video');
  if (!video?.videoWidth) return null;
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [32, 24];
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0, canvas.width, canvas.height);
  const picture = context.getImageData(0, 0, canvas.width, canvas.height).data.join();
  return { picture, width: video.videoWidth, height: video.videoHeight };
`;

// Records the connections that the page makes from now on.
const RECORD = `
  const Native = window.RTCPeerConnection;
  window.portholeConnections = [];
  window.RTCPeerConnection = class extends Native {
    constructor(...args) {
      super(...args);
      window.portholeConnections.push(this);
    }
  };
`;

// Returns what has been heard of the recorded connections, once it is loud enough.
const HEARD = `
  const done = arguments[arguments.length - 1];
  Promise.all(window.portholeConnections.map((each) => each.getStats())).then((all) => {
    const entries = all.flatMap((stats) => [...stats.values()]);
    const sound = entries.find((entry) => entry.type === 'inbound-rtp' && entry.kind === 'audio');
    const { packetsReceived = 0, audioLevel = 0, totalAudioEnergy = 0 } = sound ?? {};
    const codec = entries.find((entry) => entry.id === sound?.codecId)?.mimeType;
    done(audioLevel > 0.1 && { packetsReceived, audioLevel, totalAudioEnergy, codec });
  });
`;

// Returns `srtpCipher` of each recorded connection that has one.
const CIPHERS = `
  const done = arguments[arguments.length - 1];
  const connections = [...(window.portholeConnections ?? [])];
  Promise.all(connections.map((each) => each.getStats())).then(
    (all) => {
      const entries = all.flatMap((stats) => [...stats.values()]);
      done(entries.map((entry) => entry.srtpCipher).filter(Boolean));
    },
    (error) => done([String(error)]),
  );
`;

// Fills a field by its label, or clicks a button or link by its name; returns false until there is
// one.
const ACT = `
  const [step] = arguments;
  const has = (name) => (element) => element.textContent.includes(name);
  if (step.fill !== undefined) {
    const label = [...document.querySelectorAll('label')].find(has(step.fill));
    const field = document.getElementById(label?.htmlFor);
    if (!field) return false;
    field.value = step.value;
    field.dispatchEvent(new Event('input', { bubbles: true }));
    return true;
  }
  const target = [...document.querySelectorAll('button, a')].find(has(step.click));
  target?.click();
  return target !== undefined;
`;

function emit(event, fields = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
}

async function until(what, limitMs, poll) {
  const end = Date.now() + limitMs;
  for (;;) {
    const value = await poll();
    if (value) return value;
    if (Date.now() > end) throw new Error(`timed out: ${what}`);
    await sleep(POLL_MS);
  }
}

// A connection to Marionette: messages are JSON behind their length in bytes and a colon.
class Marionette {
  #socket;
  #received = Buffer.alloc(0);
  #waiting = new Map();
  #last = 0;

  static async open(port) {
    const marionette = new Marionette();
    marionette.#socket = connect(port, '127.0.0.1');
    await new Promise((resolve, reject) => {
      marionette.#socket.once('connect', resolve);
      marionette.#socket.once('error', reject);
    });
    marionette.#socket.on('data', (bytes) => marionette.#receive(bytes));
    return marionette;
  }

  send(name, parameters = {}) {
    this.#last += 1;
    const text = JSON.stringify([0, this.#last, name, parameters]);
    this.#socket.write(`${Buffer.byteLength(text)}:${text}`);
    return new Promise((resolve, reject) => this.#waiting.set(this.#last, { resolve, reject }));
  }

  #receive(bytes) {
    this.#received = Buffer.concat([this.#received, bytes]);
    for (;;) {
      const colon = this.#received.indexOf(':');
      const end = colon + 1 + Number(this.#received.subarray(0, colon));
      if (colon < 0 || this.#received.length < end) return;
      const message = JSON.parse(this.#received.subarray(colon + 1, end));
      this.#received = this.#received.subarray(end);
      // The first message is a greeting.
      if (!Array.isArray(message)) continue;
      const [, id, error, result] = message;
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) reject(new Error(`${error.error}: ${error.message}`));
      else resolve(result?.value !== undefined ? result.value : result);
    }
  }
}

const { url, pictures, steps = [], listen } = JSON.parse(process.argv[2]);
const profile = mkdtempSync(join(tmpdir(), 'porthole-firefox-'));
const lines = Object.entries(PREFERENCES).map(
  ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`,
);
writeFileSync(join(profile, 'user.js'), lines.join('\n'));
const flags = ['--headless', '--marionette', '--no-remote', '--profile', profile];
const firefox = spawn('firefox-esr', flags, { stdio: 'ignore' });
const ended = new Promise((resolve) => firefox.once('exit', resolve));
process.once('SIGTERM', () => firefox.kill());
try {
  const port = await until('Firefox listens', START_MS, () => {
    try {
      return Number(readFileSync(join(profile, 'MarionetteActivePort'), 'utf8'));
    } catch {
      return undefined;
    }
  });
  const marionette = await Marionette.open(port);
  const { capabilities } = await marionette.send('WebDriver:NewSession', {});
  emit('launched', { version: capabilities?.browserVersion });
  await marionette.send('WebDriver:Navigate', { url });
  if (steps.length || listen) {
    await marionette.send('WebDriver:ExecuteScript', { script: RECORD, args: [], sandbox: null });
  }
  if (listen) {
    const script = 'window.play(arguments[0])';
    await marionette.send('WebDriver:ExecuteScript', { script, args: [listen], sandbox: null });
  }
  for (const step of steps) {
    await until(JSON.stringify(step), STEP_MS, () =>
      marionette.send('WebDriver:ExecuteScript', { script: ACT, args: [step] }),
    );
    emit('step', step);
  }
  const seen = new Set();
  const shown = await until(`${pictures} pictures`, STEP_MS, async () => {
    const sample = await marionette.send('WebDriver:ExecuteScript', { script: SAMPLE, args: [] });
    if (!sample) return undefined;
    const { picture, width, height } = sample;
    seen.add(picture);
    return seen.size >= pictures && { pictures: seen.size, width, height };
  });
  const ciphers = { script: CIPHERS, args: [] };
  const srtpCiphers = await marionette.send('WebDriver:ExecuteAsyncScript', ciphers);
  const sound =
    listen &&
    (await until('sound', STEP_MS, () =>
      marionette.send('WebDriver:ExecuteAsyncScript', { script: HEARD, args: [], sandbox: null }),
    ));
  emit('playing', { ...shown, srtpCiphers, sound });
} catch (error) {
  emit('error', { message: String(error?.message ?? error) });
  process.exitCode = 1;
} finally {
  firefox.kill();
  await ended;
  rmSync(profile, { recursive: true, force: true });
}
process.exit();
