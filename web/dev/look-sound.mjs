// Listens to a camera in Chromium, and fails if the picture waits for the sound or if sound comes
// where it must not. Leaves screenshots in dev/shots.
import { startBrowser, step } from './browser.mjs';
import { startMock } from './mock.mjs';

const mock = startMock({ port: 8095 });
const { browser, device, page, consoleErrors, shoot, shots } = await startBrowser(mock);
const UNHEARD = {
  codec: 'G726-32',
  reason: 'the camera sends G.726, which browsers do not play; set its audio to G.711 or AAC',
};
const listen = page.getByTestId('listen');

async function playing() {
  const found = page.locator('[data-testid=state][data-state=playing]');
  await found.waitFor({ state: 'attached', timeout: 20_000 });
  await page.locator('.controls').waitFor({ timeout: 20_000 });
}

/** Fails unless the picture advances within a second. */
async function advances() {
  const frames = () =>
    page.evaluate(() => document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames);
  const before = await frames();
  await page.waitForTimeout(1000);
  const after = await frames();
  if (after - before < 10) throw new Error(`${after - before} frames in a second`);
}

const isMuted = () => page.evaluate(() => document.querySelector('video').muted);
const tracks = () =>
  page.evaluate(() => document.querySelector('video').srcObject.getAudioTracks().length);

async function expect(what, read, expected) {
  let found;
  for (let turn = 0; turn < 100; turn++) {
    found = await read();
    if (found === expected) return;
    await page.waitForTimeout(100);
  }
  throw new Error(`${what}: ${found}, not ${expected}`);
}

/** Returns the highest level that the meter shows within some time. */
async function loudest(ms = 2500) {
  return page.evaluate(async (ms) => {
    let most = 0;
    for (const end = performance.now() + ms; performance.now() < end;) {
      const { transform } = document.querySelector('[data-testid=level]').style;
      most = Math.max(most, Number(/scaleX\((.*)\)/.exec(transform)?.[1] ?? 0));
      await new Promise((done) => setTimeout(done, 40));
    }
    return most;
  }, ms);
}

const setCamera = (changes) =>
  device.evaluate((changes) => window.device.setState(changes), changes);

try {
  await device.mouse.click(5, 5);
  await device.evaluate(() => window.device.setSound('beeps'));
  await setCamera({ sound: { codec: 'PCMA' } });
  await step('a tile of the wall has no sound', async () => {
    await page.goto(`${mock.url}/setup#t=${mock.setupToken}`);
    await page.getByLabel('Username').fill('ada');
    await page.getByLabel('Password', { exact: true }).fill('correct horse');
    await page.getByRole('button', { name: 'Create account' }).click();
    await page.waitForFunction(() => document.querySelector('video')?.readyState >= 2);
    await expect('tracks', tracks, 0);
  });
  await step('a camera with sound starts muted, with a button', async () => {
    await page.keyboard.press('1');
    await playing();
    await expect('tracks', tracks, 1);
    await expect('muted', isMuted, true);
    await expect('pressed', () => listen.getAttribute('aria-pressed'), 'false');
    await page.waitForTimeout(2000);
    await page.mouse.move(400, 300);
    await shoot('sound-off');
  });
  await step('the button turns the sound on, and its meter moves', async () => {
    await page.getByRole('button', { name: 'Listen' }).click();
    await expect('muted', isMuted, false);
    const level = await loudest();
    if (level < 0.3) throw new Error(`the meter shows ${level}`);
    await page.getByTestId('sound').filter({ hasText: 'kbit/s' }).waitFor();
    await advances();
    await page.mouse.move(410, 310);
    await shoot('sound-on');
  });
  await step('the key M turns it off and on', async () => {
    await page.keyboard.press('m');
    await expect('muted', isMuted, true);
    await expect('meters', () => page.getByTestId('level').count(), 0);
    await page.keyboard.press('M');
    await expect('muted', isMuted, false);
  });
  await step('a page that nobody has touched plays without the sound', async () => {
    const untouched = await page.context().newPage();
    // Playwright touches a page whenever it asks it something: this one looks at itself.
    await untouched.addInitScript(() => {
      const look = () => {
        const video = document.querySelector('video');
        if (!(video?.currentTime > 1)) return setTimeout(look, 50);
        const { ariaPressed } = document.querySelector('[data-testid=listen]');
        window.seen = [navigator.userActivation.hasBeenActive, video.muted, ariaPressed];
      };
      look();
    });
    await untouched.goto(page.url());
    await new Promise((done) => setTimeout(done, 6000));
    const seen = JSON.stringify(await untouched.evaluate(() => window.seen));
    if (seen !== '[false,true,"false"]') throw new Error(seen);
    await untouched.close();
  });
  await step('one that was opened with a click has the sound at once', async () => {
    await page.getByRole('link', { name: 'Cameras' }).click();
    await page.getByRole('link', { name: 'Harbour' }).click();
    await playing();
    await expect('muted', isMuted, false);
    await advances();
    await page.keyboard.press('m');
    await page.reload();
    await playing();
    await expect('muted', isMuted, true);
  });
  await step('sound that cannot be heard has a reason', async () => {
    await setCamera({ sound: UNHEARD });
    await expect('disabled', () => listen.getAttribute('aria-disabled'), 'true');
    await page.keyboard.press('m');
    await page.locator('.said').filter({ hasText: 'The camera sends G.726' }).waitFor();
    await expect('muted', isMuted, true);
    await page.mouse.move(400, 320);
    await shoot('sound-unheard');
    await page.getByTestId('sound-reason').waitFor();
  });
  await step('sound that comes later is heard without losing the picture', async () => {
    await page.reload();
    await playing();
    await expect('tracks', tracks, 0);
    await setCamera({ sound: { codec: 'OPUS' } });
    await expect('disabled', () => listen.getAttribute('aria-disabled'), 'false');
    await page.keyboard.press('m');
    await expect('tracks', tracks, 1);
    await playing();
    await expect('muted', isMuted, false);
    const level = await loudest();
    if (level < 0.3) throw new Error(`the meter shows ${level}`);
    await page.keyboard.press('m');
  });
  await step('a section without packets costs no frame', async () => {
    await device.evaluate(() => window.device.setSound('silent'));
    const start = Date.now();
    await page.reload();
    await page.waitForFunction(() => document.querySelector('video')?.readyState >= 2);
    const took = Date.now() - start;
    await playing();
    await expect('tracks', tracks, 1);
    await advances();
    await page.keyboard.press('m');
    await expect('muted', isMuted, false);
    for (let second = 0; second < 5; second++) await advances();
    const level = await loudest(500);
    if (level > 0) throw new Error(`the meter shows ${level}`);
    await page.keyboard.press('m');
    return took;
  });
  await step('full screen keeps the sound, and the float too', async () => {
    await device.evaluate(() => window.device.setSound('beeps'));
    await page.reload();
    await playing();
    await page.keyboard.press('m');
    await page.keyboard.press('f');
    await page.waitForTimeout(500);
    await expect('muted', isMuted, false);
    await advances();
    await page.screenshot({ path: `${shots}sound-full-screen.png` });
    await page.keyboard.press('f');
    await page.keyboard.press('p');
    await page.waitForTimeout(500);
    await expect('muted', isMuted, false);
    await page.keyboard.press('p');
    await page.keyboard.press('m');
  });
  await step('those who may only watch have no button and no sound', async () => {
    await setCamera({ permissions: ['watch'] });
    await page.reload();
    await playing();
    await expect('tracks', tracks, 0);
    await expect('buttons', () => listen.count(), 0);
  });
  await step('a camera without sound has no button', async () => {
    await device.evaluate(() => window.device.setSound('none'));
    await setCamera({ permissions: ['watch', 'listen'], sound: undefined });
    await page.reload();
    await playing();
    await expect('tracks', tracks, 0);
    await expect('buttons', () => listen.count(), 0);
    await page.keyboard.press('m');
    await expect('muted', isMuted, true);
  });
  const unexpected = consoleErrors.filter((text) => !/status of 401/.test(text));
  if (unexpected.length > 0) throw new Error(`console errors:\n${unexpected.join('\n')}`);
} catch (error) {
  await page.screenshot({ path: `${shots}failed.png` }).catch(() => {});
  console.error(error, consoleErrors.slice(-5));
  process.exitCode = 1;
} finally {
  await browser.close();
  mock.stop();
}
