import { expect, test } from 'vitest';
import { START, step, type Effect, type Event, type State } from './own-proof';

const SUBMIT: Event = { type: 'submit', password: ' p w ', code: ' 123 456 ' };
const DONE: Event = { type: 'done' };
const ASKED: Event = { type: 'refused', error: 'No.', needsCode: true };
const WRONG: Event = { type: 'refused', error: 'No.', needsCode: false };

function after(...events: readonly Event[]) {
  let state: State = START;
  const effects: Effect[] = [];
  for (const event of events) {
    const next = step(state, event);
    state = next.state;
    effects.push(...next.effects);
  }
  return { state, proofs: effects.map(({ proof }) => proof) };
}

test('the code is sent once the server has asked for it, with the same password', () => {
  const proof = { password: ' p w ' };
  expect(after(SUBMIT, ASKED, SUBMIT).proofs).toEqual([proof, { ...proof, code: '123 456' }]);
});

test.each([
  ['nothing', [], false, null],
  ['a wrong password', [SUBMIT, WRONG], false, 'No.'],
  ['the first request for a code', [SUBMIT, ASKED], true, null],
  ['a wrong code', [SUBMIT, ASKED, SUBMIT, ASKED], true, 'No.'],
  ['a password that is wrong by now', [SUBMIT, ASKED, SUBMIT, WRONG], true, 'No.'],
  ['a success', [SUBMIT, ASKED, SUBMIT, DONE], true, null],
] as const)('after %s, the form asks for what is needed', (_, events, asksCode, error) => {
  const { state } = after(...events);
  expect(state).toEqual({ asksCode, busy: false, error });
  expect(step(state, SUBMIT).effects).toHaveLength(1);
});

test('while an answer is awaited nothing is sent, and none counts that is not awaited', () => {
  const { state } = after(SUBMIT);
  expect(state).toEqual({ asksCode: false, busy: true, error: null });
  expect(step(state, SUBMIT)).toEqual({ state, effects: [] });
  for (const event of [ASKED, WRONG, DONE]) {
    expect(step(START, event)).toEqual({ state: START, effects: [] });
  }
});
