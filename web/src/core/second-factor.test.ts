import { describe, expect, test } from 'vitest';
import { step, type Effect, type Event, type State } from './second-factor';

const TOTP = { url: 'otpauth://totp/x', secret: 'ABC' };
const OFF = { type: 'loaded', factor: { enrolled: false, recoveryCodes: 0 } } as const;
const ON = { type: 'loaded', factor: { enrolled: true, recoveryCodes: 9 } } as const;
const OPEN = { type: 'open' } as const;
const CANCEL = { type: 'cancel' } as const;
const SUBMIT = { type: 'submit', password: 'p', code: ' 123 456 ' } as const;
const SECRET = { type: 'secret', totp: TOTP } as const;
const CONFIRMED = { type: 'confirmed', codes: ['a', 'b'] } as const;
const ENDED = { type: 'ended' } as const;
const REFUSED = { type: 'refused', error: 'No.' } as const;

function after(...events: readonly Event[]) {
  let state: State = { phase: 'loading' };
  const effects: Effect[] = [];
  for (const event of events) {
    const next = step(state, event);
    state = next.state;
    effects.push(...next.effects);
  }
  return { state, effects };
}

test('it is set up with the password and a code of the app, and its codes are shown once', () => {
  const { state, effects } = after(OFF, OPEN, SUBMIT, SECRET, SUBMIT, CONFIRMED);
  expect(state).toEqual({ phase: 'codes', codes: ['a', 'b'] });
  expect(effects).toEqual([
    { type: 'start', password: 'p' },
    { type: 'confirm', code: '123 456' },
  ]);
  expect(step(state, CANCEL)).toEqual({ state: { phase: 'loading' }, effects: [{ type: 'load' }] });
});

test('it is switched off with the password and a code', () => {
  const { state, effects } = after(ON, OPEN, SUBMIT, ENDED);
  expect(state).toEqual({ phase: 'loading' });
  expect(effects).toEqual([{ type: 'end', password: 'p', code: '123 456' }, { type: 'load' }]);
});

test.each([
  ['the password', [OFF, OPEN, SUBMIT, REFUSED], 'starting'],
  ['the code', [OFF, OPEN, SUBMIT, SECRET, SUBMIT, REFUSED], 'confirming'],
  ['either', [ON, OPEN, SUBMIT, REFUSED], 'ending'],
] as const)('%s that is wrong can be typed again', (_, events, phase) => {
  const { state } = after(...events);
  expect(state).toMatchObject({ phase, busy: false, error: 'No.' });
  expect(step(state, SUBMIT).effects).toHaveLength(1);
});

test.each([
  [[OFF, OPEN, CANCEL], { phase: 'off' }],
  [[OFF, OPEN, SUBMIT, SECRET, CANCEL], { phase: 'off' }],
  [[ON, OPEN, CANCEL], { phase: 'on', recoveryCodes: 9 }],
] as const)('%o goes back', (events, expected) => {
  expect(after(...events).state).toEqual(expected);
});

describe('events that do not fit change nothing', () => {
  test.each([
    ['loading', [], [OPEN, SUBMIT, SECRET, CONFIRMED, ENDED, REFUSED, CANCEL]],
    ['off', [OFF], [SUBMIT, SECRET, CONFIRMED, ENDED, REFUSED, CANCEL]],
    ['on', [ON], [SUBMIT, SECRET, CONFIRMED, ENDED, REFUSED, CANCEL]],
    ['starting', [OFF, OPEN, SUBMIT], [OFF, ON, OPEN, SUBMIT, CONFIRMED, ENDED, CANCEL]],
    ['confirming', [OFF, OPEN, SUBMIT, SECRET], [OFF, ON, OPEN, SECRET, ENDED]],
    ['codes', [OFF, OPEN, SUBMIT, SECRET, CONFIRMED], [ON, OPEN, SUBMIT, SECRET, ENDED, REFUSED]],
  ] as const)('%s', (phase, events, others) => {
    const { state } = after(...events);
    expect(state.phase).toBe(phase);
    for (const event of others) expect(step(state, event)).toEqual({ state, effects: [] });
  });
});
