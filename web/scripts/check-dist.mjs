// Fails the build if the dashboard exceeds its size budget, or if it needs more than the content
// security policy allows.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const DIST = new URL('../dist/', import.meta.url).pathname;
const BUDGET_BYTES = 60 * 1024;

const files = readdirSync(DIST, { recursive: true, withFileTypes: true }).filter((f) => f.isFile());
let total = 0;
for (const file of files) {
  const path = join(file.parentPath, file.name);
  const size = gzipSync(readFileSync(path)).length;
  total += size;
  console.log(`${String(size).padStart(7)} B gzip  ${path.slice(DIST.length)}`);
}
console.log(`${String(total).padStart(7)} B gzip  of ${BUDGET_BYTES}`);

const errors = [];
if (total > BUDGET_BYTES)
  errors.push(`the dashboard has ${total} B gzip, the budget is ${BUDGET_BYTES}`);
const page = readFileSync(join(DIST, 'index.html'), 'utf8');
if (/<script(?![^>]*\bsrc=)/.test(page)) errors.push('index.html has an inline script');
if (/<style|\sstyle=/.test(page)) errors.push('index.html has an inline style');
if (/="\/(?!\/)/.test(page)) errors.push('index.html has an address that a proxy path would break');
for (const error of errors) console.error(`check-dist: ${error}`);
process.exit(errors.length === 0 ? 0 : 1);
