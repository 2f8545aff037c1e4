// What the walks through the dashboard share: Chromium, screenshots, and steps with a name.
import { copyFileSync, mkdirSync } from 'node:fs';
import { chromium } from 'playwright-core';

const SHOTS = new URL('./shots/', import.meta.url).pathname;
/** Where the pictures of the guide are, which are replaced if the environment has `GUIDE`. */
const GUIDE = new URL('../../docs/guide/', import.meta.url).pathname;
const SIZES = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 800 } };
/** The sizes at which the wall is looked at, too. */
const MORE_SIZES = { tablet: { width: 820, height: 1180 }, tv: { width: 2560, height: 1440 } };

/** Starts Chromium, with a page for the dashboard and one that plays the gateway. */
export async function startBrowser(mock) {
  mkdirSync(SHOTS, { recursive: true });
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-sync',
      // A name that is no secure context, as a house without certificates has it.
      '--host-resolver-rules=MAP porthole.test 127.0.0.1',
    ],
  });
  const device = await (await browser.newContext()).newPage();
  await device.goto(`${mock.url}/mock/device`);
  const context = await browser.newContext({ viewport: SIZES.desktop });
  const page = await context.newPage();
  const consoleErrors = [];
  page.on(
    'console',
    (m) => ['error', 'warning'].includes(m.type()) && consoleErrors.push(m.text()),
  );
  page.on('pageerror', (e) => consoleErrors.push(String(e.stack)));

  /** Takes the page at both sizes, light and dark; the guide has one of them. */
  async function shoot(name, { inGuide = false, all = false, ...options } = {}) {
    for (const [size, viewport] of Object.entries(all ? { ...SIZES, ...MORE_SIZES } : SIZES)) {
      for (const colorScheme of ['light', 'dark']) {
        await page.setViewportSize(viewport);
        await page.emulateMedia({ colorScheme });
        await page.waitForTimeout(all ? 700 : 150);
        await page.screenshot({ path: `${SHOTS}${name}-${size}-${colorScheme}.png`, ...options });
        const overflow = await page.evaluate(
          () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
        );
        if (overflow > 0) throw new Error(`${name} is ${overflow} px too wide at ${size}`);
      }
    }
    await page.setViewportSize(SIZES.desktop);
    if (inGuide && process.env.GUIDE) {
      copyFileSync(`${SHOTS}${name}-desktop-light.png`, `${GUIDE}${name}.png`);
    }
  }

  return { browser, device, page, consoleErrors, shoot, shots: SHOTS };
}

export async function step(name, run) {
  const result = await run();
  console.log(`ok  ${name}${typeof result === 'number' ? ` (${result} ms)` : ''}`);
}
