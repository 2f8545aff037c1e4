// Looks at the wall and at the page of a camera in Chromium, with cameras in every state, and fails
// if something does not play. Leaves screenshots in dev/shots.
import { startBrowser, step } from './browser.mjs';
import { fakeGateway } from './fake-gateway.mjs';
import { CAMERAS, STORED } from './look-scene.mjs';
import { startMock } from './mock.mjs';

const mock = startMock({ port: 8094 });
const gateway = await fakeGateway('House');
mock.setGateways([gateway]);
const cameras = CAMERAS(gateway);
const { browser, device, page, consoleErrors, shoot, shots } = await startBrowser(mock);

/** Waits until so many tiles have a picture; a busy machine plays fewer and refreshes others. */
const tiles = (count) =>
  page.waitForFunction(
    (wanted) =>
      document.querySelectorAll(
        '[data-testid=camera-state]:is([data-state=live], [data-state=idle])',
      ).length >= wanted,
    count,
    { timeout: 30_000 },
  );

async function state(wanted) {
  const found = page.locator(`[data-testid=state][data-state=${wanted}]`);
  await found.waitFor({ state: 'attached', timeout: 20_000 });
}
gateway.presets = [
  { token: '1', name: 'Gate' },
  { token: '2', name: 'Path to the shed' },
];
gateway.cameras = STORED;
gateway.changed = ({ id, name, rotation, mirrored }) =>
  device.evaluate(
    ([id, changes]) => {
      window.more = window.more.map((one) => (one.id === id ? { ...one, ...changes } : one));
      window.device.report();
    },
    [id, { name, rotation, mirrored }],
  );

try {
  await step('nine cameras play as soon as the page is open', async () => {
    await page.goto(`${mock.url}/setup#t=${mock.setupToken}`);
    await device.evaluate((more) => ((window.more = more), window.device.report()), cameras);
    await page.getByLabel('Username').fill('ada');
    await page.getByLabel('Password', { exact: true }).fill('correct horse');
    await page.getByRole('button', { name: 'Create account' }).click();
    const start = Date.now();
    await tiles(7);
    return Date.now() - start;
  });
  await step('the wall at every size', async () => {
    await page.waitForTimeout(1000);
    await shoot('wall', { all: true });
  });
  await step('the key 2 opens the second camera with the picture of its tile', async () => {
    await page.keyboard.press('2');
    await page.getByRole('heading', { name: 'Front door', exact: true }).waitFor();
    await page.waitForFunction(
      () => [...document.querySelectorAll('.frame :is(video, canvas)')].length > 1,
    );
    await state('playing');
    const count = await page.locator('.frame video').count();
    if (count !== 1) throw new Error(`${count} videos after the start`);
  });
  await step('the page of a camera that can be moved', async () => {
    await page.getByTestId('pad').waitFor();
    await page.getByTestId('preset').first().waitFor();
    await page.waitForTimeout(1500);
    await shoot('camera', { all: true });
    await shoot('camera-whole', { fullPage: true });
  });
  await step('a held arrow moves the camera, which stops when it is let go', async () => {
    const pad = page.getByTestId('pad');
    const box = await pad.boundingBox();
    await page.mouse.move(box.x + box.width - 12, box.y + box.height / 2);
    await page.mouse.down();
    await page.waitForTimeout(1000);
    await page.mouse.up();
    await page.waitForTimeout(300);
    const pans = gateway.moves.map(({ pan }) => pan);
    if (pans.length < 4 || pans[0] < 80 || pans.at(-1) !== 0) throw new Error(String(pans));
    gateway.moves.length = 0;
    await pad.focus();
    await page.keyboard.down('ArrowUp');
    await page.waitForTimeout(100);
    await page.evaluate(() => dispatchEvent(new Event('blur')));
    await page.waitForTimeout(300);
    const tilts = gateway.moves.map(({ tilt }) => tilt);
    if (tilts.length !== 2 || tilts[0] <= 0 || tilts[1] !== 0) throw new Error(String(tilts));
    await page.keyboard.up('ArrowUp');
  });
  await step('a refusal names who moves the camera', async () => {
    const message = 'Grace is moving this camera: wait a moment';
    gateway.faults.set('portholeMove', { code: 409, message });
    await page.getByRole('button', { name: 'Left', exact: true }).press('Enter');
    await page.getByText(`${message}.`).waitFor();
    gateway.faults.clear();
  });
  await step('a view is saved, and removed', async () => {
    await page.getByLabel('Name of this view').fill('Bins');
    await page.getByRole('button', { name: 'Save view' }).click();
    await page.getByRole('button', { name: 'Remove the view Bins' }).click();
    await page.getByRole('button', { name: 'Remove', exact: true }).click();
    await page.getByRole('button', { name: 'Bins', exact: true }).waitFor({ state: 'detached' });
  });
  await step('a snapshot is a file, at full resolution', async () => {
    const saved = page.waitForEvent('download');
    await page.keyboard.press('s');
    const name = (await saved).suggestedFilename();
    if (!/^Front-door \d{4}-\d\d-\d\d \d\d\.\d\d\.\d\d\.jpg$/.test(name)) throw new Error(name);
  });
  await step('the picture is enlarged by keys and wheel', async () => {
    await page.keyboard.press('+');
    await page.keyboard.press('ArrowRight');
    await page.locator('.stage').hover();
    await page.mouse.wheel(0, -400);
    await page.getByText('3×').waitFor();
    await shoot('zoomed');
    await page.keyboard.press('0');
  });
  await step('settings are changed beside the picture', async () => {
    await page.getByRole('button', { name: 'Settings of this camera' }).click();
    await page.getByTestId('settings').getByText('Mirrored').click();
    await page.getByText('180°').click();
    await page.waitForTimeout(500);
    const [stored] = gateway.cameras;
    if (stored.rotation !== 180 || !stored.mirrored) throw new Error(JSON.stringify(stored));
    await shoot('settings', { fullPage: true });
    await page.getByText('0°', { exact: true }).click();
    await page.getByTestId('settings').getByText('Mirrored').click();
  });
  await step('whoever may only watch sees neither pad nor settings', async () => {
    mock.setRole('viewer');
    await device.evaluate(() => window.device.report());
    await page.getByTestId('pad').waitFor({ state: 'detached' });
    if (await page.getByRole('button', { name: 'Settings of this camera' }).isVisible()) {
      throw new Error('the settings are offered');
    }
    mock.setRole('admin');
    await device.evaluate(() => window.device.report());
  });
  await step('Escape leads back, and the shortcuts are listed', async () => {
    await page.locator('h1').focus();
    await page.keyboard.press('Escape');
    await tiles(7);
    await page.keyboard.press('?');
    await page.getByRole('heading', { name: 'Keyboard shortcuts' }).waitFor();
    await shoot('shortcuts');
    await page.keyboard.press('Escape');
  });
  await step('the arrows move the focus, and with Alt the tile', async () => {
    await page.locator('h1').focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowRight');
    const focused = () => page.evaluate(() => document.activeElement.textContent.trim());
    if ((await focused()) !== 'Front door') throw new Error(await focused());
    await page.keyboard.press('Alt+ArrowLeft');
    await page.waitForTimeout(300);
    if ((await focused()) !== 'Front door') throw new Error(`lost: ${await focused()}`);
    const first = await page.locator('[data-testid=tile] a').first().textContent();
    if (first !== 'Front door') throw new Error(first);
  });
  await step('a group is made, shown and kept', async () => {
    await page.getByRole('button', { name: 'New group' }).click();
    await page.getByLabel('Name').fill('Outside');
    for (const name of ['Driveway', 'Garden', 'Front door']) {
      await page.getByLabel(name, { exact: true }).check();
    }
    await shoot('group');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.reload();
    await tiles(3);
    await shoot('wall-group', { all: true });
    if ((await page.getByTestId('tile').count()) !== 3) throw new Error('not three tiles');
    await page.getByRole('button', { name: 'All cameras' }).click();
    await tiles(7);
  });
  await step('tiles are arranged with the mouse, and one is larger', async () => {
    await page.getByRole('button', { name: 'Arrange' }).click();
    const tile = (name) => page.getByTestId('tile').filter({ hasText: name });
    await tile('Porch').getByRole('button', { name: 'Show Porch larger' }).click();
    await page.waitForTimeout(400);
    await shoot('arrange', { all: true });
    const from = await tile('Driveway').boundingBox();
    const to = await tile('Front door').boundingBox();
    await page.mouse.move(from.x + 20, from.y + from.height - 12);
    await page.mouse.down();
    await page.mouse.move(to.x + 40, to.y + 40, { steps: 12 });
    await page.mouse.up();
    const first = await page.locator('[data-testid=tile] a').first().textContent();
    if (first !== 'Driveway') throw new Error(first);
    await page.getByRole('button', { name: 'Arrange' }).click();
    await shoot('wall-featured', { all: true });
  });
  await step('the wall fills the screen', async () => {
    await page.keyboard.press('f');
    await page.waitForTimeout(800);
    await page.screenshot({ path: `${shots}full-screen.png` });
    await page.keyboard.press('f');
    await page.waitForTimeout(300);
  });
  await step('a search finds by name', async () => {
    await page.keyboard.press('/');
    await page.keyboard.type('gard');
    await page.waitForTimeout(200);
    if ((await page.getByTestId('tile').count()) !== 2) throw new Error('not two tiles');
    await page.keyboard.type('xx');
    await page.getByText('No camera is called').waitFor();
    await shoot('nothing-found');
    await page.keyboard.press('Escape');
  });
  await step('pictures go on without the server, and come again with it', async () => {
    await tiles(7);
    mock.pause();
    await page.getByText('Cannot reach the server.').waitFor();
    await page.waitForTimeout(1500);
    await tiles(7);
    await shoot('wall-server-lost');
    mock.setRelease('Another1');
    await mock.resume();
    await page.getByText('Porthole was updated.').waitFor({ timeout: 20_000 });
    await tiles(7);
    await shoot('updated');
    mock.setRelease(null);
    await page.getByRole('button', { name: 'Reload' }).click();
    await tiles(7);
  });
  await step('a gateway that is gone leaves the last pictures, and its return plays', async () => {
    await device.goto('about:blank');
    await page.getByText('Offline since').first().waitFor({ timeout: 40_000 });
    await page.waitForTimeout(1000);
    await shoot('wall-offline');
    await device.goto(`${mock.url}/mock/device`);
    await device.evaluate((more) => ((window.more = more), window.device.report()), cameras);
    const start = Date.now();
    await tiles(7);
    return Date.now() - start;
  });
} catch (error) {
  await page.screenshot({ path: `${shots}failed.png` }).catch(() => {});
  console.error(error, consoleErrors.slice(-5));
  process.exitCode = 1;
} finally {
  await browser.close();
  mock.stop();
}
