/** The rules of the house, as far as they can be read off the sources. */

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

const WORLD = [
  /\b(svelte|document|window|location|navigator|fetch)\b/,
  /\b(WebSocket|RTCPeerConnection)\b/,
  /\b(setTimeout|setInterval|Date|performance)\b|Math\.random/,
];

test.each(under('core'))('%s knows no framework, browser, clock or chance', (_, text) => {
  const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
  for (const world of WORLD) expect(code).not.toMatch(world);
  expect(code).not.toMatch(/from '\.\.\/(perform|state|components|pages)/);
});

test.each([...under('state'), ...under('components'), ...under('pages')])(
  '%s leaves the network to perform',
  (_, text) => {
    expect(text).not.toMatch(/new WebSocket|new RTCPeerConnection|\bfetch\(/);
  },
);
