// Uses share links in Chromium: makes one, opens some in browsers without a sign-in, and sees them
// end. Leaves screenshots in dev/shots.
import { startBrowser, step } from './browser.mjs';
import { fakeAccess } from './fake-access.mjs';
import { fakeGateway } from './fake-gateway.mjs';
import { fakeShares } from './fake-shares.mjs';
import { CAMERAS } from './look-scene.mjs';
import { startMock } from './mock.mjs';

const mock = startMock({ port: 8097 });
const gateway = await fakeGateway('House');
const shares = fakeShares(gateway.id);
mock.setGateways([gateway]);
mock.setAccess(fakeAccess(gateway.id));
mock.setShares(shares);
const { browser, device, page, consoleErrors, shoot } = await startBrowser(mock);
const button = (name) => page.getByRole('button', { name, exact: true });
const dialog = page.getByRole('dialog');
const says = (text) => page.getByText(text).first().waitFor();
const playing = (count) =>
  page
    .locator('[data-playing=true]')
    .nth(count - 1)
    .waitFor();
const alone = () => page.locator('[data-state=playing]').waitFor({ state: 'attached' });
const open = (token, more = '') => page.goto(`${mock.url}/share#t=${token}${more}`);

function check(isRight, what) {
  if (!isRight) throw new Error(what);
}

shares.add('phs_door', 'Front door, until Sunday', ['door']);
shares.add('phs_yard', 'Around the house', ['door', 'drive', 'garden', 'porch']);
shares.add('phs_lock', 'Behind a password', ['door'], { password: true });
shares.add('phs_hall', 'Hall', ['door', 'drive', 'garden', 'porch'], { kiosk: true });
shares.add('phs_one', 'Hall', ['door'], { kiosk: true });
shares.add('phs_empty', 'Nothing left', []);

try {
  await page.goto(`${mock.url}/setup#t=${mock.setupToken}`);
  await page.getByLabel('Username').fill('ada');
  await page.getByLabel('Password', { exact: true }).fill('correct horse battery');
  await button('Create account').click();
  await page.locator('h1').first().waitFor();
  await device.evaluate((more) => ((window.more = more), window.device.report()), CAMERAS(gateway));

  await step('a camera is shared from its page', async () => {
    await page.goto(`${mock.url}/camera/door`);
    await alone();
    await button('Share').click();
    await dialog.getByText('Whoever has the link').waitFor();
    await shoot('share-dialog', { inGuide: true });
    await dialog.getByLabel('Password (optional)').fill('short');
    await dialog.getByLabel('Name of the link').fill(' ');
    await button('Make link').click();
    await dialog.getByText('Give the link a name.').waitFor();
    await shoot('share-dialog-problems');
    await dialog.getByLabel('Password (optional)').fill('fence and gate');
    await dialog.getByLabel('Name of the link').fill('For Grandpa Joe');
    await dialog.getByLabel('With sound').check();
    await button('Make link').click();
    await dialog.getByText('The link is ready').waitFor();
    await shoot('share-link', { inGuide: true });
    const [asked] = shares.state.asked;
    check(asked.cameras[0].camera === `door@${gateway.id}`, JSON.stringify(asked));
    check(asked.cameras[0].listen === true && asked.expiresInSeconds === 86_400, asked);
    const link = await dialog.locator('pre').textContent();
    check(link.startsWith(`${mock.url}/share#t=phs_`), link);
    await dialog.getByRole('button', { name: 'Done' }).click();
  });
  await step('the cameras of the wall are shared together', async () => {
    await page.goto(`${mock.url}/`);
    await playing(3);
    await button('Share').click();
    await dialog.getByText('Shows: ').waitFor();
    await shoot('share-dialog-wall');
    await page.keyboard.press('Escape');
  });
  await step('the links are listed and one is revoked', async () => {
    await page.goto(`${mock.url}/access/links`);
    await says('Screen in the hall');
    await shoot('share-list', { inGuide: true });
    await button('Revoke For Grandpa Joe').click();
    await dialog.getByText('It stops working at once').waitFor();
    await shoot('share-revoke');
    await dialog.getByRole('button', { name: 'Revoke' }).click();
    await says('For Grandpa Joe was removed. Ended with it: 1 picture.');
  });
  await step(
    'whoever is signed in watches a link by the rights of the link, and stays so',
    async () => {
      await open('phs_door');
      await alone();
      check((await page.getByText('ada').count()) === 0, 'the dashboard is around it');
      await page.goto(`${mock.url}/`);
      await playing(3);
    },
  );
  await page.context().clearCookies();

  await step('a link of one camera plays without a sign-in', async () => {
    await open('phs_door');
    await page.reload();
    await alone();
    await says('Shared until');
    await page.waitForTimeout(1_000);
    await shoot('shared-camera', { inGuide: true });
  });
  await step('a link of several cameras is a wall, and each opens alone', async () => {
    await open('phs_yard');
    await playing(4);
    await shoot('shared-wall');
    await page.getByRole('link', { name: 'Driveway' }).click();
    await alone();
    await shoot('shared-one-of-wall');
    await page.getByRole('link', { name: 'All cameras of this link' }).click();
    await playing(4);
  });
  await step('a password is asked for once in a tab', async () => {
    await open('phs_lock');
    await says('Enter the password');
    await page.getByLabel('Password', { exact: true }).fill('fence and door');
    await button('Open').click();
    await says('The password is wrong.');
    await shoot('shared-locked');
    await page.getByLabel('Password', { exact: true }).fill('fence and gate');
    await button('Open').click();
    await alone();
    await page.reload();
    await alone();
  });
  await step('a screen on a wall has pictures only', async () => {
    await open('phs_hall');
    await playing(4);
    check((await page.getByRole('button').count()) === 0, 'there are controls');
    await page.waitForTimeout(500);
    await shoot('shared-kiosk');
    await open('phs_one');
    await alone();
    check((await page.getByRole('button').count()) === 0, 'there are controls');
    await page.waitForTimeout(500);
    await shoot('shared-kiosk-one');
  });
  await step('a revoked link stops and says so', async () => {
    await open('phs_door');
    await alone();
    shares.state.links.delete('phs_door');
    const since = Date.now();
    mock.dropShared('phs_door');
    await says('This link does not work');
    check(Date.now() - since < 2_000, 'it took too long');
    check((await page.locator('video').count()) === 0, 'the picture is still there');
    await shoot('shared-revoked');
  });
  await step('a link stops at its hour and says so', async () => {
    shares.add('phs_short', 'Soon over', ['door'], { lifetimeS: 4 });
    await open('phs_short');
    await alone();
    await says('This link has ended');
    check((await page.locator('video').count()) === 0, 'the picture is still there');
    await shoot('shared-ended');
  });
  await step('a link that is cut off or shows nothing says so', async () => {
    await page.goto(`${mock.url}/share`);
    await says('This link is incomplete');
    await open('phs_empty');
    await says('are not there any more');
  });
  const errors = consoleErrors.filter((text) => !/401|403|ERR_|net::|WebSocket/.test(text));
  if (errors.length > 0) throw new Error(errors.join('\n'));
} catch (error) {
  console.error(error);
  await page.screenshot({ path: new URL('./shots/failed.png', import.meta.url).pathname });
  process.exitCode = 1;
} finally {
  await browser.close();
  mock.stop();
}
