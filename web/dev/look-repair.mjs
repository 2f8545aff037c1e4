// Opens the dialog that puts a camera's settings right in Chromium, in each of its states, and
// fails if a sentence is missing. Leaves screenshots in dev/shots.
import { startBrowser, step } from './browser.mjs';
import { fakeGateway } from './fake-gateway.mjs';
import { finding } from './look-findings.mjs';
import { startMock } from './mock.mjs';

const mock = startMock({ port: 8093 });
const gateway = await fakeGateway('House');
const { browser, device, page, consoleErrors, shoot } = await startBrowser(mock);
const button = (name) => page.getByRole('button', { name, exact: true });
const dialog = page.getByTestId('repair');
const phase = (name) => page.locator(`[data-testid=repair][data-phase=${name}]`).waitFor();
const says = (text) => dialog.getByText(text).first().waitFor();

const change = (key, before, after, stream) => ({ key, before, after, ...(stream && { stream }) });
const CHANGES = [
  change('key-frames', 'every 8 s (200 frames)', 'every 2 s (50 frames)', 'main'),
  change('codec', 'H.265', 'H.264', 'sub'),
  change('profile', 'Main10', 'Main', 'sub'),
  change('size', '1920×1080', '640×360', 'sub'),
  change('frame-rate', '25 fps', '12.5 fps', 'sub'),
  change('bit-rate', '2048 kbit/s', '500 kbit/s', 'sub'),
  change('clock', '2026-05-29 12:00:01 UTC, 183 days behind', '2026-11-28 12:00:07 UTC'),
];
const LEFT = [finding('b-pictures', { stream: 'main 1' })];
const plan = '1--' + 'a'.repeat(64);

await page.goto(`${mock.url}/setup#t=${mock.setupToken}`);
await page.getByLabel('Username').fill('ada');
await page.getByLabel('Password', { exact: true }).fill('correct horse battery');
await button('Create account').click();
await page.locator('h1').first().waitFor();
mock.setGateways([gateway]);
const CAMERA = {
  id: 'porch',
  address: 'porch',
  gateway: gateway.id,
  name: 'Porch',
  state: 'live',
  reason: 'the key frames are 8 s apart, so that a picture may start that late',
  codec: 'H264',
  width: 1920,
  height: 1080,
  viewers: 0,
  permissions: ['watch', 'listen', 'talk', 'control', 'manage'],
};
await device.evaluate((more) => ((window.more = more), window.device.report()), [CAMERA]);

async function open() {
  await page.goto(`${mock.url}/camera/porch`);
  await button('Make it right').click();
}

await step('the settings are being read', async () => {
  gateway.settings.checkMs = 2500;
  await open();
  await phase('checking');
  await shoot('repair-checking');
  gateway.settings.checkMs = 50;
});

await step('before and after are shown', async () => {
  gateway.settings.check = { plan, changes: CHANGES, left: LEFT };
  await open();
  await phase('shown');
  await says('Nothing is changed until you press the button.');
  await shoot('repair-shown', { inGuide: true });
});

await step('they are set, and one otherwise', async () => {
  const other = CHANGES.map((it) => (it.key === 'bit-rate' ? { ...it, after: '512 kbit/s' } : it));
  gateway.settings.apply = { changes: other };
  await button('Set these').click();
  await phase('set');
  await says('It has 512 kbit/s now.');
  await shoot('repair-otherwise');
  gateway.settings.apply = { changes: CHANGES };
  await button('Look again').click();
  await phase('shown');
  await button('Set these').click();
  await phase('set');
  await says('The camera has these settings now.');
  await shoot('repair-set');
});

await step('a refusal says that nothing was changed', async () => {
  const message =
    'the camera refuses the settings of its sub stream (Invalid resolution), and nothing was ' +
    "changed, because what was set before it was put back: set it in the camera's own pages";
  gateway.faults.set('portholeApplySettings', { code: 400, message });
  await open();
  await phase('shown');
  await button('Set these').click();
  await phase('failed');
  await says('and nothing was changed');
  await shoot('repair-refused');
  gateway.faults.clear();
});

await step('nothing is wrong, or nothing can be set', async () => {
  gateway.settings.check = { plan, changes: [], left: [] };
  await open();
  await says('All settings that matter');
  await shoot('repair-right');
  gateway.settings.check = { plan, changes: [], left: LEFT };
  await open();
  await says('cannot be set from here');
  await shoot('repair-left');
});

await browser.close();
mock.stop();
// Before the sign-in.
const errors = consoleErrors.filter((text) => !text.includes('401'));
if (errors.length > 0) throw new Error(errors.join('\n'));
console.log('done');
process.exit(0);
