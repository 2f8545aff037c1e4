// Looks at the wall and at the page of a camera in Chromium, with cameras in every state, and fails
// if something does not play. Leaves screenshots in dev/shots.
import { startBrowser, step } from './browser.mjs';
import { fakeGateway } from './fake-gateway.mjs';
import { startMock } from './mock.mjs';

const mock = startMock({ port: 8094 });
const gateway = await fakeGateway('House');
mock.setGateways([gateway]);
const { browser, device, page, consoleErrors, shoot, shots } = await startBrowser(mock);

const now = () => Math.floor(Date.now() / 1000);
const playing = (id, name, more = {}) => ({
  gateway: gateway.id,
  id,
  name,
  state: 'live',
  codec: 'H264',
  width: 1920,
  height: 1080,
  viewers: 1,
  streams: [
    { id, role: 'main', state: 'idle', codec: 'H264', width: 1920, height: 1080 },
    { id: `${id}.sub`, role: 'sub', state: 'live', codec: 'H264', width: 640, height: 360 },
  ],
  ...more,
});
const CAMERAS = [
  playing('door', 'Front door', {
    control: { panTilt: true, zoom: true, presets: true },
    motion: { active: true, lastS: now() },
  }),
  playing('drive', 'Driveway', { motion: { active: false, lastS: now() - 150 } }),
  playing('garden', 'Garden', { state: 'idle' }),
  playing('porch', 'Porch', { viewers: 3, mirrored: true }),
  playing('bell', 'Doorbell', { rotation: 90 }),
  {
    gateway: gateway.id,
    id: 'gate',
    name: 'Garden gate',
    state: 'failed',
    reason: 'the camera at 192.168.1.31 refused the password',
    viewers: 0,
  },
  { gateway: gateway.id, id: 'shed', name: 'Shed', state: 'offline', viewers: 0 },
  playing('yard', 'Yard, seen from the workshop', {
    reason: 'the camera sends B pictures, which browsers show late',
  }),
];

const tiles = (count) =>
  page.waitForFunction(
    (wanted) => document.querySelectorAll('[data-testid=tile][data-playing=true]').length >= wanted,
    count,
    { timeout: 30_000 },
  );

try {
  await step('nine cameras play as soon as the page is open', async () => {
    await page.goto(`${mock.url}/setup#t=${mock.setupToken}`);
    await device.evaluate((more) => ((window.more = more), window.device.report()), CAMERAS);
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
} catch (error) {
  await page.screenshot({ path: `${shots}failed.png` }).catch(() => {});
  console.error(error, consoleErrors.slice(-5));
  process.exitCode = 1;
} finally {
  await browser.close();
  mock.stop();
}
