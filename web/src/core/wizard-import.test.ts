import { describe, expect, test } from 'vitest';
import type { ImportEntry, ProbedCamera } from '../protocol';
import { initialState, step } from './wizard';
import type { WizardEffect, WizardEvent, WizardState } from './wizard-contract';
import { stepsOf, titleOfStep } from './wizard-text';

const entry = (number: number, name: string, more: Partial<ImportEntry> = {}): ImportEntry => ({
  number,
  name,
  address: `rtsp://10.0.0.${number}/`,
  login: 'known',
  wanted: true,
  notes: [],
  ...more,
});
const refused = (number: number, name: string): ImportEntry => {
  return { number, name, login: 'none', wanted: false, notes: [] };
};
const FILE = new Uint8Array([1, 2, 3]);

/** A wizard at the search of a gateway. */
class Bench {
  state: WizardState = initialState({ kind: 'add' }, []);
  effects: WizardEffect[] = [];

  constructor() {
    this.dispatch(
      { type: 'start' },
      { type: 'gateways', gateways: [{ id: 'gw-house', name: 'House', online: true }] },
      { type: 'list', outcome: { ok: true, result: { revision: 4, cameras: [] } } },
    );
  }

  dispatch(...events: WizardEvent[]): this {
    this.effects = [];
    for (const event of events) {
      const { state, effects } = step(this.state, event, { now: 1_000, random: 0 });
      this.state = state;
      this.effects.push(...effects);
    }
    return this;
  }

  /** Chooses a file with these cameras. */
  read(...entries: ImportEntry[]): this {
    const result = { import: 'i', program: 'go2rtc', leftOut: 0 };
    return this.dispatch(
      { type: 'file', name: 'go2rtc.yaml', bytes: FILE },
      ...entries.map((one): WizardEvent => ({ type: 'entry', file: 1, entry: one })),
      { type: 'file-read', file: 1, outcome: { ok: true, result } },
    );
  }

  get probes() {
    return this.effects.filter((effect) => effect.type === 'probe');
  }

  /** A device shows a picture, and its probe ends. */
  shows(target: number, id: string): this {
    const streams = [{ id, role: 'main' as const, codec: 'H264', width: 1, height: 1 }];
    const camera: ProbedCamera = {
      id,
      number: 1,
      name: 'Camera',
      streams: streams.map((stream) => ({ ...stream, hasPicture: true })),
    };
    const at = { target, attempt: 1 };
    return this.dispatch(
      { type: 'progress', ...at, progress: { camera } },
      { type: 'probe-ended', ...at, outcome: { ok: true, result: { refused: 0 } } },
    );
  }
}

describe('a file', () => {
  test('is sent to the gateway, and its cameras are listed', () => {
    const bench = new Bench().dispatch({ type: 'file', name: 'a.yaml', bytes: FILE });
    expect(bench.effects).toEqual([
      { type: 'read-file', file: 1, gateway: 'gw-house', bytes: FILE },
    ]);
    expect(bench.state.step).toBe('search');
    bench.read(entry(0, 'yard'), refused(1, 'old'), entry(2, 'off', { wanted: false }));
    // The second file has another number; what is heard of the first one is ignored.
    expect(bench.state.importing?.entries).toEqual([]);
    const listed = new Bench().read(entry(0, 'yard'), refused(1, 'old'));
    expect(listed.state).toMatchObject({ step: 'import', importing: { chosen: [0] } });
    expect(stepsOf(listed.state)).toEqual(['import', 'login', 'cameras', 'done']);
    expect(titleOfStep(listed.state)).toBe('Cameras from go2rtc');
    expect(listed.dispatch({ type: 'back' }).state).toMatchObject({ step: 'search' });
  });

  test('that is too long is not sent', () => {
    const bytes = new Uint8Array(256 * 1024 + 1);
    const bench = new Bench().dispatch({ type: 'file', name: 'a', bytes });
    expect(bench.effects).toEqual([]);
    expect(bench.state.importing).toMatchObject({ running: false, problem: 'too-long' });
  });

  test.each([
    [
      { ok: false as const, fault: { code: 400, message: 'no' } },
      { code: 400, message: 'no' },
    ],
    ['wrong-key' as const, 'wrong-key'],
  ])('that cannot be read says so, and another one can be chosen', (outcome, problem) => {
    const bench = new Bench().dispatch(
      { type: 'file', name: 'a', bytes: FILE },
      { type: 'file-read', file: 1, outcome },
    );
    expect(bench.state).toMatchObject({ step: 'search', importing: { problem, running: false } });
    bench.dispatch({ type: 'file', name: 'b', bytes: FILE });
    expect(bench.state.importing).toMatchObject({ number: 2, problem: null });
  });
});

describe('the cameras of a file', () => {
  test('are chosen one by one or all at once, those that cannot be taken never', () => {
    const bench = new Bench().read(
      entry(0, 'yard'),
      entry(1, 'off', { wanted: false }),
      refused(2, 'old'),
    );
    const ticks = (entries: number[], wanted: boolean) => {
      bench.dispatch({ type: 'tick', entries, wanted });
      return bench.state.importing?.chosen;
    };
    expect(ticks([0], false)).toEqual([]);
    expect(ticks([0, 1], true)).toEqual([0, 1]);
    expect(ticks([1], false)).toEqual([0]);
    expect(ticks([2], true)).toEqual([0, 2]);
    bench.dispatch({ type: 'add-imported' });
    expect(bench.state.targets.map(({ title }) => title)).toEqual(['yard']);
  });

  test('are asked two at a time, and added under their names with the first picture', () => {
    const bench = new Bench().read(entry(0, 'yard'), entry(1, 'gate'), entry(2, 'attic'));
    bench.dispatch({ type: 'add-imported' });
    expect(bench.state.step).toBe('cameras');
    expect(bench.probes.map(({ imported, login }) => [imported, login])).toEqual([
      [{ import: 'i', entry: 0 }, null],
      [{ import: 'i', entry: 1 }, null],
    ]);
    bench.shows(1, 'probe.1');
    expect(bench.probes.map(({ target }) => target)).toEqual([3]);
    expect(bench.effects).toContainEqual({
      type: 'add',
      gateway: 'gw-house',
      revision: 4,
      provisional: 'probe.1',
      name: 'yard',
    });
    const saved = (camera: string, revision: number): WizardEvent => ({
      type: 'saved',
      outcome: { ok: true, result: { camera, revision } },
    });
    expect(titleOfStep(bench.dispatch(saved('yard', 5)).state)).toBe('Adding cameras: 1 of 3 done');
    bench.shows(2, 'probe.2').dispatch(saved('gate', 6));
    expect(bench.state.step).toBe('cameras');
    bench.shows(3, 'probe.3').dispatch(saved('attic', 7));
    expect(bench.state.step).toBe('done');
  });

  test('whose passwords are variables wait for the person, the others do not', () => {
    const bench = new Bench().read(entry(0, 'yard'), entry(1, 'gate', { login: 'missing' }));
    bench.dispatch({ type: 'add-imported' });
    expect(bench.state.step).toBe('login');
    expect(bench.probes.map(({ target }) => target)).toEqual([1]);
    const login = { user: 'ada', password: 'x' };
    bench.dispatch({ type: 'sign-in', login, allowsText: false });
    expect(bench.probes).toMatchObject([{ target: 2, login, imported: { entry: 1 } }]);
    expect(bench.state.step).toBe('cameras');
  });

  test('get a typed password before one is sent as readable text', () => {
    const bench = new Bench().read(entry(0, 'yard'));
    bench.dispatch({ type: 'add-imported' });
    bench.dispatch({ type: 'probe-again', target: 1, change: 'allow-text' });
    expect(bench.state.step).toBe('login');
    expect(bench.probes).toEqual([]);
  });
});
