// Uses a page as a person does: by its visible labels and texts.
//
// Arguments: steps, and those of `run`. A step is one of
//   { goto: url }                                  `true`: the link that was kept
//   { fill: label, value }                         a field, by its label
//   { fill: label, totp: steps }                   the field with exactly this label, with the code
//                                                  of the secret that was kept, so many steps of
//                                                  30 s from now
//   { click: name, role }                          by its role ("button" if absent) and name
//   { confirm: name }                              clicks a button of the open dialog
//   { see: text, role }                            waits until it, or one of several texts, is
//                                                  visible; with a role: until an element of this
//                                                  role contains the text
//   { gone: text }                                 waits until it is not visible
//   { mark: id } { noMark: id }                    waits until an element with this test id is
//                                                  visible, or is not
//   { hover: label }                               moves the mouse over an element: controls appear
//   { tap: name, role }                            as click, with a finger
//   { touch: label }                               touches an element in the middle, whatever it is
//   { press: key }                                 a key, such as "ArrowRight"
//   { hold: name, ms }                             holds a button down for this time
//   { download: name, file }                       clicks a button, and saves the file that comes
//   { read: name, role }                           prints the text of an element
//   { text: true }                                 prints the text of the whole page
//   { protocols: true }                            prints the versions of HTTP over which files of
//                                                  the page came
//   { screenshot: file, fullPage }
//   { colorScheme: "dark" } { viewport: {width, height} }
//   { watch: seconds }                             prints getStats, see `watch`
//   { rates: seconds, playing }                    prints the frame rate of each video, once this
//                                                  many show pictures
//   { move: {token, peer, camera, seconds} }       moves a camera as somebody else, and prints
//                                                  the refusals
//   { sound: seconds }                             prints how loud it is, and which sound there is
//   { token: token }                               uses the dashboard with a token from now on, in
//                                                  place of a user; `true`: with the one that was
//                                                  kept
//   { keep: label, as: "token" }                   keeps the text of an element as the token, link
//                                                  or secret for other steps
//   { in: name, phone }                            goes on in another browser with cookies of its
//                                                  own, which is opened the first time, with a
//                                                  screen to touch if `phone` is true; the first
//                                                  one has the name ""
//   { stops: name, of }                            clicks a button of a dialog, and prints how long
//                                                  after it the other browser shows its last frame
//   { tiles: seconds }                             prints the tiles of the wall again and again,
//                                                  and what `memory` prints every minute
//   { memory: true }                               prints what the page keeps in memory, see
//                                                  `memory`
//   { slow: glob, ms }                             lets files of the page come so late from now on
//   { authenticator: transport }                   plugs an authenticator in that checks its user
//                                                  at once, such as "internal" or "usb"
//   { axe: name }                                  fails if the page has a serious or critical
//                                                  finding of axe
//   { frames: seconds }                            prints the times at which pictures came, once
//                                                  there is one
//   { delay: frames }                              prints the glass-to-glass delay, see `delay`
// A step with `optional: true` may fail. Every step ends within `timeoutMs`, 15 s by default.

import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import {
  DEFAULT_TIMEOUT_MS,
  delay,
  emit,
  memory,
  openPage,
  rates,
  run,
  watch,
} from "./chromium.mjs";

const TILES_EVERY_MS = 500;
const MEMORY_EVERY_MS = 60_000;
const FRAMES_EVERY_MS = 20;
// A picture that has shown nothing new for so long has stopped.
const STOPPED_MS = 4_000;

// The pages of other browsers, by name, and the texts that were kept.
const pages = new Map();
const kept = { token: "", link: "", secret: "" };

const actions = {
  goto: (page, step) => page.goto(step.goto === true ? kept.link : step.goto),
  fill: (page, step) => {
    const isCode = "totp" in step;
    const field = page.getByLabel(step.fill, { exact: isCode }).first();
    return field.fill(isCode ? codeOf(kept.secret, step.totp) : step.value);
  },
  click: (page, step) =>
    page
      .getByRole(step.role ?? "button", { name: step.click })
      .first()
      .click(),
  confirm: (page, step) => buttonOfDialog(page, step.confirm).click(),
  see: (page, step) => {
    const found = step.role
      ? page.getByRole(step.role).filter({ hasText: step.see || /\S/ })
      : [step.see]
          .flat()
          .map((text) => page.getByText(text))
          .reduce((one, other) => one.or(other));
    return found.first().waitFor({ state: "visible" });
  },
  gone: (page, step) => page.getByText(step.gone).first().waitFor({ state: "hidden" }),
  mark: (page, step) => page.getByTestId(step.mark).first().waitFor({ state: "visible" }),
  noMark: (page, step) => page.getByTestId(step.noMark).first().waitFor({ state: "hidden" }),
  hover: (page, step) => page.getByLabel(step.hover).first().hover(),
  tap: (page, step) =>
    page
      .getByRole(step.role ?? "button", { name: step.tap })
      .first()
      .tap(),
  touch: (page, step) => page.getByLabel(step.touch).first().tap({ force: true }),
  press: (page, step) => page.keyboard.press(step.press),
  hold: (page, step) =>
    page.getByRole("button", { name: step.hold }).first().click({ delay: step.ms }),
  download: async (page, step) => {
    const coming = page.waitForEvent("download");
    await page.getByRole("button", { name: step.download }).first().click();
    const download = await coming;
    await download.saveAs(step.file);
    emit("download", { name: download.suggestedFilename() });
  },
  rates,
  memory,
  tiles: async (page, step) => {
    const end = Date.now() + step.tiles * 1000;
    let memoryAt = Date.now();
    while (Date.now() < end) {
      if (Date.now() >= memoryAt) {
        await memory(page);
        memoryAt += MEMORY_EVERY_MS;
      }
      emit("tiles", { tiles: await page.evaluate(() => window.portholeTest.tiles()) });
      await page.waitForTimeout(TILES_EVERY_MS);
    }
  },
  move: async (page, step) => {
    const refusals = await page.evaluate((options) => window.portholeTest.move(options), step.move);
    emit("moved", { refusals });
  },
  sound: async (page, step) =>
    emit("sound", await page.evaluate((time) => window.portholeTest.sound(time), step.sound)),
  token: (page, step) => useToken(page.context(), step.token === true ? kept.token : step.token),
  keep: async (page, step) => {
    kept[step.as] = await page.getByLabel(step.keep, { exact: true }).first().innerText();
  },
  stops: async (page, step) => {
    const other = pages.get(step.of);
    await other.evaluate(noteFrames, FRAMES_EVERY_MS);
    await page.waitForTimeout(1_000);
    const button = buttonOfDialog(page, step.stops);
    const clicked = Date.now();
    await button.click();
    let shown = { frames: 0, at: clicked };
    while (Date.now() - Math.max(shown.at, clicked) < STOPPED_MS) {
      if (Date.now() - clicked > DEFAULT_TIMEOUT_MS) throw new Error("the picture goes on");
      await page.waitForTimeout(FRAMES_EVERY_MS);
      shown = await other.evaluate(() => window.portholeFrames);
    }
    emit("stopped", { afterMs: Math.max(shown.at - clicked, 0), frames: shown.frames });
  },
  slow: (page, step) =>
    page.route(step.slow, async (route) => {
      await page.waitForTimeout(step.ms);
      await route.continue();
    }),
  authenticator: (page, step) => plugIn(page, step.authenticator),
  axe: (page, step) => axe(page, step.axe),
  read: async (page, step) => {
    const text = await page.getByRole(step.role, { name: step.read }).first().innerText();
    emit("read", { name: step.read, text });
  },
  text: async (page) => emit("text", { text: await page.locator("body").innerText() }),
  protocols: async (page) => emit("protocols", { protocols: await page.evaluate(protocols) }),
  screenshot: (page, step) =>
    page.screenshot({ path: step.screenshot, fullPage: step.fullPage ?? false }),
  colorScheme: (page, step) => page.emulateMedia({ colorScheme: step.colorScheme }),
  viewport: (page, step) => page.setViewportSize(step.viewport),
  watch: (page, step) => watch(page, step.watch, step.timeoutMs ?? DEFAULT_TIMEOUT_MS),
  frames: async (page, step) => {
    await page.evaluate(noteFrames, FRAMES_EVERY_MS);
    const end = Date.now() + step.frames * 1000;
    let shown = 0;
    while (Date.now() < end) {
      await page.waitForTimeout(FRAMES_EVERY_MS);
      const { frames, at } = await page.evaluate(() => window.portholeFrames);
      if (frames > shown) emit('frames', { frames, at });
      shown = frames;
    }
  },
  delay: (page, step) => delay(page, step.delay),
};

// Returns the code of a TOTP secret in base32 (RFC 6238), so many steps of 30 s from now.
function codeOf(secret, steps) {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = [...secret].map((one) => letters.indexOf(one).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const hash = createHmac("sha1", key).update(counter).digest();
  const number = hash.readUInt32BE(hash[hash.length - 1] & 0xf) & 0x7fff_ffff;
  return String(number % 1_000_000).padStart(6, "0");
}

const buttonOfDialog = (page, name) =>
  page.getByRole("dialog").getByRole("button", { name, exact: true });

// Runs in the page: notes when a video has shown a new frame, and how many there were.
function noteFrames(everyMs) {
  window.portholeFrames = { frames: 0, at: 0 };
  const counts = new WeakMap();
  setInterval(() => {
    for (const video of document.querySelectorAll("video")) {
      const count = video.getVideoPlaybackQuality().totalVideoFrames;
      const more = count - (counts.get(video) ?? count);
      counts.set(video, count);
      if (more <= 0) continue;
      window.portholeFrames.frames += more;
      window.portholeFrames.at = Date.now();
    }
  }, everyMs);
}

async function useToken(context, token) {
  await context.setExtraHTTPHeaders({ Authorization: `Bearer ${token}` });
  await context.addInitScript((token) => {
    const Native = window.WebSocket;
    window.WebSocket = class extends Native {
      constructor(address, protocols) {
        const url = new URL(address, location.href);
        url.searchParams.set("access_token", token);
        super(url, protocols);
      }
    };
  }, token);
}

async function plugIn(page, transport) {
  const session = await page.context().newCDPSession(page);
  await session.send("WebAuthn.enable");
  const options = { protocol: "ctap2", transport, automaticPresenceSimulation: true };
  const verified = { hasResidentKey: true, hasUserVerification: true, isUserVerified: true };
  await session.send("WebAuthn.addVirtualAuthenticator", { options: { ...options, ...verified } });
}

// Returns the versions of HTTP of the files from the page's own server, in the page. What comes
// from the cache has none.
function protocols() {
  const files = performance.getEntriesByType("resource");
  const own = files.filter((file) => file.name.startsWith(`${location.origin}/`));
  return [...new Set(own.map((file) => file.nextHopProtocol).filter((name) => name !== ""))];
}

async function axe(page, name) {
  const source = readFileSync(createRequire(import.meta.url).resolve("axe-core"), "utf8");
  await page.evaluate(source);
  const { violations } = await page.evaluate(() => window.axe.run(document));
  const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const htmlOf = (nodes) => nodes.map(({ html }) => html).join(" | ");
  const shown = grave.map(({ id, nodes }) => `${id}: ${htmlOf(nodes)}`);
  emit("axe", { name, violations: violations.length });
  if (grave.length > 0) throw new Error(`axe on ${name}: ${shown.join("; ")}`);
}

await run(async (first, args) => {
  const start = Date.now();
  let page = first;
  pages.set("", first);
  for (const step of args.steps) {
    if ("in" in step) {
      const browser = first.context().browser();
      const isNew = !pages.has(step.in);
      if (isNew) pages.set(step.in, await openPage(browser, { ...args, phone: step.phone }));
      page = pages.get(step.in);
      continue;
    }
    const name = Object.keys(actions).find((key) => key in step);
    if (!name) throw new Error(`unknown step ${JSON.stringify(step)}`);
    page.setDefaultTimeout(step.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    try {
      await actions[name](page, step);
      emit("step", { step: name, atMs: Date.now() - start });
    } catch (error) {
      if (step.optional) continue;
      emit("text", { text: await page.locator("body").innerText() });
      throw new Error(`step ${JSON.stringify(step)}: ${error.message}`);
    }
  }
});
