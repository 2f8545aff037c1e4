import { expect, test } from 'vitest';
import { START, step, type Effect, type Event, type State } from './sign-in';

const TYPED = { name: ' ada ', password: ' p w ', code: ' 123 456 ' };
const SUBMIT: Event = { type: 'submit', typed: TYPED };
const BACK: Event = { type: 'back' };
const refused = (status: number, needsCode: boolean): Event => ({
  type: 'refused',
  refusal: { status, needsCode, error: 'No.' },
});
const ASKED = refused(401, true);
const WRONG = refused(401, false);

function after(...events: readonly Event[]) {
  let state: State = START;
  const effects: Effect[] = [];
  for (const event of events) {
    const next = step(state, event);
    state = next.state;
    effects.push(...next.effects);
  }
  return { state, bodies: effects.map(({ body }) => body) };
}

test('the code is sent once the server has asked for it, with the same name and password', () => {
  const body = { name: 'ada', password: ' p w ' };
  expect(after(SUBMIT, ASKED, SUBMIT).bodies).toEqual([body, { ...body, code: '123 456' }]);
});

test.each([
  ['a wrong password', [SUBMIT, WRONG], 'password', 'No.'],
  ['the first request for a code', [SUBMIT, ASKED], 'code', null],
  ['a wrong code', [SUBMIT, ASKED, SUBMIT, ASKED], 'code', 'No.'],
  ['a password that is wrong by now', [SUBMIT, ASKED, SUBMIT, WRONG], 'password', 'No.'],
  ['too many passwords', [SUBMIT, refused(429, false)], 'password', 'No.'],
  ['too many codes', [SUBMIT, ASKED, SUBMIT, refused(429, false)], 'code', 'No.'],
  ['a server that is not reached', [SUBMIT, ASKED, SUBMIT, refused(0, false)], 'code', 'No.'],
  ['going back', [SUBMIT, ASKED, SUBMIT, ASKED, BACK], 'password', null],
] as const)('after %s, the form goes on with the right part', (_, events, phase, error) => {
  const { state } = after(...events);
  expect(state).toEqual({ phase, busy: false, error });
  expect(step(state, SUBMIT).effects).toHaveLength(1);
});

test('while an answer is awaited, nothing is sent or changed', () => {
  const { state } = after(SUBMIT);
  expect(state.busy).toBe(true);
  for (const event of [SUBMIT, BACK]) expect(step(state, event)).toEqual({ state, effects: [] });
  expect(step(START, ASKED)).toEqual({ state: START, effects: [] });
});
