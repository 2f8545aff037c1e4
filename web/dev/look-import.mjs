// Adds the cameras of a file of another program in Chromium: dropped, chosen, refused. Leaves
// screenshots in dev/shots.
import { startBrowser, step } from './browser.mjs';
import { fakeGateway } from './fake-gateway.mjs';
import { startMock } from './mock.mjs';
import { camera, finding, stream } from './look-findings.mjs';

const mock = startMock({ port: 8093 });
const gateway = await fakeGateway('House');
const { browser, page, consoleErrors, shoot, shots } = await startBrowser(mock);
const button = (name) => page.getByRole('button', { name, exact: true });
const field = (name) => page.getByLabel(name, { exact: true });
const atStep = (name) => page.locator(`[data-testid=step][data-step=${name}]`).waitFor();

const FILE = 'cameras: {front: {}} # hunter-2-canary\n';
const note = (key, failure, values = {}) => ({ key, failure, text: `told ${key}`, values });
const entry = (number, name, more) => ({
  number,
  name,
  login: 'known',
  wanted: true,
  notes: [],
  address: `rtsp://192.168.1.${20 + number}:554/cam/realmonitor?channel=1&subtype=0`,
  ...more,
});
const refused = (number, name, ...notes) => ({
  number,
  name,
  login: 'none',
  wanted: false,
  notes,
});
const ENTRIES = [
  entry(0, 'front_door', { sub: 'rtsp://192.168.1.20:554/cam/realmonitor?channel=1&subtype=1' }),
  entry(1, 'garage', { notes: [note('converted', false)] }),
  entry(2, 'attic', {
    login: 'missing',
    notes: [note('password', false, { name: 'FRIGATE_RTSP_PASSWORD' })],
  }),
  entry(3, 'shed', { wanted: false, notes: [note('disabled', false)] }),
  refused(4, 'doorbell', note('cloud', true, { name: 'ring' })),
  refused(5, 'old_camera', note('http', true)),
  refused(6, 'desk', note('command', true, { name: 'exec' })),
  refused(7, 'new kind', note('unheard-of', true)),
];
const picture = (id) => ({ camera: camera(id, 'IPC', [stream(id, 'main', true)]) });

async function chooseFile(text = FILE) {
  const input = page.locator('input[type=file]');
  await input.setInputFiles({
    name: 'config.yml',
    mimeType: 'text/yaml',
    buffer: Buffer.from(text),
  });
}

try {
  await step('a file is dropped on the page, and its cameras are listed', async () => {
    gateway.entries = ENTRIES;
    mock.setGateways([gateway]);
    mock.setCameras([]);
    await page.goto(`${mock.url}/setup#t=${mock.setupToken}`);
    await field('Username').fill('ada');
    await field('Password').fill('correct horse');
    await button('Create account').click();
    await atStep('search');
    await page.getByText('No camera answered').waitFor();
    await shoot('import-drop', { fullPage: true });
    const data = await page.evaluateHandle((text) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([text], 'config.yml'));
      return transfer;
    }, FILE);
    await page.getByTestId('choose-file').dispatchEvent('dragover', { dataTransfer: data });
    await shoot('import-over', { fullPage: true });
    await page.getByTestId('choose-file').dispatchEvent('drop', { dataTransfer: data });
    await page.getByRole('heading', { name: 'Cameras from Frigate' }).waitFor();
    await page.getByText('4 of 8 cameras in config.yml can be added.').waitFor();
    await page.getByText('Told unheard-of.').waitFor();
    await shoot('import-list', { fullPage: true });
  });
  await step('the gateway alone has opened it', () => {
    if (gateway.files.join() !== FILE) throw new Error(JSON.stringify(gateway.files));
  });
  await step('cameras are ticked by keyboard', async () => {
    await button('Choose none').click();
    if (await button('Add 0 cameras').isEnabled()) throw new Error('nothing can be added');
    await page.getByRole('checkbox', { name: /^front_door/ }).press('Space');
    await button('Add 1 camera').waitFor();
    await button('Choose all').click();
    await button('Add 4 cameras').waitFor();
    await page.getByRole('checkbox', { name: /^shed/ }).uncheck();
  });
  await step('one password is asked for, and all are added by themselves', async () => {
    gateway.probes.set(ENTRIES[0].address, [picture('probe.0')]);
    gateway.probes.set(ENTRIES[1].address, () => ({
      steps: [{ finding: finding('wrong-password', { refused: '2', mayWantText: 'false' }, true) }],
      refused: 2,
    }));
    gateway.probes.set(ENTRIES[2].address, [{ afterMs: 1500, ...picture('probe.2') }]);
    await button('Add 3 cameras').click();
    await atStep('login');
    await page.getByText('attic', { exact: true }).waitFor();
    await shoot('import-login');
    await field('User').fill('admin');
    await field('Password').fill('hunter-3-canary');
    await button('Show the picture').click();
    await page.getByText('front_door is added').waitFor();
    await shoot('import-adding', { fullPage: true });
    await page.getByText('attic is added').waitFor();
    await button('Leave out garage').click();
    await page.getByRole('heading', { name: '2 cameras are added' }).waitFor();
    await shoot('import-done');
    if (gateway.logins.length !== 1) throw new Error(JSON.stringify(gateway.logins));
  });
  await step('a long file is sent in pieces, and one that is too long is not sent', async () => {
    await button('Add another camera').click();
    await atStep('search');
    const long = FILE + '#'.repeat(250 * 1024);
    await chooseFile(long);
    await atStep('import');
    if (gateway.files.at(-1) !== long) throw new Error('it is another one');
    await button('Back').click();
    await chooseFile(FILE + '#'.repeat(300 * 1024));
    await page.getByText('The file has more than 256 KiB.').waitFor();
    await shoot('import-too-long', { fullPage: true });
  });
  await step('a file that the gateway cannot read is explained', async () => {
    const message = 'line 7 begins with a tab, which YAML does not allow: use spaces';
    gateway.faults.set('portholeReadConfiguration', { code: 400, message });
    await chooseFile();
    await page.getByTestId('problem').getByText('Line 7 begins with a tab').waitFor();
    await shoot('import-refused', { fullPage: true });
    gateway.faults.clear();
  });
  await step('a key that is not the gateway’s ends it', async () => {
    const before = gateway.files.length;
    gateway.tampers = true;
    await chooseFile();
    await page.getByText('The key that the server passed on is not this gateway’s').waitFor();
    if (gateway.files.length !== before) throw new Error('a file was sent');
  });
  const unexpected = consoleErrors.filter((text) => !text.includes('status of 401'));
  if (unexpected.length > 0) throw new Error(unexpected.join('\n'));
  console.log(`screenshots are in ${shots}`);
} finally {
  await browser.close();
  mock.stop?.();
}
