// Plays cameras over WHEP on one plain page, to compare with the wall: one connection and one video
// for each camera, without a line of Porthole's own.
//
// Arguments: urls, token, width and height of a video, warmUp (seconds before the first memory),
// seconds, and those of `run`.

import { memory, openLocal, rates, run } from './chromium.mjs';

await run(async (page, args) => {
  const { urls, token, warmUp, seconds } = args;
  await openLocal(page, 'whep.html');
  await page.evaluate(({ count, width, height }) => {
    const first = document.querySelector('video');
    Object.assign(first, { width, height });
    for (let more = 1; more < count; more += 1) first.after(first.cloneNode());
  }, { ...args, count: urls.length });
  for (const [place, url] of urls.entries()) {
    const options = { url, token, place, trickle: true, policy: 'all' };
    await page.evaluate((each) => play(each), options);
  }
  await rates(page, { rates: warmUp, playing: urls.length, timeoutMs: 60_000 });
  await memory(page);
  await rates(page, { rates: seconds });
  await memory(page);
});
