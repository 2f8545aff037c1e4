// Walks through the dashboard in Chromium with the mock server, breaks things on the way, and fails
// if the dashboard does not recover. Leaves screenshots in dev/shots.
import { startBrowser, step } from './browser.mjs';
import { startMock } from './mock.mjs';

const mock = startMock({ port: 8091, expirySeconds: 40 });
const { browser, device, page, consoleErrors, shoot, shots } = await startBrowser(mock);

const state = () => page.locator('[data-testid=state]').getAttribute('data-state');
async function waitUntil(read, expected, timeout = 15_000) {
  const start = Date.now();
  for (;;) {
    const value = await read();
    if (value === expected) return Date.now() - start;
    if (Date.now() - start > timeout) throw new Error(`still ${value}, not ${expected}`);
    await page.waitForTimeout(50);
  }
}
const frames = () =>
  page.evaluate(() => document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames);
async function checkVideoAdvances() {
  const before = await frames();
  await page.waitForTimeout(1000);
  if ((await frames()) <= before) throw new Error('the video does not advance');
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
  await step('without a sign-in the sign-in page opens', async () => {
    await page.goto(`${mock.url}/`);
    await page.getByRole('button', { name: 'Sign in' }).waitFor();
    await shoot('sign-in');
  });
  await step('a wrong password is refused with an explanation', async () => {
    await page.getByLabel('Username').fill('nobody');
    await page.getByLabel('Password', { exact: true }).fill('wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('The name or the password is wrong.').waitFor();
  });
  await step('the setup link creates an account', async () => {
    await page.goto(`${mock.url}/setup#t=${mock.setupToken}`);
    await page.getByLabel('Username').fill('ada');
    await page.getByLabel('Password', { exact: true }).fill('short');
    await page.getByRole('button', { name: 'Create account' }).click();
    await page.getByText('Use at least 10 characters.').waitFor();
    await shoot('setup');
    await page.getByLabel('Password', { exact: true }).fill('correct horse');
    await page.getByRole('button', { name: 'Create account' }).click();
    await page.getByRole('heading', { name: 'Cameras', exact: true }).waitFor();
  });
  await step('the list shows each state', async () => {
    await device.evaluate((more) => ((window.more = more), window.device.report()), EXTRA);
    await page.getByRole('link', { name: 'Garden gate', exact: true }).waitFor();
    await shoot('cameras');
  });
  await step('an empty list says what to do', async () => {
    // The device reports its cameras again when the tiles of the wall have ended.
    const empty = page.getByText('No cameras yet');
    await waitUntil(async () => (mock.setCameras([]), empty.isVisible()), true);
    await shoot('empty');
    await device.evaluate(() => window.device.report());
  });
  await step('a click plays the video', async () => {
    await page.getByRole('link', { name: 'Harbour', exact: true }).click();
    const took = await waitUntil(state, 'playing');
    await checkVideoAdvances();
    return took;
  });
  await step('the path is shown', async () => {
    await page.getByTestId('path').waitFor();
    const path = await page.getByTestId('path').innerText();
    if (path !== 'Local network') throw new Error(path);
    await page.waitForTimeout(3000);
    await page.getByText('Details').click();
    await shoot('playing');
    await page.getByText('Viewers', { exact: true }).scrollIntoViewIfNeeded();
    await shoot('playing-details');
  });
  await step('a slow line and a camera without a low-resolution stream are told', async () => {
    const [session] = await device.evaluate(() => window.device.sessions());
    const show = (shown) =>
      mock.tellClients({ method: 'portholeShown', params: { session, ...shown } });
    show({ picture: 'keyFrames', reason: 'path', kbitPerS: 310 });
    await page.getByTestId('no-sub-stream').waitFor();
    await page.getByTestId('notice').scrollIntoViewIfNeeded();
    await shoot('no-sub-stream');
    show({ picture: 'main' });
    await page.getByTestId('no-sub-stream').waitFor({ state: 'detached' });
  });
  await step('an ICE restart does not disturb', async () => {
    await device.evaluate(() => window.device.restartIce());
    await page.waitForTimeout(1000);
    await checkVideoAdvances();
    if ((await device.evaluate(() => window.device.sessions())).length !== 1)
      throw new Error('reconnected');
  });
  await step('video survives the loss of the server', async () => {
    mock.pause();
    await page.waitForTimeout(4000);
    await checkVideoAdvances();
    if ((await state()) !== 'playing') throw new Error(await state());
    await shoot('server-lost');
    await mock.resume();
    await waitUntil(() => page.getByTestId('server').innerText(), '');
    await checkVideoAdvances();
  });
  await step('a session that the server has lost is replaced without a gap', async () => {
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
  await step('a frozen camera is noticed, and comes back', async () => {
    await device.evaluate(() => {
      window.device.freeze(true);
      window.device.setState({ force: true, state: 'connecting', reason: undefined });
    });
    await waitUntil(state, 'interrupted');
    await shoot('interrupted');
    await device.evaluate(() => {
      window.device.freeze(false);
      window.device.setState({ state: 'live' });
    });
    return waitUntil(state, 'playing');
  });
  await step('a gateway that vanishes is found again', async () => {
    await device.evaluate(() => window.device.vanish());
    await waitUntil(async () => (await state()) === 'playing', false, 20_000);
    return waitUntil(state, 'playing', 20_000);
  });
  await step('a session that the gateway ends is replaced', async () => {
    await device.evaluate(() => window.device.closeAll());
    await page.waitForTimeout(200);
    const took = await waitUntil(state, 'playing');
    await checkVideoAdvances();
    return took;
  });
  await step('an offline camera starts automatically when it is back', async () => {
    await device.goto('about:blank');
    await waitUntil(state, 'failed', 30_000);
    await page.getByText('The camera is offline').waitFor();
    await shoot('offline');
    await device.goto(`${mock.url}/mock/device`);
    return waitUntil(state, 'playing', 20_000);
  });
  await step('the tile shows the last frame', async () => {
    await page.waitForTimeout(1500);
    await page.getByRole('link', { name: 'Cameras' }).click();
    await page.getByRole('heading', { name: 'Cameras' }).waitFor();
    await page.waitForTimeout(500);
    await shoot('thumbnail');
  });
  await step('an unknown address has a page', async () => {
    await page.goto(`${mock.url}/nowhere`);
    await page.getByText('Page not found').waitFor();
    await shoot('not-found');
  });
  await step('the keyboard opens the menu and signs out', async () => {
    await page.getByRole('button', { name: 'Account: ada' }).focus();
    await page.keyboard.press('Enter');
    await shoot('menu');
    await page.getByRole('button', { name: 'Sign out' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Sign in' }).waitFor();
  });
  const unexpected = consoleErrors.filter(
    (c) => !/status of 40[13]|ERR_CONNECTION|WebSocket connection/.test(c),
  );
  if (unexpected.length > 0) throw new Error(`console errors:\n${unexpected.join('\n')}`);
} catch (error) {
  await page.screenshot({ path: `${shots}failed.png` }).catch(() => {});
  console.error(error, consoleErrors.slice(-5));
  process.exitCode = 1;
} finally {
  await browser.close();
  mock.stop();
}
