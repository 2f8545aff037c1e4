/** The name of a browser for people, from the one that it gives itself (`User-Agent`). */

import { t } from './text';

/** The first that is found counts: most browsers also name those that they descend from. */
const BROWSERS: readonly (readonly [RegExp, string])[] = [
  [/\bEdg(e|A|iOS)?\//, 'Edge'],
  [/\b(OPR|OPX|OPT)\//, 'Opera'],
  [/\bSamsungBrowser\//, 'Samsung Internet'],
  [/\b(Firefox|FxiOS)\//, 'Firefox'],
  [/\b(HeadlessChrome|Chrome|CriOS|Chromium)\//, 'Chrome'],
  [/\bVersion\/.*\bSafari\//, 'Safari'],
];
const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/\biPhone\b/, 'iPhone'],
  [/\biPad\b/, 'iPad'],
  [/\bAndroid\b/, 'Android'],
  [/\bWindows\b/, 'Windows'],
  [/\bMac OS X\b/, 'macOS'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bLinux\b/, 'Linux'],
];
/** A program that is no browser, such as `curl/8.5.0`: its name, as far as it is short. */
const PROGRAM = /^([\w.-]{1,32})(\/|$)/;

export function browserName(agent: string | undefined): string {
  if (agent === undefined) return t('browser.unknown');
  const browser = nameIn(BROWSERS, agent) ?? otherProgram(agent);
  const system = nameIn(SYSTEMS, agent);
  if (browser === null) return system ?? t('browser.unknown');
  return system === null ? browser : t('browser.on', { browser, system });
}

function nameIn(names: readonly (readonly [RegExp, string])[], agent: string): string | null {
  return names.find(([pattern]) => pattern.test(agent))?.[1] ?? null;
}

function otherProgram(agent: string): string | null {
  const name = PROGRAM.exec(agent)?.[1];
  return name === undefined || name === 'Mozilla' ? null : name;
}
