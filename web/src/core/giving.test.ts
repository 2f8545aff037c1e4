import { describe, expect, test } from 'vitest';
import { CLOSED, stepOf, type Event, type State } from './giving';
import { DAY_S } from './lifetime';
import { TOKEN_FORM, type TokenDraft } from './new-token';

const step = stepOf(TOKEN_FORM);
const draft: TokenDraft = { ...TOKEN_FORM.empty, name: ' Tablet ' };

/** Applies events one after the other. Returns the last state, and all effects. */
function after(...events: readonly Event<TokenDraft>[]) {
  let state: State<TokenDraft> = CLOSED;
  const effects = [];
  for (const event of events) {
    const next = step(state, event);
    state = next.state;
    effects.push(...next.effects);
  }
  return { state, effects };
}
const OPEN = { type: 'open' } as const;
const SUBMIT = { type: 'submit' } as const;
const CHANGE = { type: 'change', draft } as const;
const CREATED = { type: 'created', secret: 'pt_1' } as const;
const REFUSED = { type: 'refused', error: 'No.' } as const;
const CLOSE = { type: 'close' } as const;

test('what was chosen is created, and its secret shown until it is closed', () => {
  const { state, effects } = after(OPEN, CHANGE, SUBMIT, CREATED);
  expect(state).toEqual({ phase: 'created', draft, secret: 'pt_1' });
  expect(effects).toEqual([
    {
      type: 'create',
      body: {
        name: 'Tablet',
        role: 'viewer',
        cameras: [],
        control: false,
        listen: true,
        expiresInSeconds: 30 * DAY_S,
      },
    },
    { type: 'reload' },
  ]);
  expect(step(state, CLOSE).state).toEqual(CLOSED);
});

test('a field that is wrong is complained about until it is right, and no other', () => {
  const { state, effects } = after(OPEN, SUBMIT);
  expect(effects).toEqual([]);
  expect(state).toMatchObject({ phase: 'editing', problems: { name: expect.any(String) } });
  const limited = { ...TOKEN_FORM.empty, limited: true };
  const still = step(state, { type: 'change', draft: limited }).state;
  expect(still).toMatchObject({ problems: { name: expect.any(String) } });
  expect(still).not.toHaveProperty('problems.cameras');
  expect(step(still, CHANGE).state).toMatchObject({ problems: {} });
});

test('a refusal keeps what was chosen', () => {
  const { state } = after(OPEN, CHANGE, SUBMIT, REFUSED);
  expect(state).toEqual({ phase: 'editing', draft, problems: {}, error: 'No.' });
});

test('a form that is opened again is empty', () => {
  expect(after(OPEN, CHANGE, CLOSE, OPEN).state).toMatchObject({ draft: TOKEN_FORM.empty });
});

describe('events that do not fit change nothing', () => {
  test.each([
    ['closed', after(), [SUBMIT, CHANGE, CREATED, REFUSED]],
    ['editing', after(OPEN, CHANGE), [OPEN, CREATED, REFUSED]],
    ['creating', after(OPEN, CHANGE, SUBMIT), [OPEN, CHANGE, SUBMIT, CLOSE]],
    ['created', after(OPEN, CHANGE, SUBMIT, CREATED), [OPEN, CHANGE, SUBMIT, CREATED, REFUSED]],
  ])('%s', (phase, { state }, events) => {
    expect(state.phase).toBe(phase);
    for (const event of events) expect(step(state, event)).toEqual({ state, effects: [] });
  });
});

test.each([
  [{}, { control: false, listen: true, cameras: [] }],
  [
    { control: true, listen: false },
    { control: true, listen: false },
  ],
  [
    { role: 'admin', control: true, listen: false },
    { control: false, listen: true },
  ],
  [{ limited: true, cameras: ['a@g'] }, { cameras: ['a@g'] }],
  [{ limited: false, cameras: ['a@g'] }, { cameras: [] }],
  [{ cap: 2000 }, { maxKbitPerS: 2000 }],
  [
    { role: 'admin', scopes: ['read', 'audit'] },
    { role: 'admin', scopes: ['read', 'audit'] },
  ],
] as const)('%o becomes a request with %o', (changes, expected) => {
  expect(TOKEN_FORM.bodyOf({ ...draft, ...changes })).toMatchObject(expected);
});

test.each([
  ['everything', { role: 'admin', scopes: null }],
  ['a viewer', { role: 'viewer', scopes: ['read'] }],
] as const)('a token for %s has no scopes', (_, changes) => {
  expect(TOKEN_FORM.bodyOf({ ...draft, ...changes })).not.toHaveProperty('scopes');
});

test.each([
  [{ role: 'admin', scopes: [] }, 'Choose at least one.'],
  [{ role: 'viewer', scopes: [] }, undefined],
  [{ role: 'admin', scopes: ['audit'] }, undefined],
  [{ role: 'admin', scopes: ['audit'], limited: true, cameras: ['a@g'] }, /whole server/],
  [{ role: 'admin', scopes: ['shares'], limited: true, cameras: ['a@g'] }, undefined],
  [{ role: 'admin', scopes: null, limited: true, cameras: ['a@g'] }, undefined],
] as const)('the scopes of %o are wrong: %s', (changes, expected) => {
  const { scopes } = TOKEN_FORM.problemsOf({ ...draft, ...changes });
  if (expected === undefined) expect(scopes).toBeUndefined();
  else expect(scopes).toMatch(expected);
});

test('a token without an end or a limit has none', () => {
  const body = TOKEN_FORM.bodyOf({ ...draft, lifetime: null, cap: null });
  expect(body).not.toHaveProperty('expiresInSeconds');
  expect(body).not.toHaveProperty('maxKbitPerS');
});
