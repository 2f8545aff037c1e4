// Runs axe over every page of the dashboard with the mock server, light and dark, and fails on
// findings that are serious or critical.
import axe from 'axe-core';
import { startBrowser } from './browser.mjs';
import { fakeAccess } from './fake-access.mjs';
import { fakeGateway } from './fake-gateway.mjs';
import { fakeShares } from './fake-shares.mjs';
import { CAMERAS, STORED } from './look-scene.mjs';
import { startMock } from './mock.mjs';

const PASSWORD = 'correct horse battery';
const mock = startMock({ port: 8095 });
const gateway = await fakeGateway('House');
gateway.cameras = STORED;
gateway.presets = [{ token: '1', name: 'Gate' }];
gateway.devices = [{ number: 1, address: '192.168.1.20', vendor: 'Hikvision', model: 'DS-2CD' }];
gateway.settings.check = {
  plan: 'p',
  changes: [{ key: 'key-frames', stream: 'main', before: 'every 8 s', after: 'every 2 s' }],
  left: [{ key: 'b-pictures', failure: false, text: 'B pictures', values: { stream: 'main 1' } }],
};
const note = { key: 'disabled', failure: false, text: 'told', values: {} };
const address = 'rtsp://192.168.1.20/main';
gateway.entries = [
  { number: 0, name: 'front', login: 'known', wanted: true, notes: [], address },
  { number: 1, name: 'shed', login: 'missing', wanted: false, notes: [note], address },
];
mock.setGateways([gateway]);
mock.setAccess(fakeAccess(gateway.id));
const shares = fakeShares(gateway.id);
shares.add('phs_lock', 'Behind a password', ['door'], { password: true });
shares.add('phs_yard', 'Around the house', ['door', 'drive']);
shares.add('phs_hall', 'Hall', ['door', 'drive'], { kiosk: true });
mock.setShares(shares);
const { browser, device, page } = await startBrowser(mock);
const button = (name) => page.getByRole('button', { name, exact: true });
let findings = 0;

async function check(name) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.waitForTimeout(300);
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate(() => globalThis.axe.run(document));
    const bad = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
    findings += bad.length;
    console.log(`${bad.length === 0 ? 'ok ' : 'BAD'} ${name}, ${colorScheme}`);
    for (const { id, impact, help, nodes } of violations) {
      const at = nodes.slice(0, 3).map(
        ({ html, any }) => `    ${html.slice(0, 160)}
      ${any
        .map(({ message }) => message)
        .join(' ')
        .slice(0, 200)}`,
      );
      console.log(`  ${impact} ${id}: ${help}\n${at.join('\n')}`);
    }
  }
}

try {
  await page.goto(`${mock.url}/`);
  await button('Sign in').waitFor();
  await check('sign in');
  await page.goto(`${mock.url}/setup#t=${mock.setupToken}`);
  await check('set up');
  await device.evaluate((more) => ((window.more = more), window.device.report()), CAMERAS(gateway));
  await page.getByLabel('Username').fill('ada');
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await button('Create account').click();
  await page.locator('[data-playing=true]').nth(4).waitFor();
  await check('wall');
  await button('Arrange').click();
  await check('wall, arranging');
  await button('Arrange').click();
  await button('New group').click();
  await check('group');
  await page.keyboard.press('Escape');
  await page.keyboard.press('?');
  await page.getByRole('heading', { name: 'Keyboard shortcuts' }).waitFor();
  await check('shortcuts');
  await page.keyboard.press('Escape');
  await page.keyboard.press('2');
  await page.getByTestId('preset').first().waitFor();
  await page.locator('[data-state=playing]').waitFor({ state: 'attached' });
  await button('Settings of this camera').click();
  await page.getByTestId('settings').getByText('Mirrored').waitFor();
  await check('camera, with pad and settings');
  await button('Make it right').first().click();
  await page.locator('[data-testid=repair][data-phase=shown]').waitFor();
  await check('settings that are put right');
  await page.goto(`${mock.url}/camera/drive`);
  await button('Share').click();
  await button('Make link').waitFor();
  await check('new share link');
  await button('Make link').click();
  await button('Done').waitFor();
  await check('share link that was made');
  await page.goto(`${mock.url}/camera/shed`);
  await page.getByText('The camera is offline').waitFor();
  await check('camera that is offline');
  await page.goto(`${mock.url}/gateways`);
  await page.getByTestId('stored-camera').first().waitFor();
  await check('gateways');
  await page.getByRole('button', { name: 'Account: ada' }).click();
  await check('account menu');
  await page.goto(`${mock.url}/account`);
  await page.getByTestId('sign-in').first().waitFor();
  await check('account');
  await button('Change password').click();
  await check('change of the password');
  await button('Set up').click();
  await check('start of a second factor');
  await page.getByTestId('second-factor').getByLabel('Current password').fill(PASSWORD);
  await button('Continue').click();
  await page.getByLabel('Code', { exact: true }).waitFor();
  await check('secret of a second factor');
  await page.getByLabel('Code', { exact: true }).fill('123456');
  await button('Continue').click();
  await button('I have saved them').waitFor();
  await check('recovery codes');
  await button('I have saved them').click();
  await button('Switch off').click();
  await check('end of a second factor');
  await page.goto(`${mock.url}/access`);
  await button('Browsers of grace').click();
  await check('people');
  await button('Change what Grandpa Joe may do').click();
  await check('change of a person');
  await button('New password for Grandpa Joe').click();
  await button('I have sent it').waitFor();
  await check('link for a new password');
  await button('I have sent it').click();
  await button('Invite a person').click();
  await page.getByText('Only these').first().click();
  await button('Create link').click();
  await check('invitation');
  await page.getByLabel('Name', { exact: true }).fill('Carol');
  await page.getByText('All, also those').first().click();
  await button('Create link').click();
  await button('I have sent it').waitFor();
  await check('link of an invitation');
  await button('Remove grace').click();
  await page.getByRole('dialog').waitFor();
  await check('removal of a person');
  await page.goto(`${mock.url}/access/tokens`);
  await button('New access token').click();
  await page.getByText('Only these').click();
  await button('Create').click();
  await check('new access token');
  await page.getByLabel('Name', { exact: true }).fill('Hall display');
  await page.getByText('All, also those').click();
  await button('Create').click();
  await button('I have copied it').waitFor();
  await check('access token that was created');
  await page.goto(`${mock.url}/access/links`);
  await page.getByTestId('share').first().waitFor();
  await check('share links');
  await page.goto(`${mock.url}/access/codes`);
  await page.getByTestId('code').first().waitFor();
  await check('claim codes');
  await page.goto(`${mock.url}/access/log`);
  await page.getByTestId('event').first().waitFor();
  await check('log');
  await page.goto(`${mock.url}/add`);
  await page.getByTestId('device').first().waitFor();
  await check('search');
  await page.getByRole('button', { name: /^Add Hikvision/ }).click();
  await page.getByLabel('User', { exact: true }).waitFor();
  await check('password of a camera');
  await page.goto(`${mock.url}/add`);
  const buffer = Buffer.from('cameras: {front: {}}');
  await page.locator('input[type=file]').setInputFiles({
    name: 'config.yml',
    mimeType: 'text/yaml',
    buffer,
  });
  await page.getByRole('heading', { name: 'Cameras from Frigate' }).waitFor();
  await check('cameras of a file');
  for (const [link, locator] of [
    ['phs_gone', page.getByText('This link does not work')],
    ['phs_lock', page.getByLabel('Password', { exact: true })],
    ['phs_yard', page.locator('[data-playing=true]').nth(1)],
    ['phs_hall', page.locator('[data-playing=true]').nth(1)],
  ]) {
    await page.goto(`${mock.url}/share#t=${link}`);
    await locator.waitFor();
    await check(`share link ${link}`);
  }
  await page.goto(`${mock.url}/nowhere`);
  await page.getByText('Page not found').waitFor();
  await check('not found');
  await page.getByRole('button', { name: 'Account: ada' }).click();
  await button('Sign out').click();
  await page.getByLabel('Username').fill('ada');
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await button('Sign in').click();
  await page.getByLabel('Code', { exact: true }).waitFor();
  await check('code at sign-in');
  await page.getByLabel('Code', { exact: true }).fill('123456');
  await button('Sign in').click();
  await page.getByText('Page not found').waitFor();
  for (const token of ['used', 'good', 'reset']) {
    await page.goto(`${mock.url}/invitation#t=${token}`);
    await page.getByRole('heading').first().waitFor();
    await check(`invitation: ${token}`);
  }
  mock.setCameras([]);
  await page.goto(`${mock.url}/`);
  await page.getByText('No cameras yet').waitFor();
  await check('no cameras');
  mock.pause();
  await page.getByText('Cannot reach the server').waitFor();
  await check('server lost');
  if (findings > 0) throw new Error(`${findings} serious or critical findings`);
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await browser.close();
  mock.stop();
}
