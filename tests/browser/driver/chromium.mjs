// Chromium as every script here uses it: arguments are one JSON object, results are JSON lines on
// standard output, an error is one line `{"event":"error",…}` and exit status 1.

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

export function emit(event, fields = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
}

// Calls `main(page, args)` with a page in which every RTCPeerConnection is collected.
// `args.secureOrigin`: an http origin that the page may use WebCrypto in.
// `args.trustedKey`: the SHA-256 of a public key whose certificates are good, TURN's as well.
// `args.log`: a file for what Chromium says about itself.
// `args.viewport`, `args.colorScheme`, `args.locale`: as in Playwright.
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
    const context = await browser.newContext({
      viewport: args.viewport ?? { width: 1280, height: 800 },
      colorScheme: args.colorScheme ?? 'light',
      locale: args.locale ?? 'en-GB',
    });
    await context.addInitScript(script('stats.js'));
    await context.addInitScript(script('clock.js'));
    const page = await context.newPage();
    page.on('console', (message) => emit('console', { text: message.text() }));
    page.on('pageerror', (error) => emit('page-error', { text: String(error) }));
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

// The text of a script that runs inside the page.
export function script(name) {
  return readFileSync(new URL(`page/${name}`, import.meta.url), 'utf8');
}

// Opens a page of ours on localhost, which is a secure context and may reach any address.
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

// Reports `getStats` of the newest connection once a second. `{"event":"playing"}` comes with the
// first decoded frame. Ends `seconds` after it, never if `seconds` is 0; fails if there is no frame
// for `patienceMs`.
export async function watch(page, seconds, patienceMs = Infinity) {
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
    if (playing === undefined && Date.now() - start > patienceMs) throw new Error('no picture');
    if (seconds > 0 && playing !== undefined && Date.now() - playing >= seconds * 1000) {
      return;
    }
    await page.waitForTimeout(playing === undefined ? 100 : 1000);
  }
}

// Reads the clock in the picture of at least `frames` frames; see page/clock.js.
export async function delay(page, frames) {
  emit('delay', await page.evaluate((count) => window.portholeTest.delay(count), frames));
}
