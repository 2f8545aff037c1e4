// Joins a camera over WHEP again and again on a plain page, each time at another moment.
//
// Arguments: url, token, joins, group (milliseconds between two key frames), seconds (for which
// each join goes on after its first picture), policy, and those of `run`.

import { emit, openLocal, run } from './chromium.mjs';

const PICTURE_MS = 20_000;

await run(async (page, args) => {
  const { url, token, joins, group, seconds } = args;
  await openLocal(page, 'whep.html');
  for (let join = 0; join < joins; join += 1) {
    // Moments that are spread evenly over a group, in an order without a pattern.
    const place = (join * 0.618_034) % 1;
    await page.waitForTimeout(group * place);
    const options = { url, token, trickle: true, policy: args.policy ?? 'all' };
    const first = await page.evaluate(
      ([given, limit]) => window.portholeTest.firstPicture(() => play(given), limit),
      [options, PICTURE_MS],
    );
    await page.waitForTimeout(seconds * 1000);
    const sample = await page.evaluate(() => window.portholeTest.sample());
    emit('join', { place, ms: first.ms, atMs: first.ms, ...sample });
    await page.evaluate((session) => stop(session), { ...first.session, token });
    await page.evaluate(() => window.portholeTest.open().forEach((each) => each.close()));
  }
});
