import { expect, test } from 'vitest';
import { browserName } from './browser-name';

const WEBKIT = 'AppleWebKit/537.36 (KHTML, like Gecko)';

test.each([
  ['Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0', 'Firefox on Linux'],
  [`Mozilla/5.0 (Windows NT 10.0; Win64) ${WEBKIT} Chrome/142 Safari/537.36`, 'Chrome on Windows'],
  [`Mozilla/5.0 (Windows NT 10.0) ${WEBKIT} Chrome/142 Safari/537 Edg/142`, 'Edge on Windows'],
  [`Mozilla/5.0 (X11; CrOS x86_64) ${WEBKIT} Chrome/142 Safari/537`, 'Chrome on ChromeOS'],
  [`Mozilla/5.0 (X11; Linux) ${WEBKIT} HeadlessChrome/142 Safari/537`, 'Chrome on Linux'],
  [
    `Mozilla/5.0 (Linux; Android 15) ${WEBKIT} SamsungBrowser/29.0 Chrome/136 Mobile Safari/537`,
    'Samsung Internet on Android',
  ],
  [
    'Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Mobile Safari/604.1',
    'Safari on iPhone',
  ],
  ['Mozilla/5.0 (iPad; CPU OS 19_0 like Mac OS X) CriOS/142 Safari/604', 'Chrome on iPad'],
  ['Mozilla/5.0 (Macintosh; Intel Mac OS X 15_0) Version/19.0 Safari/605', 'Safari on macOS'],
  ['Mozilla/5.0 (Linux; U) Something', 'Linux'],
  ['curl/8.5.0', 'curl'],
  ['Home-Assistant', 'Home-Assistant'],
  ['Mozilla/5.0', 'Unknown browser'],
  ['<script>alert(1)</script>', 'Unknown browser'],
  [`${'x'.repeat(200)}/1`, 'Unknown browser'],
  ['', 'Unknown browser'],
  [undefined, 'Unknown browser'],
])('%s is %s', (agent, name) => {
  expect(browserName(agent)).toBe(name);
});
