// Adds and changes cameras in Chromium with a gateway that plays every state of the wizard, and
// fails if a sentence is missing. Leaves screenshots in dev/shots.
import { startBrowser, step } from './browser.mjs';
import { fakeGateway } from './fake-gateway.mjs';
import { startMock } from './mock.mjs';
import { FINDINGS, camera, finding, stream } from './look-findings.mjs';

const mock = startMock({ port: 8092 });
const gateway = await fakeGateway('House');
const { browser, page, consoleErrors, shoot, shots } = await startBrowser(mock);
const button = (name) => page.getByRole('button', { name, exact: true });
const field = (name) => page.getByLabel(name, { exact: true });
const atStep = (name) => page.locator(`[data-testid=step][data-step=${name}]`).waitFor();

let inputs = 0;
async function fill(locator, text) {
  inputs++;
  await locator.fill(text);
}
async function click(locator) {
  inputs++;
  await locator.click();
}

/** Opens the search anew, and chooses a typed address with a login. */
async function probe(address, { user = 'admin', password = 'hunter-2-canary' } = {}) {
  await page.goto(`${mock.url}/add`);
  await atStep('search');
  await field('Address of a camera').fill(address);
  await button('Continue').click();
  await atStep('login');
  await field('User').fill(user);
  await field('Password').fill(password);
  await button('Show the picture').click();
  await atStep('cameras');
}
const probed = () => page.locator('[data-testid=probe][data-phase=done]').first().waitFor();
const live = (count) =>
  page.waitForFunction(
    (wanted) => document.querySelectorAll('[data-testid=preview][data-live=true]').length >= wanted,
    count,
  );

const DEVICES = [
  { number: 1, address: '192.168.1.20', vendor: 'Hikvision', model: 'DS-2CD2087G2', name: 'IPC' },
  { number: 2, address: '192.168.1.21', vendor: 'Reolink', model: 'RLC-810A' },
  { number: 3, address: '192.168.1.22:2020', model: 'Tapo C210', cameras: ['garage'] },
  { number: 4, address: '192.168.1.23', name: 'Unnamed camera of the old kind' },
];
const GOOD = [
  { device: { vendor: 'Hikvision', model: 'DS-2CD2087G2', firmware: '5.7.3' } },
  { finding: finding('clock-off', { seconds: '-15811200' }) },
  { camera: camera('probe.1', 'IPC', [stream('probe.1', 'main'), stream('probe.1.sub', 'sub')]) },
  {
    camera: camera('probe.1', 'IPC', [
      stream('probe.1', 'main', true),
      stream('probe.1.sub', 'sub', true),
    ]),
  },
];
const STORED = [
  {
    id: 'garage',
    name: 'Garage',
    origin: 'stored',
    address: 'rtsp://192.168.1.22:554/stream1',
    hasPassword: true,
    changedBy: 'ada',
    changedS: 1_795_900_000,
  },
  {
    id: 'porch',
    name: 'Porch',
    origin: 'configured',
    address: 'rtsp://192.168.1.40/',
    hasPassword: false,
  },
  {
    id: 'porch',
    name: 'Porch, as it was added',
    origin: 'hidden',
    address: 'rtsp://192.168.1.41/main',
    hasPassword: true,
    changedBy: 'grace',
    changedS: 1_795_800_000,
  },
];

try {
  await step('from the setup link to a picture in eight inputs', async () => {
    gateway.devices = DEVICES;
    gateway.cameras = structuredClone(STORED);
    gateway.probes.set('192.168.1.20', GOOD);
    mock.setGateways([gateway]);
    await page.goto(`${mock.url}/setup#t=${mock.setupToken}`);
    mock.setCameras([]);
    await fill(field('Username'), 'ada');
    await fill(field('Password'), 'correct horse');
    await click(button('Create account'));
    await page.getByTestId('device').first().waitFor();
    await shoot('add-search');
    await page.getByText('4 devices found').waitFor();
    await shoot('add-found', { inGuide: true });
    await click(button('Add Hikvision DS-2CD2087G2'));
    await shoot('add-login');
    await fill(field('User'), 'admin');
    await fill(field('Password'), 'hunter-2-canary');
    await click(button('Show the picture'));
    await atStep('cameras');
    await shoot('add-asking');
    await live(2);
    await probed();
    await shoot('add-picture', { inGuide: true });
    if (inputs > 8) throw new Error(`${inputs} inputs`);
    console.log(`    ${inputs} inputs to the picture`);
    await field('Name').fill('Front door');
    await button('Add camera').click();
    await page.getByRole('heading', { name: 'Front door is added' }).waitFor();
    await shoot('add-done');
  });
  await step('the login was sealed for the gateway, which has opened it', () => {
    const [login] = gateway.logins;
    if (login?.user !== 'admin' || login.password !== 'hunter-2-canary') {
      throw new Error(JSON.stringify(gateway.logins));
    }
  });
  await step('the next camera is offered the same password', async () => {
    gateway.probes.set('192.168.1.21', [{ finding: finding('password-missing') }]);
    await button('Add another camera').click();
    await button('Add Reolink RLC-810A').click();
    await button('The same as Front door').waitFor();
    await shoot('add-same');
    await button('Continue without a password').click();
    await page.getByText('This camera wants a user and a password.').waitFor();
  });
  await step('several are added with one password, one of which fails', async () => {
    const four = [1, 2, 3, 4].map((number) => ({
      camera: camera(`nvr.${number}`, `Channel ${number}`, [stream(`nvr.${number}`, 'main', true)]),
    }));
    gateway.probes.set('192.168.1.21', [
      { device: { vendor: 'Reolink', model: 'NVR', firmware: '' } },
      ...four,
    ]);
    gateway.probes.set('192.168.1.23', () => ({
      steps: [{ finding: finding('wrong-password', { refused: '2', mayWantText: 'false' }, true) }],
      refused: 2,
    }));
    await page.goto(`${mock.url}/add`);
    await page.getByText('4 devices found').waitFor();
    await button('Add all 3 with one password').click();
    await shoot('add-all-login');
    await field('User').fill('admin');
    await field('Password').fill('hunter-2-canary');
    await button('Show the picture').click();
    await page.waitForTimeout(2500);
    await shoot('add-all', { fullPage: true });
    await button('Add 5 cameras').click();
    await button('Type another password').click();
    await field('Password').fill('hunter-3');
    await button('Show the picture').click();
    await page.waitForTimeout(500);
    await button('Type another password').click();
    await page.getByTestId('may-lock').waitFor();
    await shoot('add-may-lock');
    await button('Back').click();
    await page.getByRole('button', { name: /^Leave out Unnamed/ }).click();
    await page.getByRole('heading', { name: '5 cameras are added' }).waitFor();
    await shoot('add-all-done');
  });
  for (const { name, progress, sentence, action } of FINDINGS) {
    await step(`the finding ${name} is told`, async () => {
      const address = `${name}.test`;
      gateway.probes.set(address, progress);
      await probe(address);
      await probed();
      const line = page.getByTestId('finding').first();
      const text = await line.innerText();
      if (!text.includes(sentence)) throw new Error(`"${text}" is not "${sentence}"`);
      const buttons = await line.getByRole('button').allInnerTexts();
      if (buttons.join() !== action) throw new Error(`the action is "${buttons.join()}"`);
      await shoot(`finding-${name}`);
    });
  }
  const FAULTS = [
    ['offline', { code: 410 }, 'The gateway is not connected.'],
    ['forbidden', { code: 403 }, 'You may not change the cameras of this gateway.'],
    ['too-old', { code: -32601 }, 'This gateway is too old for that.'],
    ['busy', { code: 1001 }, 'The gateway is busy with other requests.'],
    ['late', { code: 408 }, 'The gateway did not answer in time.'],
    ['gone', { code: 404 }, 'The gateway no longer knows it.'],
    ['storage', { code: 507 }, 'The gateway could not store it.'],
    ['refused', { code: 500, message: '' }, 'The gateway refused that.'],
    ['other', { code: 500, message: 'the disk is on fire' }, 'The disk is on fire.'],
  ];
  for (const [name, fault, sentence] of FAULTS) {
    await step(`a search that fails with ${name} is explained`, async () => {
      gateway.faults.set('portholeDiscover', { message: 'no', ...fault });
      await page.goto(`${mock.url}/add`);
      await page.getByTestId('problem').getByText(sentence).waitFor();
      await shoot(`problem-${name}`);
      gateway.faults.clear();
    });
  }
  await step('a key that is not the gateway’s ends it', async () => {
    gateway.tampers = true;
    const before = gateway.logins.length;
    await probe('192.168.1.20');
    await page.getByText('The key that the server passed on is not this gateway’s').waitFor();
    await shoot('problem-wrong-key');
    gateway.tampers = false;
    if (gateway.logins.length !== before) throw new Error('a password was sent');
  });
  await step('a change of somebody else is told, and the next try works', async () => {
    await probe('192.168.1.20');
    await probed();
    gateway.revision++;
    await button('Add camera').click();
    await page.getByText('Somebody else has just changed the cameras').waitFor();
    await shoot('problem-conflict');
    await button('Add camera').click();
    await atStep('done');
  });
  await step('no device, a range, and a bad address', async () => {
    gateway.devices = [];
    await page.goto(`${mock.url}/add`);
    await page.getByText('No camera answered').waitFor();
    await field('Address of a camera').fill('my camera');
    await button('Continue').click();
    await page.getByText('This is not an address of a camera.').waitFor();
    await shoot('add-none');
    await field('Address of a camera').fill('192.168.1.0/24');
    await button('Continue').click();
    await page.getByText('Looking for cameras…').waitFor();
  });
  await step('an address with a login in it needs no form', async () => {
    const before = gateway.logins.length;
    gateway.probes.set('rtsp://192.168.1.50/a', GOOD);
    await field('Address of a camera').fill('rtsp://root:toor@192.168.1.50/a');
    await button('Continue').click();
    await live(2);
    if (gateway.logins[before]?.password !== 'toor') throw new Error('not opened');
  });
  await step('without a secure context a warning stands there, and sealing works', async () => {
    const plain = mock.url.replace('127.0.0.1', 'porthole.test');
    await page.goto(`${plain}/sign-in`);
    await field('Username').fill('ada');
    await field('Password').fill('correct horse');
    await button('Sign in').click();
    await page.getByRole('heading', { name: 'Cameras', exact: true }).waitFor();
    await page.goto(`${plain}/add`);
    await field('Address of a camera').fill('192.168.1.20');
    await button('Continue').click();
    await page.getByTestId('plain-http').waitFor();
    await shoot('add-plain-http');
    if (await page.evaluate(() => isSecureContext)) throw new Error('the context is secure');
    const before = gateway.logins.length;
    await field('User').fill('admin');
    await field('Password').fill('over-http');
    await button('Show the picture').click();
    await probed();
    if (gateway.logins[before]?.password !== 'over-http') throw new Error('not opened');
  });
  await step('the gateways and their cameras are shown', async () => {
    gateway.cameras = structuredClone(STORED);
    mock.setGateways([
      gateway,
      await fakeGateway('Barn'),
      { ...(await fakeGateway('Boat')), online: false },
    ]);
    await page.goto(`${mock.url}/gateways`);
    await page.getByText('Porch, as it was added').waitFor();
    await shoot('gateways', { fullPage: true, inGuide: true });
    await button('Add a gateway').click();
    await page.getByText('mossy-otter-4821').waitFor();
    await shoot('gateways-add', { fullPage: true });
    await button('Replace Boat').click();
    await page.getByText('takes the place of Boat').waitFor();
    await shoot('gateways-replace', { fullPage: true });
    await button('Remove House').click();
    await page.getByRole('dialog').getByText('4 cameras').waitFor();
    await shoot('gateways-remove-with-cameras');
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    gateway.faults.set('portholeStoredCameras', { code: -32601, message: 'no' });
    await page.reload();
    await page.getByTestId('problem').waitFor();
    await shoot('gateways-too-old', { fullPage: true });
    gateway.faults.clear();
    await page.reload();
    await page.getByText('Porch, as it was added').waitFor();
  });
  await step('a camera is renamed and removed', async () => {
    await button('Rename Garage').click();
    await shoot('gateways-rename');
    await field('Name').fill('Workshop');
    await button('Save').click();
    await page.getByRole('heading', { name: 'Workshop' }).waitFor();
    await button('Remove Workshop').click();
    await page.getByRole('dialog').getByText('Share link “Visitors”').waitFor();
    await shoot('gateways-remove-camera');
    await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
    await page.getByRole('heading', { name: 'Workshop' }).waitFor({ state: 'detached' });
  });
  await step('a gateway is renamed and removed', async () => {
    await button('Rename Barn').click();
    await shoot('gateways-rename-gateway');
    await field('Name').fill('Stable');
    await button('Save').click();
    await button('Remove Stable').click();
    await shoot('gateways-remove');
    await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
    await page.getByRole('heading', { name: 'Stable' }).waitFor({ state: 'detached' });
  });
  await step('the password of a camera is changed', async () => {
    gateway.cameras = structuredClone(STORED);
    gateway.probes.set('192.168.1.99', GOOD);
    await page.goto(`${mock.url}/gateways`);
    await page.getByRole('link', { name: /^Change the address or password of Garage/ }).click();
    await atStep('login');
    await shoot('change-login');
    await field('Address of a camera').fill('192.168.1.99');
    await field('User').fill('admin');
    await field('Password').fill('new');
    await button('Show the picture').click();
    await probed();
    await live(2);
    await shoot('change-picture');
    await button('Save').click();
    await page.getByRole('heading', { name: 'Garage is changed' }).waitFor();
    await shoot('change-done');
  });
  await step(
    'one of several gateways is chosen, and one that is missing is waited for',
    async () => {
      await page.goto(`${mock.url}/add`);
      await page.getByRole('heading', { name: 'Which gateway is near the camera?' }).waitFor();
      await shoot('add-gateways');
      mock.setGateways([]);
      await page.getByRole('heading', { name: 'No gateway yet' }).waitFor();
      await button('Add a gateway').click();
      await page.getByText('mossy-otter-4821').waitFor();
      await shoot('add-no-gateway', { fullPage: true });
      mock.setGateways([{ ...gateway, online: false }]);
      await page.getByText('Waiting for House to connect.').waitFor();
      await shoot('add-gateway-offline');
      mock.setGateways([gateway]);
      await atStep('search');
    },
  );
  await step('a viewer is told who can add cameras', async () => {
    mock.setRole('viewer');
    await page.goto(`${mock.url}/add`);
    await page.getByText('Only administrators can add cameras.').waitFor();
    await shoot('viewer-add');
    await page.goto(`${mock.url}/gateways`);
    await page.getByText('Only administrators can see the gateways.').waitFor();
    await shoot('viewer-gateways');
    mock.setRole('admin');
  });
  await step('a server that is lost is told', async () => {
    gateway.devices = DEVICES;
    await page.goto(`${mock.url}/add`);
    await page.getByText('4 devices found').waitFor();
    mock.pause();
    await button('Search again').click();
    await page.getByTestId('problem').getByText('The connection to the server was lost.').waitFor();
    await shoot('problem-server-lost');
    await mock.resume();
  });
  await step('the keyboard reaches every control in the order of the page', async () => {
    gateway.probes.set('192.168.1.20', GOOD);
    await page.goto(`${mock.url}/add`);
    await page.getByText('4 devices found').waitFor();
    const reached = [];
    for (let i = 0; i < 10 && reached.at(-1) !== 'the end of the page'; i++) {
      await page.keyboard.press('Tab');
      reached.push(
        await page.evaluate(() => {
          const { activeElement: element } = document;
          if (element === document.body) return 'the end of the page';
          const shown = element.matches('input') ? element.closest('.box') : element;
          const outline = getComputedStyle(shown);
          if (outline.outlineStyle === 'none') throw new Error('the focus cannot be seen');
          return (
            element.getAttribute('aria-label') ??
            element.labels?.[0]?.innerText ??
            element.innerText.trim()
          );
        }),
      );
      if (i === 1) await shoot('focus');
    }
    console.log(`    ${reached.join(' > ')}`);
  });
  const unexpected = consoleErrors.filter(
    (text) => !/status of 40[13]|ERR_CONNECTION|WebSocket connection/.test(text),
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
