// Uses the pages about people and access in Chromium, and fails if a sentence is missing or
// something is removed without saying what goes with it. Leaves screenshots in dev/shots.
import { startBrowser, step } from './browser.mjs';
import { fakeAccess } from './fake-access.mjs';
import { fakeGateway } from './fake-gateway.mjs';
import { CAMERAS } from './look-scene.mjs';
import { startMock } from './mock.mjs';

const mock = startMock({ port: 8096 });
const gateway = await fakeGateway('House');
const access = fakeAccess(gateway.id);
mock.setGateways([gateway]);
mock.setAccess(access);
const { browser, device, page, consoleErrors, shoot } = await startBrowser(mock);
const button = (name) => page.getByRole('button', { name, exact: true });
const part = (name) => page.getByRole('link', { name, exact: true });
const dialog = page.getByRole('dialog');
const done = page.getByTestId('done').filter({ hasText: /\S/ });
const says = (text) => page.getByText(text).first().waitFor();

function check(isRight, what) {
  if (!isRight) throw new Error(what);
}
async function checkFocus(locator, what) {
  check(await locator.evaluate((element) => element === document.activeElement), what);
}

try {
  await page.goto(`${mock.url}/setup#t=${mock.setupToken}`);
  await page.getByLabel('Username').fill('ada');
  await page.getByLabel('Password', { exact: true }).fill('correct horse battery');
  await button('Create account').click();
  await page.locator('h1').first().waitFor();
  await device.evaluate((more) => ((window.more = more), window.device.report()), CAMERAS(gateway));

  await step('the menu leads to the account and to people and access', async () => {
    await page.getByRole('button', { name: 'Account: ada' }).click();
    await part('People and access').waitFor();
    await shoot('account-menu');
    await part('Account').click();
    await page.getByText('This browser').waitFor();
    await shoot('account', { inGuide: true });
  });
  await step('one browser is signed out, and the focus stays', async () => {
    await button('Sign out Safari on iPhone').click();
    await dialog.getByText('pictures there stop').waitFor();
    await shoot('account-sign-out');
    await page.keyboard.press('Escape');
    await checkFocus(button('Sign out Safari on iPhone'), 'the focus is lost after Escape');
    await button('Sign out Safari on iPhone').click();
    await dialog.getByRole('button', { name: 'Sign out' }).click();
    await says('1 browser was signed out. 1 picture there was stopped.');
    await checkFocus(done, 'the focus is lost after a sign-out');
  });
  await step('the own password is changed, and the other browsers are signed out', async () => {
    await button('Change password').click();
    await page.getByLabel('Current password', { exact: true }).fill('wrong');
    await page.getByLabel('New password', { exact: true }).fill('short');
    await button('Change password').click();
    await says('Use at least 10 characters.');
    await shoot('password');
    await page.getByLabel('New password', { exact: true }).fill('correct horse battery staple');
    await button('Change password').click();
    await says('The password is wrong');
    await page.getByLabel('Current password', { exact: true }).fill('correct horse battery');
    await button('Change password').click();
    await says('The password was changed.');
    await shoot('password-changed');
  });
  await step('a second factor is set up, and its recovery codes are shown once', async () => {
    await button('Set up').click();
    const password = page.getByLabel('Current password', { exact: true });
    await checkFocus(password, 'the focus is not on the password');
    await password.fill('correct horse battery');
    await button('Continue').click();
    await page.getByRole('img', { name: 'The secret for the app' }).waitFor();
    await shoot('factor-scan', { fullPage: true });
    const code = page.getByLabel('Code', { exact: true });
    await checkFocus(code, 'the focus is not on the code');
    await code.fill('000000');
    await button('Continue').click();
    await says('The code is wrong');
    await code.fill('123456');
    await button('Continue').click();
    await says('They are shown only now.');
    await checkFocus(page.getByRole('heading', { name: 'Second factor' }), 'the focus is lost');
    await shoot('factor-codes', { fullPage: true });
    await button('I have saved them').click();
    await says('10 recovery codes are left.');
    await page.getByText('K7QM').waitFor({ state: 'detached' });
    await shoot('factor-on');
  });
  await step('a second factor is switched off with the password and a code', async () => {
    access.state.factor.recoveryCodes = 1;
    await page.reload();
    await says('For new ones, switch the second factor off');
    await button('Switch off').click();
    await shoot('factor-end', { fullPage: true });
    await button('Cancel').click();
    await button('Switch off').click();
    await page.getByLabel('Current password', { exact: true }).fill('correct horse battery');
    await page.getByLabel('Code', { exact: true }).fill('123456');
    await button('Switch off').click();
    await button('Set up').waitFor();
  });
  await step('an account is linked with the password and a code', async () => {
    access.state.origin = mock.url;
    await page.reload();
    await button('Link an account').click();
    const password = page.getByLabel('Password', { exact: true });
    await checkFocus(password, 'the focus is not on the password');
    await password.fill('correct horse battery');
    await shoot('account-link', { fullPage: true });
    await button('Continue at Example').click();
    await checkFocus(page.getByLabel('Code', { exact: true }), 'the focus is not on the code');
    await shoot('account-link-code', { fullPage: true });
    await button('Cancel').click();
  });
  await step('people are listed with their browsers', async () => {
    await page.goto(`${mock.url}/access`);
    await says('Grandpa Joe');
    await button('Browsers of grace').click();
    await says('Chrome on Android');
    await shoot('people', { inGuide: true });
  });
  await step('a person is invited with a role and cameras', async () => {
    await button('Invite a person').click();
    await page.getByText('Only these').click();
    await button('Create link').click();
    await says('Say who it is for.');
    await says('Choose at least one camera.');
    await shoot('invite', { fullPage: true });
    check(access.state.asked.length === 0, 'it was sent');
    await page.getByLabel('Name', { exact: true }).fill('Carol');
    await page.getByLabel('Porch', { exact: true }).check();
    await page.getByLabel('Move the cameras').check();
    await page.getByLabel('Ends after').selectOption('1 day');
    await button('Create link').click();
    await says('It works once');
    await checkFocus(page.getByRole('heading', { name: 'Link for Carol' }), 'the focus is lost');
    await says(`${mock.url}/invitation#t=Qm7u`);
    await shoot('invited', { fullPage: true, inGuide: true });
    const [{ cameras, role, expiresInSeconds }] = access.state.asked.splice(0);
    check(cameras[0].control && cameras[0].listen, `cameras: ${JSON.stringify(cameras)}`);
    check(role === 'viewer' && expiresInSeconds === 86_400, 'not what was chosen');
    await button('I have sent it').click();
    await page.getByText('Qm7u').waitFor({ state: 'detached' });
    await page.getByTestId('invitation').filter({ hasText: 'Carol' }).waitFor();
    await shoot('invitations', { fullPage: true });
    await button('Revoke Carol').click();
    await dialog.getByText('no longer work').waitFor();
    await dialog.getByRole('button', { name: 'Revoke' }).click();
    await says('Link for Carol was removed.');
  });
  await step('a person may do something else from now on', async () => {
    await button('Change what Grandpa Joe may do').click();
    await page.getByLabel('Driveway', { exact: true }).check();
    await page.getByLabel('Hear the cameras').check();
    await shoot('person-change', { fullPage: true });
    await button('Save').click();
    await says('What Grandpa Joe may do was changed.');
    const [{ cameras }] = access.state.asked.splice(0);
    check(cameras.length === 2 && cameras.every((one) => one.listen), JSON.stringify(cameras));
  });
  await step('a person who has lost the phone and the password gets in again', async () => {
    await button('Change what Grandpa Joe may do').click();
    await button('Take second factor off: Grandpa Joe').click();
    await dialog.getByText('if the phone is lost').waitFor();
    await shoot('person-factor');
    await dialog.getByRole('button', { name: 'Take second factor off' }).click();
    await says('The second factor of Grandpa Joe was taken off.');
    await button('New password for Grandpa Joe').click();
    await says('Link for Grandpa Joe');
    await shoot('person-reset', { fullPage: true });
    await button('I have sent it').click();
  });
  await step('a person is removed with all that it has given', async () => {
    await button('Remove grace').click();
    for (const line of [
      '2 browsers are signed out',
      'Access token “Home Assistant”',
      'Access token “Wall of the porter”',
      'Access token “Builders, in spring”',
      '1 claim code for a gateway',
      'Invitation of',
    ]) {
      await dialog.getByText(line).waitFor();
    }
    await shoot('people-remove');
    await dialog.getByRole('button', { name: 'Cancel' }).click();
  });
  await step('access tokens are listed', async () => {
    await part('Access tokens').click();
    await says('Front door, Driveway');
    await shoot('tokens', { inGuide: true });
  });
  await step('a token without a name or a camera is not sent', async () => {
    await button('New access token').click();
    await page.getByText('Only these').click();
    await button('Create').click();
    await says('Give it a name');
    await says('Choose at least one camera.');
    await shoot('token-new', { fullPage: true });
    check(access.state.asked.length === 0, 'it was sent');
  });
  await step('a refusal says what to do, and keeps what was chosen', async () => {
    access.state.refusal = 'you may not give more than you have; choose fewer cameras';
    await page.getByLabel('Name', { exact: true }).fill('Hall display');
    await page.getByLabel('Porch', { exact: true }).check();
    await page.getByLabel('Move the cameras').check();
    await page.getByLabel('Ends after').selectOption('7 days');
    await button('Create').click();
    await says('You may not give more than you have; choose fewer cameras.');
  });
  await step('a token is shown once', async () => {
    await button('Create').click();
    await says('shown only this once');
    const heading = page.getByRole('heading', { name: 'The access token' });
    await checkFocus(heading, 'the focus is not on the new heading');
    await shoot('token-created');
    const [, { cameras, control, expiresInSeconds }] = access.state.asked;
    check(cameras.join() === `porch@${gateway.id}`, `cameras: ${cameras}`);
    check(control && expiresInSeconds === 604_800, 'not what was chosen');
    await button('I have copied it').click();
    await page.getByText('pt_9xVw').waitFor({ state: 'detached' });
    await page.getByTestId('token').filter({ hasText: 'Hall display' }).waitFor();
  });
  await step('a token that administers is limited to some scopes', async () => {
    await button('New access token').click();
    await page.getByLabel('Name', { exact: true }).fill('Backup');
    await page.getByText('Administer', { exact: true }).click();
    await shoot('token-everything', { fullPage: true });
    await page.getByText('Only this').click();
    await button('Create').click();
    await says('Choose at least one.');
    await page.getByLabel('See all lists and states, and change nothing').check();
    await page.getByLabel('Read the log').check();
    await shoot('token-scopes', { fullPage: true });
    await button('Create').click();
    await says('shown only this once');
    const { scopes } = access.state.asked.at(-1);
    check(scopes.join() === 'read,audit', `scopes: ${scopes}`);
    await button('I have copied it').click();
    await page.getByTestId('token').filter({ hasText: 'Backup' }).waitFor();
    await shoot('tokens-scopes', { fullPage: true });
  });
  await step('a token is revoked with those that it has given', async () => {
    await button('Revoke Home Assistant').click();
    await dialog.getByText('Access token “Wall of the porter”').waitFor();
    await dialog.getByText('2 pictures that somebody watches stop').waitFor();
    await shoot('token-revoke');
    await dialog.getByRole('button', { name: 'Revoke' }).click();
    await says('Home Assistant was removed. Ended with it: 1 more access token, 2 pictures.');
    await checkFocus(done, 'the focus is lost after a removal');
    await shoot('token-revoked');
  });
  await step('claim codes are listed and revoked', async () => {
    await part('Claim codes').click();
    await says('takes the place of House');
    await shoot('codes');
    await page.getByRole('button', { name: /^Revoke Claim code/ }).click();
    await dialog.getByRole('button', { name: 'Revoke' }).click();
    await says('No claim code is waiting');
  });
  await step('the log tells who did what, and what was refused', async () => {
    await part('Log').click();
    await says('ada created the access token “Kitchen tablet”');
    await shoot('audit', { inGuide: true });
    await button('Refused').click();
    await says('Wrong password for grace');
    await page.getByText('ada signed in').waitFor({ state: 'detached' });
    await page.getByLabel('Search the log').fill('203.0.113');
    await page.getByText('A gateway with a wrong').waitFor({ state: 'detached' });
    await button('All').click();
    await button('Show older').click();
  });
  await step('who administers nothing sees only the own account', async () => {
    mock.setRole('viewer');
    await page.goto(`${mock.url}/access`);
    await says('Only administrators can see who has access.');
    await page.getByRole('button', { name: 'Account: ada' }).click();
    check((await part('People and access').count()) === 0, 'the menu leads there');
    mock.setRole('owner');
  });
  await step('who signs out everywhere is asked to sign in again', async () => {
    await page.goto(`${mock.url}/account`);
    await button('Sign out everywhere').click();
    await dialog.getByText('this one too').waitFor();
    await dialog.getByRole('button', { name: 'Sign out everywhere' }).click();
    await button('Sign in').waitFor();
  });
  await step('who has a second factor is asked for a code, and can type it again', async () => {
    access.state.factor = { enrolled: true, recoveryCodes: 9 };
    await page.getByLabel('Username').fill('ada');
    await page.getByLabel('Password', { exact: true }).fill('correct horse battery');
    await button('Sign in').click();
    const code = page.getByLabel('Code', { exact: true });
    await code.waitFor();
    await checkFocus(code, 'the focus is not on the code');
    await shoot('sign-in-code');
    await code.fill('999999');
    await button('Sign in').click();
    await says('The code is wrong or was used before');
    await button('Back').click();
    await page.getByLabel('Password', { exact: true }).waitFor();
    await button('Sign in').click();
    await code.fill('123456');
    await button('Sign in').click();
    await says('Where you are signed in');
  });
  await step('a link that does not work says so', async () => {
    await page.goto(`${mock.url}/invitation#t=used`);
    await says('This link does not work');
    await says('The link is wrong, has expired or has already been used; ask for a new one.');
    await shoot('invitation-invalid');
    await page.goto(`${mock.url}/invitation`);
    await says('Copy the whole link');
  });
  await step('whoever is signed in is told that a link changes it', async () => {
    await page.goto(`${mock.url}/invitation#t=admin`);
    await says('This browser is signed in as ada');
    await says('May do everything: cameras');
    await shoot('invitation-signed-in');
  });
  await step('a person accepts an invitation, and is signed in', async () => {
    await page.goto(`${mock.url}/account`);
    await page.getByRole('button', { name: 'Account: ada' }).click();
    await button('Sign out').click();
    await button('Sign in').waitFor();
    await page.goto(`${mock.url}/invitation#t=good`);
    await says('You are invited');
    const password = page.getByLabel('New password', { exact: true });
    await checkFocus(password, 'the focus is not on the password');
    await shoot('invitation');
    await password.fill('short');
    await button('Create account').click();
    await says('Use at least 10 characters.');
    await page.getByLabel('Username').fill('ada');
    await password.fill('a quiet garden gate');
    await button('Create account').click();
    await says('Another user has this name; choose another.');
    await shoot('invitation-refused');
    await page.getByLabel('Username').fill('Bob');
    await button('Create account').click();
    await page.getByRole('button', { name: 'Account: Bob' }).waitFor();
    check(new URL(page.url()).pathname === '/', `it leads to ${page.url()}`);
  });
  await step(
    'a new password is set by a link, and somebody with a second factor signs in',
    async () => {
      await page.goto(`${mock.url}/invitation#t=reset`);
      await says('For Grandpa Joe.');
      await shoot('invitation-reset');
      await page.getByLabel('New password', { exact: true }).fill('a quiet garden gate');
      await button('Set password').click();
      await says('The password was set');
      await shoot('invitation-set');
      check((await part('Sign in').count()) === 1, 'there is no link to sign in');
    },
  );
  const serious = consoleErrors.filter((text) => !/status of (40[139]|422)/.test(text));
  if (serious.length > 0) throw new Error(serious.join('\n'));
} catch (error) {
  console.error(error);
  await page.screenshot({ path: new URL('./shots/failed.png', import.meta.url).pathname });
  process.exitCode = 1;
} finally {
  await browser.close();
  mock.stop();
}
