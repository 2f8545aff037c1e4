// Plays a camera over WHEP on a plain page and reports `getStats`.
//
// Arguments: url, token, seconds (after the first frame; 0 = until killed), trickle (true by
// default), policy ("all" or "relay"), audio, delay (frames to read the clock of), beeps (to be
// compared with the clock), and those of `run`.

import { beeps, delay, emit, openLocal, run, watch } from './chromium.mjs';

await run(async (page, args) => {
  const { url, token } = args;
  await openLocal(page, 'whep.html');
  const session = await page.evaluate((options) => play(options), {
    url,
    token,
    trickle: args.trickle ?? true,
    policy: args.policy ?? 'all',
    audio: args.audio ?? false,
  });
  emit('answered', session);
  await watch(page, args.seconds);
  if (args.delay) await delay(page, args.delay);
  if (args.beeps) await beeps(page, args.beeps);
  const status = await page.evaluate((options) => stop(options), { ...session, token });
  emit('deleted', { status });
});
