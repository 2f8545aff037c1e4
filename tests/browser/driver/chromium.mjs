// Chromium for every script in this folder. Arguments are one JSON object, results are JSON lines
// on standard output, and an error is one line `{"event":"error",…}` with exit status 1.

import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-quic',
  '--no-first-run',
  '--autoplay-policy=no-user-gesture-required',
];

const INIT_SCRIPTS = ['stats.js', 'clock.js', 'wall.js', 'mover.js', 'sound.js', 'first.js'];

export const DEFAULT_TIMEOUT_MS = 15_000;
const SETTLED_MS = 1_000;
// Some garbage is found only once other garbage is gone.
const COLLECTIONS = 2;

const PHONE = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  hasTouch: true,
  isMobile: true,
};

export function emit(event, fields = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
}

// Calls `main(page, args)` with a page that records every RTCPeerConnection.
// `args.secureOrigin`: an http origin that is treated as a secure context.
// `args.trustedKey`: the SHA-256 of a public key whose certificates are accepted, also by TURN.
// `args.log`: the file of Chromium's own log.
// `args.viewport`, `args.colorScheme`, `args.locale`: as in Playwright; `args.phone`: a screen to
// touch, 390 points wide.
export async function run(main) {
  let browser;
  try {
    const args = JSON.parse(process.argv[2] ?? '{}');
    const trusted = args.secureOrigin
      ? [`--unsafely-treat-insecure-origin-as-secure=${args.secureOrigin}`]
      : [];
    if (args.trustedKey) trusted.push(`--ignore-certificate-errors-spki-list=${args.trustedKey}`);
    const logging = args.log ? ['--enable-logging', `--log-file=${args.log}`] : [];
    browser = await chromium.launch({
      executablePath: process.env.PORTHOLE_CHROMIUM ?? '/usr/bin/chromium',
      args: [...FLAGS, ...trusted, ...logging],
    });
    const page = await openPage(browser, args);
    emit('launched', { version: browser.version() });
    await main(page, args);
    emit('done');
  } catch (error) {
    emit('error', { message: String(error?.message ?? error) });
    process.exitCode = 1;
  } finally {
    await browser?.close();
  }
}

// Opens a page with cookies of its own, as another browser has them.
export async function openPage(browser, args) {
  const context = await browser.newContext({
    ...(args.phone ? PHONE : { viewport: args.viewport ?? { width: 1280, height: 800 } }),
    colorScheme: args.colorScheme ?? 'light',
    locale: args.locale ?? 'en-GB',
  });
  for (const name of INIT_SCRIPTS) await context.addInitScript(script(name));
  const page = await context.newPage();
  page.on('console', (message) => emit('console', { text: message.text() }));
  page.on('pageerror', (error) => emit('page-error', { text: String(error) }));
  return page;
}

// Returns the text of a file that runs inside the page.
export function script(name) {
  return readFileSync(new URL(`page/${name}`, import.meta.url), 'utf8');
}

// Opens a page of this folder on localhost, a secure context that may reach any address.
export async function openLocal(page, name) {
  const html = script(name);
  const server = createServer((_, response) => {
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    response.end(html);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  server.unref();
  await page.goto(`http://localhost:${server.address().port}/`);
}

// Reports `getStats` of the newest connection once a second, and `{"event":"playing"}` with the
// first decoded frame. Ends `seconds` after that frame, or never if `seconds` is 0. Fails if there
// is no frame within `timeoutMs`.
export async function watch(page, seconds, timeoutMs = Infinity) {
  const start = Date.now();
  let playing;
  for (;;) {
    const stats = await page.evaluate(() => window.portholeTest.sample());
    if (stats) {
      if (playing === undefined && stats.framesDecoded > 0) {
        playing = Date.now();
        emit('playing', { afterMs: playing - start });
      }
      emit('stats', { atMs: Date.now() - start, ...stats });
    }
    if (playing === undefined && Date.now() - start > timeoutMs) throw new Error('no video');
    if (seconds > 0 && playing !== undefined && Date.now() - playing >= seconds * 1000) {
      return;
    }
    await page.waitForTimeout(playing === undefined ? 100 : 1000);
  }
}

// Prints what the page keeps in memory once its garbage is collected: its JavaScript and DOM, and
// how many connections it has.
export async function memory(page) {
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');
  for (let time = 0; time < COLLECTIONS; time += 1) {
    await session.send('HeapProfiler.collectGarbage');
    await page.waitForTimeout(SETTLED_MS);
  }
  const { metrics } = await session.send('Performance.getMetrics');
  await session.detach();
  const values = Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
  emit('memory', {
    heap: values.JSHeapUsedSize,
    nodes: values.Nodes,
    listeners: values.JSEventListeners,
    connections: values.RTCPeerConnections,
  });
  // Whoever reads this measures Chromium's processes now.
  await page.waitForTimeout(SETTLED_MS);
}

// Prints the frames that each video of the page shows in a second, once `playing` of them play.
export async function rates(page, { rates: seconds, playing = 1, timeoutMs = DEFAULT_TIMEOUT_MS }) {
  const measure = (time) => page.evaluate((s) => window.portholeTest.rates(s), time);
  const end = Date.now() + timeoutMs;
  for (;;) {
    const now = (await measure(1)).filter((video) => video.framesPerSecond > 0).length;
    if (now >= playing) break;
    if (Date.now() > end) throw new Error(`${now} videos play, not ${playing}`);
  }
  emit('rates', { videos: await measure(seconds) });
}

// Measures by how much `count` beeps are later than the picture; see page/sound.js.
export async function beeps(page, count) {
  emit('beeps', await page.evaluate((wanted) => window.portholeTest.beeps(wanted), count));
}

// Measures the delay of `frames` frames from the clock in the picture; see page/clock.js.
export async function delay(page, frames) {
  emit('delay', await page.evaluate((count) => window.portholeTest.delay(count), frames));
}
