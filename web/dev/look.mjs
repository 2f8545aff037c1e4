// Walks through the dashboard in Chromium against the mock, breaks things on the way, and fails
// when the dashboard does not recover. Leaves screenshots in dev/shots.
import { mkdirSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { startMock } from './mock.mjs';

const SHOTS = new URL('./shots/', import.meta.url).pathname;
mkdirSync(SHOTS, { recursive: true });
const SIZES = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 800 } };

const mock = startMock({ port: 8091, expirySeconds: 40 });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-sync'],
});
const device = await (await browser.newContext()).newPage();
await device.goto(`${mock.url}/mock/device`);

const context = await browser.newContext({ viewport: SIZES.desktop });
const page = await context.newPage();
const complaints = [];
page.on('console', (m) => ['error', 'warning'].includes(m.type()) && complaints.push(m.text()));
page.on('pageerror', (e) => complaints.push(String(e)));

async function shoot(name) {
  for (const [size, viewport] of Object.entries(SIZES)) {
    for (const colorScheme of ['light', 'dark']) {
      await page.setViewportSize(viewport);
      await page.emulateMedia({ colorScheme });
      await page.waitForTimeout(200);
      await page.screenshot({ path: `${SHOTS}${name}-${size}-${colorScheme}.png` });
    }
  }
  await page.setViewportSize(SIZES.desktop);
}

const state = () => page.locator('[data-testid=state]').getAttribute('data-state');
async function until(what, wanted, timeout = 15_000) {
  const start = Date.now();
  for (;;) {
    const is = await what();
    if (is === wanted) return Date.now() - start;
    if (Date.now() - start > timeout) throw new Error(`still ${is}, not ${wanted}`);
    await page.waitForTimeout(50);
  }
}
async function step(name, run) {
  const said = await run();
  console.log(`ok  ${name}${typeof said === 'number' ? ` (${said} ms)` : ''}`);
}
const frames = () =>
  page.evaluate(() => document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames);
async function moves() {
  const before = await frames();
  await page.waitForTimeout(1000);
  if ((await frames()) <= before) throw new Error('the picture does not move');
}

const EXTRA = [
  {
    id: 'gate',
    name: 'Garden gate',
    state: 'failed',
    reason: 'the camera at 192.168.1.31 refused the password',
    viewers: 0,
  },
  { id: 'porch', name: 'Porch', state: 'connecting', viewers: 1 },
  {
    id: 'yard',
    name: 'Yard, seen from the workshop',
    state: 'live',
    codec: 'H265',
    width: 2560,
    height: 1440,
    viewers: 3,
  },
];

try {
  await step('a stranger comes to the sign-in page', async () => {
    await page.goto(`${mock.url}/`);
    await page.getByRole('button', { name: 'Sign in' }).waitFor();
    await shoot('sign-in');
  });
  await step('a wrong password is refused in words', async () => {
    await page.getByLabel('User name').fill('nobody');
    await page.getByLabel('Password', { exact: true }).fill('wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('The name or the password is wrong.').waitFor();
  });
  await step('the setup link makes an account', async () => {
    await page.goto(`${mock.url}/setup#t=${mock.setupToken}`);
    await page.getByLabel('User name').fill('ada');
    await page.getByLabel('Password', { exact: true }).fill('short');
    await page.getByRole('button', { name: 'Create the account' }).click();
    await page.getByText('A password has at least').waitFor();
    await shoot('setup');
    await page.getByLabel('Password', { exact: true }).fill('correct horse');
    await page.getByRole('button', { name: 'Create the account' }).click();
    await page.getByRole('heading', { name: 'Cameras' }).waitFor();
  });
  await step('the list shows each state', async () => {
    await device.evaluate((more) => ((window.more = more), window.device.report()), EXTRA);
    await page.getByRole('link', { name: 'Garden gate', exact: true }).waitFor();
    await shoot('cameras');
  });
  await step('an empty list says what to do', async () => {
    mock.setCameras([]);
    await page.getByText('No cameras yet').waitFor();
    await shoot('empty');
    await page.getByRole('button', { name: 'Add a gateway' }).click();
    await page.getByText('mossy-otter-4821').waitFor();
    await shoot('claim');
    await device.evaluate(() => window.device.report());
  });
  await step('a click plays', async () => {
    await page.getByRole('link', { name: 'Harbour', exact: true }).click();
    const took = await until(state, 'playing');
    await moves();
    return took;
  });
  await step('the path is named', async () => {
    await page.getByTestId('path').waitFor();
    const path = await page.getByTestId('path').innerText();
    if (path !== 'Direct in the LAN') throw new Error(path);
    await page.waitForTimeout(3000);
    await page.getByText('Details').click();
    await shoot('playing');
  });
  await step('an ICE restart does not disturb', async () => {
    await device.evaluate(() => window.device.restartIce());
    await page.waitForTimeout(1000);
    await moves();
    if ((await device.evaluate(() => window.device.sessions())).length !== 1)
      throw new Error('reconnected');
  });
  await step('media survives the loss of the server', async () => {
    mock.pause();
    await page.waitForTimeout(4000);
    await moves();
    if ((await state()) !== 'playing') throw new Error(await state());
    await shoot('server-lost');
    await mock.resume();
    await until(() => page.getByTestId('server').innerText(), '');
    await moves();
  });
  await step('a session that the server forgot is replaced without a gap', async () => {
    mock.setForgetful(true);
    const [before] = await device.evaluate(() => window.device.sessions());
    let last = await frames();
    let gap = 0;
    for (let i = 0; i < 200; i++) {
      await page.waitForTimeout(250);
      const now = await frames();
      gap = now === last ? gap + 1 : 0;
      if (gap > 4) throw new Error('a gap of more than a second');
      last = now;
      if ((await state()) !== 'playing') throw new Error(await state());
      const sessions = await device.evaluate(() => window.device.sessions());
      if (sessions.length === 1 && sessions[0] !== before) break;
      if (i === 199) throw new Error('not replaced');
    }
    mock.setForgetful(false);
  });
  await step('a frozen camera is told of, and comes back', async () => {
    await device.evaluate(() => {
      window.device.freeze(true);
      window.device.setState({ force: true, state: 'connecting', reason: undefined });
    });
    await until(state, 'interrupted');
    await shoot('interrupted');
    await device.evaluate(() => {
      window.device.freeze(false);
      window.device.setState({ state: 'live' });
    });
    return until(state, 'playing');
  });
  await step('a gateway that vanishes is found again', async () => {
    await device.evaluate(() => window.device.vanish());
    await until(async () => (await state()) === 'playing', false, 20_000);
    return until(state, 'playing', 20_000);
  });
  await step('a session ended by the gateway begins anew', async () => {
    await device.evaluate(() => window.device.closeAll());
    await page.waitForTimeout(200);
    const took = await until(state, 'playing');
    await moves();
    return took;
  });
  await step('an offline camera says so and starts by itself', async () => {
    await device.goto('about:blank');
    await until(state, 'failed', 30_000);
    await page.getByText('The camera is offline').waitFor();
    await shoot('offline');
    await device.goto(`${mock.url}/mock/device`);
    return until(state, 'playing', 20_000);
  });
  await step('the tile shows what was seen last', async () => {
    await page.waitForTimeout(1500);
    await page.getByRole('link', { name: 'Cameras' }).click();
    await page.getByRole('heading', { name: 'Cameras' }).waitFor();
    await page.waitForTimeout(500);
    await shoot('glimpse');
  });
  await step('an unknown page is one', async () => {
    await page.goto(`${mock.url}/nowhere`);
    await page.getByText('Nothing to see here').waitFor();
    await shoot('not-found');
  });
  await step('the keyboard opens the menu and signs out', async () => {
    await page.getByRole('button', { name: 'Account of ada' }).focus();
    await page.keyboard.press('Enter');
    await shoot('menu');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Sign in' }).waitFor();
  });
  const grave = complaints.filter(
    (c) => !/status of 40[13]|ERR_CONNECTION|WebSocket connection/.test(c),
  );
  if (grave.length > 0) throw new Error(`the console complains:\n${grave.join('\n')}`);
} catch (error) {
  console.error(error, complaints.slice(-5));
  await page.screenshot({ path: `${SHOTS}failed.png` }).catch(() => {});
  console.error(error, complaints.slice(-5));
  process.exitCode = 1;
} finally {
  await browser.close();
  mock.stop();
}
