// Uses a page as a person does: by its visible labels and texts.
//
// Arguments: steps, and those of `run`. A step is one of
//   { goto: url }
//   { fill: label, value }                         a field, by its label
//   { click: name, role }                          by its role ("button" if absent) and name
//   { see: text, role }                            waits until it, or one of several texts, is
//                                                  visible; with a role: until an element of this
//                                                  role contains the text
//   { read: name, role }                           prints the text of an element
//   { text: true }                                 prints the text of the whole page
//   { screenshot: file, fullPage }
//   { colorScheme: "dark" } { viewport: {width, height} }
//   { watch: seconds }                             prints getStats, see `watch`
//   { delay: frames }                              prints the glass-to-glass delay, see `delay`
// A step with `optional: true` may fail. Every step ends within `timeoutMs`, 15 s by default.

import { delay, emit, run, watch } from './chromium.mjs';

const DEFAULT_TIMEOUT_MS = 15_000;

const actions = {
  goto: (page, step) => page.goto(step.goto),
  fill: (page, step) => page.getByLabel(step.fill).first().fill(step.value),
  click: (page, step) =>
    page.getByRole(step.role ?? 'button', { name: step.click }).first().click(),
  see: (page, step) => {
    const found = step.role
      ? page.getByRole(step.role).filter({ hasText: step.see || /\S/ })
      : [step.see].flat().map((text) => page.getByText(text)).reduce((one, other) => one.or(other));
    return found.first().waitFor({ state: 'visible' });
  },
  read: async (page, step) => {
    const text = await page.getByRole(step.role, { name: step.read }).first().innerText();
    emit('read', { name: step.read, text });
  },
  text: async (page) => emit('text', { text: await page.locator('body').innerText() }),
  screenshot: (page, step) =>
    page.screenshot({ path: step.screenshot, fullPage: step.fullPage ?? false }),
  colorScheme: (page, step) => page.emulateMedia({ colorScheme: step.colorScheme }),
  viewport: (page, step) => page.setViewportSize(step.viewport),
  watch: (page, step) => watch(page, step.watch, step.timeoutMs ?? DEFAULT_TIMEOUT_MS),
  delay: (page, step) => delay(page, step.delay),
};

await run(async (page, args) => {
  const start = Date.now();
  for (const step of args.steps) {
    const name = Object.keys(actions).find((key) => key in step);
    if (!name) throw new Error(`unknown step ${JSON.stringify(step)}`);
    page.setDefaultTimeout(step.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    try {
      await actions[name](page, step);
      emit('step', { step: name, atMs: Date.now() - start });
    } catch (error) {
      if (step.optional) continue;
      emit('text', { text: await page.locator('body').innerText() });
      throw new Error(`step ${JSON.stringify(step)}: ${error.message}`);
    }
  }
});
