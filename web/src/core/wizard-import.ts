/** The cameras of a file of another program, from the file to the devices that are asked. */

import type { Fault, ImportEntry } from '../protocol';
import { update, type Context } from './wizard-context';
import type { ImportEvent, Importing, NewTarget } from './wizard-contract';

/** Longest file that a gateway reads. */
const MAX_FILE_BYTES = 256 * 1024;
/** Bound of the cameras of a file; a gateway tells no more. */
const MAX_ENTRIES = 256;

/** Returns true if a camera of a file can be added. */
export function isTaken({ address }: ImportEntry): boolean {
  return address !== undefined;
}

/** Returns the cameras of the file that are to be added. */
export function ticked({ entries, chosen }: Importing): readonly ImportEntry[] {
  return entries.filter((entry) => isTaken(entry) && chosen.includes(entry.number));
}

export function handleImport(ctx: Context, event: ImportEvent): void {
  const { importing } = ctx.state;
  if (event.type === 'file') return readFile(ctx, event.name, event.bytes);
  if (importing === null || ('file' in event && event.file !== importing.number)) return;
  switch (event.type) {
    case 'entry':
      return handleEntry(ctx, importing, event.entry);
    case 'file-read':
      return handleEnd(ctx, importing, event);
    case 'tick':
      return tick(ctx, importing, event.entries, event.wanted);
  }
}

function readFile(ctx: Context, name: string, bytes: Uint8Array): void {
  const { gateway, importing } = ctx.state;
  if (gateway === null) return;
  const number = (importing?.number ?? 0) + 1;
  const isTooLong = bytes.length > MAX_FILE_BYTES;
  const fresh = { number, name, entries: [], chosen: [], result: null };
  const problem = isTooLong ? 'too-long' : null;
  update(ctx, { importing: { ...fresh, running: !isTooLong, problem }, problem: null });
  if (!isTooLong) ctx.effects.push({ type: 'read-file', file: number, gateway, bytes });
}

function handleEntry(ctx: Context, importing: Importing, entry: ImportEntry): void {
  const { entries, chosen } = importing;
  if (!importing.running || entries.length >= MAX_ENTRIES) return;
  const isWanted = entry.wanted && isTaken(entry);
  update(ctx, {
    importing: {
      ...importing,
      entries: [...entries, entry],
      chosen: isWanted ? [...chosen, entry.number] : chosen,
    },
  });
}

function handleEnd(
  ctx: Context,
  importing: Importing,
  { outcome }: Extract<ImportEvent, { type: 'file-read' }>,
): void {
  const ended = { ...importing, running: false };
  if (outcome === 'wrong-key') return update(ctx, { importing: { ...ended, problem: outcome } });
  if (!outcome.ok) return fail(ctx, ended, outcome.fault);
  update(ctx, { importing: { ...ended, result: outcome.result }, step: 'import' });
}

function fail(ctx: Context, ended: Importing, problem: Fault): void {
  update(ctx, { importing: { ...ended, entries: [], chosen: [], problem } });
}

function tick(
  ctx: Context,
  importing: Importing,
  numbers: readonly number[],
  wanted: boolean,
): void {
  const others = importing.chosen.filter((number) => !numbers.includes(number));
  update(ctx, { importing: { ...importing, chosen: wanted ? [...others, ...numbers] : others } });
}

/** Returns the devices to ask for the cameras that are ticked. */
export function importedTargets(importing: Importing): readonly NewTarget[] {
  const id = importing.result?.import;
  if (id === undefined) return [];
  return ticked(importing).map(({ number, name, address, login }) => ({
    address: address ?? '',
    title: name,
    vendor: null,
    imported: { import: id, entry: number },
    phase: login === 'missing' ? 'login' : 'waiting',
  }));
}
