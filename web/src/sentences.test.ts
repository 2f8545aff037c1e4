/** The rule that every sentence of the dashboard is in `core/text.ts`, ready to be translated. */

import { parse, type AST } from 'svelte/compiler';
import ts from 'typescript';
import { expect, test } from 'vitest';
import { TEXT } from './core/text';

const components = Object.entries(
  import.meta.glob<string>('./**/*.svelte', { query: '?raw', import: 'default', eager: true }),
);
const modules = Object.entries(
  import.meta.glob<string>(['./**/*.ts', '!./**/*.test.ts', '!./protocol/**'], {
    query: '?raw',
    import: 'default',
    eager: true,
  }),
);

/** Returns true for the table of sentences and its parts. */
const isTable = (path: string) => /^\.\/core\/text(\/|\.ts$)/.test(path);

/** Attributes that people see or hear. */
const SPOKEN = /^(alt|title|placeholder|label|lead|hint|text|aria-(label|description|valuetext))$/;
const LETTER = /\p{L}/u;
/** A capital followed by a small letter, or two words: no class has either, nor a key of `TEXT`. */
const WORDS = /^(?!Escape$)\p{Lu}\p{Ll}|\p{L}{2,},? \p{L}/u;

type Node = { readonly type: string; readonly [field: string]: unknown };

/** Returns the texts of a component that people would see and that are not from the table. */
function sentencesOf(source: string): string[] {
  const root = parse(source, { modern: true });
  const found: string[] = [];
  visit(root.fragment as unknown as Node, found);
  for (const script of [root.instance, root.module]) {
    if (script) visit(script.content as unknown as Node, found);
  }
  return found;
}

function visit(node: Node, found: string[]): void {
  if (node.type === 'Text' && LETTER.test(String(node.data))) found.push(String(node.data));
  if (node.type === 'Attribute') return visitAttribute(node as unknown as AST.Attribute, found);
  if (node.type === 'ImportDeclaration' || node.type === 'TSLiteralType') return;
  if (node.type === 'Literal' && typeof node.value === 'string' && WORDS.test(node.value)) {
    found.push(node.value);
  }
  if (node.type === 'TemplateElement') {
    const { raw } = node.value as { raw: string };
    if (WORDS.test(raw)) found.push(raw);
  }
  for (const value of Object.values(node)) visitAll(value, found);
}

function visitAll(value: unknown, found: string[]): void {
  if (Array.isArray(value)) for (const each of value) visitAll(each, found);
  else if (typeof value === 'object' && value !== null && 'type' in value) {
    visit(value as Node, found);
  }
}

function visitAttribute({ name, value }: AST.Attribute, found: string[]): void {
  const parts = Array.isArray(value) ? value : [value];
  for (const part of parts) {
    if (part === true) continue;
    if (part.type !== 'Text') visit(part as unknown as Node, found);
    else if (SPOKEN.test(name) && LETTER.test(part.data)) found.push(part.data);
  }
}

test.each([
  ['<p>Hello</p>', ['Hello']],
  ['<p>{t("a.b")}</p>', []],
  ['<p class="big red">{name} · {size}</p>', []],
  ['<img alt="A door" src="a b.png" />', ['A door']],
  ['<Field label="Name" name="user name" />', ['Name']],
  ['<p>{busy ? "Adding it" : done}</p>', ['Adding it']],
  ['<p title={`at ${x} by hand`}></p>', [' by hand']],
  ['<script>const a = "of the camera";</script>', ['of the camera']],
  ["<script>import a from './Name.svelte';</script>", []],
] as const)('the sentences of %s are found', (source, expected) => {
  expect(sentencesOf(source)).toEqual(expected);
});

test.each(components)('%s has no sentence of its own', (_, source) => {
  expect(sentencesOf(source)).toEqual([]);
});

/** Modules that write for the other side of the connection, which people do not see. */
const FOR_PEERS = [
  './core/signaling-socket.ts',
  './core/viewer-session.ts',
  './drivers/signaling.ts',
  './drivers/viewer.ts',
];
const THREE_WORDS = /\p{L}+,? \p{L}+,? \p{L}+/u;

test.each(modules.filter(([path]) => !isTable(path) && !FOR_PEERS.includes(path)))(
  '%s has no sentence of its own',
  (path, source) => {
    const found: string[] = [];
    const walk = (node: ts.Node): void => {
      const isText = ts.isStringLiteralLike(node) || ts.isTemplateHead(node);
      if (isText && THREE_WORDS.test(node.text)) found.push(node.text);
      ts.forEachChild(node, walk);
    };
    walk(ts.createSourceFile(path, source, ts.ScriptTarget.Latest));
    expect(found).toEqual([]);
  },
);

test('every sentence is used', () => {
  const sources = [...components, ...modules]
    .filter(([path]) => !isTable(path))
    .map(([, source]) => source)
    .join('\n');
  // Keys that end in a value, such as `reason.${kind}`, with what follows the value.
  const families = [...sources.matchAll(/`([a-z.-]+\.)\$\{[a-z.]+\}([a-z-]*)`/g)];
  const isUsed = (key: string) =>
    sources.includes(`'${key.replace(/\.(one|other)$/, '')}'`) ||
    families.some(([, start = '', end = '']) => key.startsWith(start) && key.endsWith(end));
  expect(Object.keys(TEXT).filter((key) => !isUsed(key))).toEqual([]);
});
