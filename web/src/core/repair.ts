/**
 * Putting the settings of a camera right: what the gateway would set is shown, then exactly that is
 * set, if a person says so. `docs/ref/onvif.md` lists the settings.
 */

import type { ApplySettingsResult, Camera, CheckSettingsResult, SettingChange } from '../protocol';
import { findingView, type FindingView } from './findings';
import type { Step } from './machine';
import { faultReason, oneLine, sentence } from './reasons';
import type { Outcome } from './rpc';
import { t, TEXT, type Key } from './text';

export type RepairPhase = 'checking' | 'shown' | 'setting' | 'set' | 'failed';

export interface RepairState {
  readonly phase: RepairPhase;
  /** The settings that would be set, or that were asked for. */
  readonly shown: CheckSettingsResult;
  /** The settings as they were read back. */
  readonly set: readonly SettingChange[];
  /** The reason of a failure, for people. */
  readonly error: string | null;
}

export type RepairEvent =
  | { readonly type: 'check' }
  | { readonly type: 'checked'; readonly outcome: Outcome<CheckSettingsResult> }
  | { readonly type: 'apply' }
  | { readonly type: 'applied'; readonly outcome: Outcome<ApplySettingsResult> };

export type RepairEffect =
  { readonly type: 'check' } | { readonly type: 'apply'; readonly plan: string };

const NOTHING: CheckSettingsResult = { plan: '', changes: [], left: [] };

export function initialState(): RepairState {
  return { phase: 'checking', shown: NOTHING, set: [], error: null };
}

export function step(state: RepairState, event: RepairEvent): Step<RepairState, RepairEffect> {
  switch (event.type) {
    case 'check':
      return { state: initialState(), effects: [{ type: 'check' }] };
    case 'checked':
      return stay(state.phase === 'checking' ? checked(state, event.outcome) : state);
    case 'apply': {
      const { changes, plan } = state.shown;
      if (state.phase !== 'shown' || changes.length === 0) return stay(state);
      return { state: { ...state, phase: 'setting' }, effects: [{ type: 'apply', plan }] };
    }
    case 'applied':
      return stay(state.phase === 'setting' ? applied(state, event.outcome) : state);
  }
}

export function nextTimeout(): null {
  return null;
}

function stay(state: RepairState): Step<RepairState, RepairEffect> {
  return { state, effects: [] };
}

function checked(state: RepairState, outcome: Outcome<CheckSettingsResult>): RepairState {
  if (!outcome.ok) return failed(state, outcome);
  return { ...state, phase: 'shown', shown: outcome.result };
}

function applied(state: RepairState, outcome: Outcome<ApplySettingsResult>): RepairState {
  if (!outcome.ok) return failed(state, outcome);
  return { ...state, phase: 'set', set: outcome.result.changes };
}

function failed(
  state: RepairState,
  { fault }: Extract<Outcome<never>, { ok: false }>,
): RepairState {
  const error = fault.code > 0 && fault.message ? sentence(fault.message) : null;
  return { ...state, phase: 'failed', error: error ?? oneLine(faultReason(fault)) };
}

/** A setting of the table. */
export interface RepairRow {
  readonly key: string;
  readonly label: string;
  readonly before: string;
  readonly after: string;
  /** The value that the camera has now, if it is not the one that was asked for. */
  readonly instead: string | null;
}

/** The settings of one stream, or of the camera as a whole. */
export interface RepairGroup {
  readonly title: string;
  readonly rows: readonly RepairRow[];
}

/** Returns the settings that are shown, by their streams. */
export function groups({ phase, shown, set }: RepairState): readonly RepairGroup[] {
  const streams = ['main', 'sub', undefined] as const;
  const rowsOf = (stream: SettingChange['stream']): readonly RepairRow[] =>
    shown.changes.filter((change) => change.stream === stream).map((change) => row(change));
  const row = ({ key, stream, before, after }: SettingChange): RepairRow => {
    const now = set.find((other) => other.key === key && other.stream === stream)?.after;
    const isOther = phase === 'set' && now !== undefined && now !== after && key !== CLOCK;
    return { key, label: settingName(key), before, after, instead: isOther ? now : null };
  };
  return streams
    .map((stream) => ({ title: title(stream ?? 'camera'), rows: rowsOf(stream) }))
    .filter(({ rows }) => rows.length > 0);
}

function title(part: 'main' | 'sub' | 'camera'): string {
  return t(`repair.${part}`);
}

/** The setting whose value goes on by itself, so that what is read back is another one. */
const CLOCK = 'clock';

function settingName(key: string): string {
  const own = `repair.key.${key}`;
  return own in TEXT ? t(own as Key) : key;
}

/** Returns the facts that are to be put right in the camera's own pages. */
export function left({ shown }: RepairState): readonly FindingView[] {
  return shown.left.map((finding) => ({ ...findingView(finding), action: null }));
}

/** Returns the sentence above the table. */
export function lead(state: RepairState): string {
  const { phase, shown, error } = state;
  switch (phase) {
    case 'checking':
      return t('repair.checking');
    case 'setting':
      return t('repair.setting');
    case 'failed':
      return error ?? '';
    case 'set': {
      const isOther = groups(state).some(({ rows }) => rows.some(({ instead }) => instead));
      return t(isOther ? 'repair.set-otherwise' : 'repair.set');
    }
    case 'shown':
      if (shown.changes.length > 0) return t('repair.lead');
      return t(shown.left.length > 0 ? 'repair.nothing-from-here' : 'repair.nothing');
  }
}

/** Returns true if this person may put the settings of a camera right. */
export function mayRepair({ permissions, provisional, state }: Camera): boolean {
  return permissions.includes('manage') && provisional !== true && state !== 'offline';
}
