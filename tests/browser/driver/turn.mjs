// Two connections in one page, both limited to TURN, send messages to each other.
//
// Arguments: urls, username, credential, messages, and those of `run`. Emits
// `{"event":"relayed","echoed":…,"pairs":[…]}`.

import { emit, openLocal, run } from './chromium.mjs';

await run(async (page, args) => {
  await openLocal(page, 'turn.html');
  emit('relayed', await page.evaluate((options) => relay(options), args));
});
