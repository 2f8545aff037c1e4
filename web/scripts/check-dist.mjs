// Fails the build if the dashboard exceeds its size budgets, or if it needs more than the content
// security policy allows.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const DIST = new URL('../dist/', import.meta.url).pathname;
/**
 * What is loaded before the first picture: the page, and the files that it names. A phone in the
 * street loads this much in about a second, and the wall of cameras needs less.
 */
const FIRST_BUDGET_BYTES = 122_880;
/** Everything, with the pages that are loaded when they are opened. */
const TOTAL_BUDGET_BYTES = 204_800;

const page = readFileSync(join(DIST, 'index.html'), 'utf8');
const files = readdirSync(DIST, { recursive: true, withFileTypes: true }).filter((f) => f.isFile());
let [first, total] = [0, 0];
for (const file of files) {
  const path = join(file.parentPath, file.name);
  const name = path.slice(DIST.length);
  const size = gzipSync(readFileSync(path)).length;
  const isFirst = name === 'index.html' || page.includes(name);
  total += size;
  if (isFirst) first += size;
  console.log(`${String(size).padStart(7)} B gzip  ${name}${isFirst ? '' : ' (later)'}`);
}
console.log(`${String(first).padStart(7)} B gzip  first, of ${FIRST_BUDGET_BYTES}`);
console.log(`${String(total).padStart(7)} B gzip  in total, of ${TOTAL_BUDGET_BYTES}`);

const errors = [];
if (first > FIRST_BUDGET_BYTES) errors.push(`the first page has ${first} B gzip`);
if (total > TOTAL_BUDGET_BYTES) errors.push(`the dashboard has ${total} B gzip`);
if (/<script(?![^>]*\bsrc=)/.test(page)) errors.push('index.html has an inline script');
if (/<style|\sstyle=/.test(page)) errors.push('index.html has an inline style');
if (/="\/(?!\/)/.test(page)) errors.push('index.html has an address that a proxy path would break');
for (const error of errors) console.error(`check-dist: ${error}`);
process.exit(errors.length === 0 ? 0 : 1);
