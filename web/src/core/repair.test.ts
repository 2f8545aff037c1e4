import { expect, test } from 'vitest';
import type { Camera, CheckSettingsResult, SettingChange } from '../protocol';
import { groups, initialState, lead, left, mayRepair, step } from './repair';
import type { RepairEvent, RepairState } from './repair';

const gov: SettingChange = {
  key: 'key-frames',
  stream: 'main',
  before: 'every 8 s',
  after: 'every 2 s',
};
const size: SettingChange = { key: 'size', stream: 'sub', before: '1920×1080', after: '640×360' };
const clock: SettingChange = { key: 'clock', before: '12:00, 2 hours behind', after: '14:00' };
const far = { key: 'b-pictures', failure: false, text: 'it has', values: { stream: 'main 1' } };
const found: CheckSettingsResult = { plan: '1--a', changes: [size, clock, gov], left: [far] };

const ok = <T>(result: T) => ({ ok: true, result }) as const;
const fault = (code: number, message: string) => ({ ok: false, fault: { code, message } }) as const;

/** Applies the events; returns the last state and every effect. */
function run(...events: RepairEvent[]) {
  let state: RepairState = initialState();
  const effects: unknown[] = [];
  for (const event of events) {
    const next = step(state, event);
    state = next.state;
    effects.push(...next.effects);
  }
  return { state, effects };
}

const checked: RepairEvent = { type: 'checked', outcome: ok(found) };
const apply: RepairEvent = { type: 'apply' };

test('what is shown is set by its plan, once, and only after a person has said so', () => {
  const shown = run({ type: 'check' }, checked);
  expect(shown.effects).toEqual([{ type: 'check' }]);
  expect(shown.state.phase).toBe('shown');
  const set = run({ type: 'check' }, checked, apply, apply);
  expect(set.effects).toEqual([{ type: 'check' }, { type: 'apply', plan: '1--a' }]);
  expect(set.state.phase).toBe('setting');
});

test('nothing is set before it is shown, or if there is nothing to set', () => {
  expect(run(apply).effects).toEqual([]);
  const nothing: RepairEvent = { type: 'checked', outcome: ok({ ...found, changes: [] }) };
  expect(run(nothing, apply).effects).toEqual([]);
});

test('the settings stand below their streams, with the names that people know', () => {
  const { state } = run(checked);
  const view = groups(state).map(({ title, rows }) => [title, ...rows.map(({ label }) => label)]);
  expect(view).toEqual([
    ['Full-resolution stream', 'Key frames'],
    ['Low-resolution stream', 'Size'],
    ['Camera', 'Clock'],
  ]);
  expect(left(state).map(({ key, action }) => [key, action])).toEqual([['b-pictures', null]]);
});

test.each([
  ['everything as it was shown', [size, gov, { ...clock, after: '14:01' }], null, 'has these'],
  [
    'another value',
    [{ ...size, after: '704×576' }, gov, clock],
    '704×576',
    'not taken every setting',
  ],
] as const)('%s is told', (_, changes, instead, words) => {
  const outcome = ok({ changes: [...changes] });
  const { state } = run(checked, apply, { type: 'applied', outcome });
  const row = groups(state)[1]?.rows[0];
  expect(row?.instead).toBe(instead);
  expect(lead(state)).toContain(words);
});

test.each([
  [
    'a refusal',
    fault(400, 'the camera refuses it, and nothing was changed'),
    'The camera refuses it',
  ],
  ['a conflict', fault(409, "the camera's settings have changed"), "The camera's settings have"],
  ['a lost connection', fault(-1, ''), '.'],
] as const)('%s is told in one sentence', (_, outcome, words) => {
  for (const state of [
    run({ type: 'checked', outcome }).state,
    run(checked, apply, { type: 'applied', outcome }).state,
  ]) {
    expect(state.phase).toBe('failed');
    expect(lead(state)).toContain(words);
    expect(step(state, { type: 'check' }).effects).toEqual([{ type: 'check' }]);
  }
});

test.each([
  ['settings to change', found, 'Nothing is changed until'],
  ['facts only', { ...found, changes: [] }, 'cannot be set from here'],
  ['nothing at all', { ...found, changes: [], left: [] }, 'are right'],
])('%s are introduced', (_, result, words) => {
  expect(lead(run({ type: 'checked', outcome: ok(result) }).state)).toContain(words);
});

test('an answer that comes late changes nothing', () => {
  const { state } = run(checked, apply);
  expect(step(state, checked).state).toBe(state);
  const late: RepairEvent = { type: 'applied', outcome: ok({ changes: [] }) };
  expect(step(initialState(), late).state.phase).toBe('checking');
});

test.each([
  ['an administrator', ['watch', 'manage'], 'live', true],
  ['a viewer', ['watch', 'control'], 'live', false],
  ['a gateway that is not connected', ['manage'], 'offline', false],
] as const)('%s: the button is there: %s', (_, permissions, state, expected) => {
  const camera = { permissions, state } as unknown as Camera;
  expect(mayRepair(camera)).toBe(expected);
});

test('a setting of a newer gateway has its own name', () => {
  const changes = [{ key: 'new-thing', before: 'a', after: 'b' }];
  const { state } = run({ type: 'checked', outcome: ok({ ...found, changes }) });
  expect(groups(state)[0]?.rows[0]?.label).toBe('new-thing');
});
