/** Rules that the sources must follow. */

import { expect, test } from 'vitest';

const sources = import.meta.glob<string>(['./**/*.{ts,svelte}', '!./protocol/**'], {
  query: '?raw',
  import: 'default',
  eager: true,
});
const files = Object.entries(sources).filter(([path]) => !path.endsWith('.test.ts'));
const under = (folder: string) => files.filter(([path]) => path.startsWith(`./${folder}/`));

test.each(files)('%s is small, and has no `any`', (path, text) => {
  expect(text.split('\n').length).toBeLessThanOrEqual(path.endsWith('.svelte') ? 151 : 601);
  expect(text).not.toMatch(/(:|<|as|\|) ?any\b/);
});

const FORBIDDEN_IN_CORE = [
  /\b(svelte|document|window|location|navigator|fetch)\b/,
  /\b(WebSocket|RTCPeerConnection)\b/,
  /\b(setTimeout|setInterval|Date|performance)\b|Math\.random/,
];

test.each(under('core'))('%s uses no framework, browser API, clock or randomness', (_, text) => {
  const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
  for (const name of FORBIDDEN_IN_CORE) expect(code).not.toMatch(name);
  expect(code).not.toMatch(/from '\.\.\/(drivers|state|components|pages)/);
});

test.each([...under('state'), ...under('components'), ...under('pages')])(
  '%s leaves the network to the drivers',
  (_, text) => {
    expect(text).not.toMatch(/new WebSocket|new RTCPeerConnection|\bfetch\(/);
  },
);
