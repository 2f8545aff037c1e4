import { describe, expect, test } from 'vitest';
import { code, type FoundDevice, type Gateway, type Login, type ProbedCamera } from '../protocol';
import type { ProbeFinding } from '../protocol';
import { initialState, isReady, mayLock, nextTimeout, step, titleOf, toSave } from './wizard';
import type { KnownLogin, Purpose, Target, WizardEffect } from './wizard-contract';
import type { WizardEvent, WizardState } from './wizard-contract';

const HOUSE: Gateway = { id: 'gw-house', name: 'House', online: true };
const BARN: Gateway = { id: 'gw-barn', name: 'Barn', online: true };
/** A fault of the browser: the connection was lost. */
const LOST = -1;
const LOGIN: Login = { user: 'admin', password: 'secret' };
const CHANGE: Purpose = {
  kind: 'change',
  gateway: 'gw-house',
  camera: 'door',
  name: 'Front door',
  address: '10.0.0.2',
};

const found = (number: number, more: Partial<FoundDevice> = {}): FoundDevice => ({
  number,
  address: `10.0.0.${number}`,
  cameras: [],
  ...more,
});
const probed = (id: string, name = 'Camera', hasPicture = true): ProbedCamera => ({
  id,
  number: 1,
  name,
  streams: [{ id, role: 'main', codec: 'H264', width: 0, height: 0, hasPicture }],
});
const DARK = probed('probe.2', 'Camera', false);
const failure = (key: string): ProbeFinding => ({ key, failure: true, text: key, values: {} });
const fault = (number: number) => ({ ok: false as const, fault: { code: number, message: 'no' } });

/** A wizard with a clock that the test moves. */
class Bench {
  state: WizardState;
  now = 1_000;
  effects: WizardEffect[] = [];

  constructor(purpose: Purpose = { kind: 'add' }, logins: readonly KnownLogin[] = []) {
    this.state = initialState(purpose, logins);
  }

  dispatch(...events: WizardEvent[]): this {
    this.effects = [];
    for (const event of events) {
      const { state, effects } = step(this.state, event, { now: this.now, random: 0 });
      this.state = state;
      this.effects.push(...effects);
    }
    return this;
  }

  get types(): string[] {
    return this.effects.map(({ type }) => type);
  }

  /** Goes to the search of the only gateway. */
  atSearch(): this {
    return this.dispatch(
      { type: 'start' },
      { type: 'gateways', gateways: [HOUSE] },
      { type: 'list', outcome: { ok: true, result: { revision: 4, cameras: [] } } },
    );
  }

  /** Chooses devices and gives the login. */
  probing(count = 1, login: Login | null = LOGIN): this {
    const devices = Array.from({ length: count }, (_, index) => found(index + 1));
    this.atSearch();
    for (const device of devices) this.dispatch({ type: 'found', search: 1, device });
    this.dispatch({ type: 'choose', devices });
    return this.dispatch({ type: 'sign-in', login, allowsText: false });
  }

  target(number = 1): Target {
    const target = this.state.targets.find((one) => one.number === number);
    if (target === undefined) throw new Error(`there is no target ${number}`);
    return target;
  }

  camera(target: number, camera: ProbedCamera): this {
    const { attempt } = this.target(target);
    return this.dispatch({ type: 'progress', target, attempt, progress: { camera } });
  }

  finding(target: number, finding: ProbeFinding): this {
    const { attempt } = this.target(target);
    return this.dispatch({ type: 'progress', target, attempt, progress: { finding } });
  }

  ended(target: number, refused = 0): this {
    const { attempt } = this.target(target);
    const outcome = { ok: true as const, result: { refused } };
    return this.dispatch({ type: 'probe-ended', target, attempt, outcome });
  }

  ready(target: number, id: string): this {
    return this.camera(target, probed(id)).ended(target);
  }

  saved(camera: string, revision: number): this {
    return this.dispatch({ type: 'saved', outcome: { ok: true, result: { camera, revision } } });
  }
}

describe('the gateway', () => {
  type Case = [string, readonly Gateway[], WizardState['step'], string | null];
  test.each<Case>([
    ['none is waited for', [], 'gateway', null],
    ['one that is connected is chosen', [HOUSE], 'search', 'gw-house'],
    ['one that is not connected is waited for', [{ ...HOUSE, online: false }], 'gateway', null],
    ['two are shown', [HOUSE, BARN], 'gateway', null],
  ])('%s', (_, gateways, expected, gateway) => {
    const bench = new Bench().dispatch({ type: 'start' }, { type: 'gateways', gateways });
    expect([bench.state.step, bench.state.gateway]).toEqual([expected, gateway]);
    expect(nextTimeout(bench.state)).toBe(expected === 'gateway' ? 3_000 : null);
  });

  test('the gateways are asked for again until one can be chosen', () => {
    const bench = new Bench().dispatch({ type: 'start' }, { type: 'gateways', gateways: [] });
    bench.now += 1_000;
    expect(bench.dispatch({ type: 'timeout' }).types).toEqual([]);
    bench.now += 1_000;
    expect(bench.dispatch({ type: 'timeout' }).types).toEqual(['load-gateways']);
    bench.dispatch({ type: 'gateways-failed', fault: { code: 0, message: 'no' } });
    expect(nextTimeout(bench.state)).toBe(5_000);
    bench.dispatch({ type: 'gateways', gateways: [HOUSE] });
    expect(bench.types).toEqual(['load-list', 'discover']);
    expect(bench.state.problem).toBeNull();
  });

  test('one of two is chosen, and another one after that', () => {
    const bench = new Bench().dispatch(
      { type: 'start' },
      { type: 'gateways', gateways: [HOUSE, BARN] },
      { type: 'choose-gateway', gateway: 'gw-barn' },
    );
    expect(bench.effects.at(-1)).toMatchObject({ type: 'discover', gateway: 'gw-barn' });
    expect(bench.dispatch({ type: 'back' }).types).toEqual(['cancel-search', 'load-gateways']);
    expect([bench.state.step, bench.state.gateway]).toEqual(['gateway', null]);
  });
});

describe('the search', () => {
  test('devices appear as they come, and replace what was known of them', () => {
    const bench = new Bench().atSearch();
    bench.dispatch({ type: 'found', search: 1, device: found(7) });
    bench.dispatch({ type: 'found', search: 1, device: found(8) });
    bench.dispatch({ type: 'found', search: 1, device: found(7, { model: 'C1' }) });
    bench.dispatch({ type: 'found', search: 9, device: found(9) });
    expect(bench.state.search.devices).toEqual([found(7, { model: 'C1' }), found(8)]);
    const outcome = { ok: true as const, result: { networks: ['10.0.0.0/24'] } };
    bench.dispatch({ type: 'search-ended', search: 1, outcome });
    expect(bench.state.search).toMatchObject({ running: false, networks: ['10.0.0.0/24'] });
  });

  test('a new search begins empty and ends the one before', () => {
    const bench = new Bench().atSearch().dispatch({ type: 'found', search: 1, device: found(1) });
    bench.dispatch({ type: 'search', addresses: ['10.0.1.0/24'] });
    expect(bench.types).toEqual(['cancel-search', 'discover']);
    expect(bench.state.search).toMatchObject({ number: 2, devices: [], running: true });
    bench.dispatch({ type: 'search-ended', search: 1, outcome: fault(code.GONE) });
    expect(bench.state.search.running).toBe(true);
    bench.dispatch({ type: 'search-ended', search: 2, outcome: fault(code.GONE) });
    expect(bench.state.search).toMatchObject({ running: false, problem: { code: code.GONE } });
  });

  test('a hostile gateway fills no more than the bound', () => {
    const bench = new Bench().atSearch();
    for (let number = 0; number < 1_000; number++) {
      bench.dispatch({ type: 'found', search: 1, device: found(number) });
    }
    expect(bench.state.search.devices).toHaveLength(256);
  });

  test.each<[Partial<FoundDevice>, string]>([
    [{ vendor: 'Acme', model: 'C1', name: 'Door' }, 'Acme C1'],
    [{ model: 'C1' }, 'C1'],
    [{ name: 'Door' }, 'Door'],
    [{ vendor: '', model: '' }, '10.0.0.1'],
  ])('%o is called by its best name', (more, title) => {
    expect(titleOf(found(1, more))).toBe(title);
  });
});

describe('the login', () => {
  test('it goes to each device that was chosen, two of which are asked at once', () => {
    const bench = new Bench().probing(3);
    expect(bench.state.step).toBe('cameras');
    expect(bench.effects).toMatchObject([
      { type: 'probe', target: 1, attempt: 1, address: '10.0.0.1', login: LOGIN, vendor: null },
      { type: 'probe', target: 2, attempt: 1, address: '10.0.0.2', login: LOGIN, camera: null },
    ]);
    expect(bench.target(3).phase).toBe('waiting');
    expect(bench.ended(1).effects).toMatchObject([{ type: 'probe', target: 3 }]);
  });

  test('one in a typed address is used without a form', () => {
    const bench = new Bench().atSearch();
    bench.dispatch({ type: 'choose-address', address: 'rtsp://10.0.0.9/a', login: LOGIN });
    expect(bench.effects).toMatchObject([{ type: 'probe', address: 'rtsp://10.0.0.9/a' }]);
    bench.dispatch({ type: 'back' }, { type: 'choose-address', address: 'b', login: null });
    expect(bench.state.step).toBe('login');
  });

  test('one that a device has taken is offered for the next', () => {
    const bench = new Bench().probing(2);
    bench.camera(1, probed('probe.1', 'Front door')).ended(1);
    const logins = [{ name: 'Front door', login: LOGIN }];
    expect(bench.effects).toContainEqual({ type: 'remember', logins });
    bench.finding(2, failure('wrong-password')).ended(2, 2);
    expect(bench.state.logins).toEqual(logins);
  });

  test('going back leaves the devices out that were not asked yet', () => {
    const bench = new Bench().atSearch().dispatch({ type: 'choose', devices: [found(1)] });
    bench.dispatch({ type: 'back' });
    expect([bench.state.step, bench.state.targets]).toEqual(['search', []]);
  });

  test('refusals add up over all attempts', () => {
    const bench = new Bench().probing();
    for (const expected of [false, true]) {
      bench.finding(1, failure('wrong-password')).ended(1, 2);
      expect(mayLock(bench.target())).toBe(expected);
      bench.dispatch({ type: 'login-again', target: 1 });
      expect(bench.state.step).toBe('login');
      bench.dispatch({ type: 'sign-in', login: LOGIN, allowsText: false });
      expect(bench.target()).toMatchObject({ findings: [], phase: 'probing' });
    }
  });
});

describe('the probe', () => {
  test('answers of an earlier attempt are ignored', () => {
    const bench = new Bench().probing().finding(1, failure('rtsp-off')).ended(1);
    bench.dispatch({ type: 'probe-again', target: 1 });
    const late = { target: 1, attempt: 1 };
    bench.dispatch({ type: 'progress', ...late, progress: { camera: probed('probe.1') } });
    bench.dispatch({ type: 'probe-ended', ...late, outcome: { ok: true, result: { refused: 0 } } });
    expect(bench.target()).toMatchObject({ attempt: 2, phase: 'probing', choices: [] });
  });

  type Case = ['allow-text' | 'try-paths', object];
  test.each<Case>([
    ['allow-text', { allowsText: true, vendor: null }],
    ['try-paths', { allowsText: false, vendor: 'any' }],
  ])('it is made again with %s', (change, expected) => {
    const bench = new Bench().probing().finding(1, failure('x')).ended(1);
    bench.dispatch({ type: 'probe-again', target: 1, change });
    expect(bench.effects).toMatchObject([{ type: 'probe', attempt: 2, login: LOGIN, ...expected }]);
  });

  test('the paths of the vendor are tried if the vendor is known', () => {
    const bench = new Bench().atSearch();
    bench.dispatch({ type: 'choose', devices: [found(1, { vendor: 'Acme' })] });
    bench.dispatch({ type: 'sign-in', login: null, allowsText: false });
    bench.ended(1).dispatch({ type: 'probe-again', target: 1, change: 'try-paths' });
    expect(bench.effects).toMatchObject([{ type: 'probe', vendor: 'Acme' }]);
  });

  test('a camera that was measured keeps the name that was typed', () => {
    const bench = new Bench().probing().camera(1, probed('probe.1'));
    bench.dispatch({ type: 'rename', camera: 'probe.1', name: 'Porch' });
    bench.camera(1, { ...probed('probe.1'), number: 9 });
    expect(bench.target().choices).toMatchObject([{ name: 'Porch', camera: { number: 9 } }]);
  });

  test.each([
    ['a fault', { type: 'probe-ended', outcome: fault(code.GONE) }, { code: code.GONE }],
    ['a key of somebody else', { type: 'wrong-key' }, 'wrong-key'],
  ] as const)('%s ends it, and the next device is asked', (_, event, problem) => {
    const bench = new Bench().probing(3);
    bench.dispatch({ ...event, target: 1, attempt: 1 } as WizardEvent);
    expect(bench.target()).toMatchObject({ phase: 'done', problem });
    expect(bench.effects).toMatchObject([{ type: 'probe', target: 3 }]);
  });

  test('a device that is left out is cancelled', () => {
    const bench = new Bench().probing().dispatch({ type: 'drop', target: 1 });
    expect(bench.types).toEqual(['cancel-probe']);
    expect(bench.state.step).toBe('search');
  });

  test('leaving the page ends the search and all probes', () => {
    const bench = new Bench().probing(3).dispatch({ type: 'stop' });
    expect(bench.types).toEqual(['cancel-search', 'cancel-probe', 'cancel-probe']);
  });

  test.each<[string, (bench: Bench) => Bench, boolean]>([
    ['it has a camera', (bench) => bench.ready(1, 'probe.1'), true],
    ['it is not finished', (bench) => bench.camera(1, probed('probe.1')), false],
    ['there is no camera', (bench) => bench.ended(1), false],
    ['it failed', (bench) => bench.finding(1, failure('x')).ready(1, 'probe.1'), false],
    [
      'one of its streams has a picture',
      (bench) => bench.finding(1, failure('no-picture')).ready(1, 'probe.1'),
      true,
    ],
    ['no stream has a picture', (bench) => bench.camera(1, DARK).ended(1), false],
  ])('a device may be added if %s', (_, run, expected) => {
    expect(isReady(run(new Bench().probing()).target())).toBe(expected);
  });
});

describe('storing', () => {
  test('cameras are stored one after the other, each on the revision before', () => {
    const bench = new Bench().probing(2).ready(1, 'probe.1').ready(2, 'probe.2');
    bench.dispatch({ type: 'rename', camera: 'probe.1', name: ' Porch ' }, { type: 'save' });
    const add = { type: 'add', gateway: 'gw-house' };
    expect(bench.effects).toEqual([{ ...add, revision: 4, provisional: 'probe.1', name: 'Porch' }]);
    expect(bench.dispatch({ type: 'save' }).effects).toEqual([]);
    bench.saved('porch', 5);
    expect(bench.state.logins).toEqual([{ name: 'Porch', login: LOGIN }]);
    expect(bench.effects.filter(({ type }) => type !== 'remember')).toEqual([
      { ...add, revision: 5, provisional: 'probe.2', name: 'Camera' },
    ]);
    bench.saved('camera', 6);
    expect(bench.state).toMatchObject({ step: 'done', saving: null, list: { revision: 6 } });
  });

  test('a camera that is not wanted is not stored', () => {
    const bench = new Bench().probing().camera(1, probed('probe.1')).ready(1, 'probe.2');
    bench.dispatch({ type: 'want', camera: 'probe.1', wanted: false });
    expect(toSave(bench.state).map(({ camera }) => camera.id)).toEqual(['probe.2']);
  });

  test('a camera of a recorder that has no picture does not keep the others', () => {
    const bench = new Bench().probing().camera(1, DARK).finding(1, failure('no-picture'));
    bench.ready(1, 'probe.1');
    expect(toSave(bench.state).map(({ camera }) => camera.id)).toEqual(['probe.1']);
  });

  test('a device that failed can be seen to after the others are stored', () => {
    const bench = new Bench().probing(2).ready(1, 'probe.1');
    bench.finding(2, failure('wrong-password')).ended(2, 2);
    bench.dispatch({ type: 'save' }).saved('camera', 5);
    expect(bench.state.step).toBe('cameras');
    bench.dispatch({ type: 'drop', target: 2 });
    expect(bench.state.step).toBe('done');
  });

  test('after a conflict the list is fetched again, and the next try has its revision', () => {
    const bench = new Bench().probing().ready(1, 'probe.1').dispatch({ type: 'save' });
    bench.dispatch({ type: 'saved', outcome: fault(code.CONFLICT) });
    expect(bench.effects).toEqual([{ type: 'load-list', gateway: 'gw-house' }]);
    expect(bench.state.problem).toMatchObject({ code: code.CONFLICT });
    const outcome = { ok: true as const, result: { revision: 9, cameras: [] } };
    expect(bench.dispatch({ type: 'list', outcome }).effects).toEqual([]);
    expect(bench.state.problem).toMatchObject({ code: code.CONFLICT });
    expect(bench.dispatch({ type: 'save' }).effects).toMatchObject([{ type: 'add', revision: 9 }]);
    expect(bench.state.problem).toBeNull();
  });

  test('a list that is missing is fetched first', () => {
    const bench = new Bench();
    bench.dispatch({ type: 'start' }, { type: 'gateways', gateways: [HOUSE] });
    bench.dispatch({ type: 'list', outcome: fault(LOST) });
    expect(bench.state.problem).toMatchObject({ code: LOST });
    bench.dispatch({ type: 'choose', devices: [found(1)] });
    bench.dispatch({ type: 'sign-in', login: null, allowsText: false }).ready(1, 'probe.1');
    expect(bench.dispatch({ type: 'save' }).types).toEqual(['load-list']);
    const outcome = { ok: true as const, result: { revision: 2, cameras: [] } };
    bench.dispatch({ type: 'list', outcome });
    expect(bench.effects).toMatchObject([{ type: 'add', revision: 2 }]);
  });

  test('after that another camera can be added', () => {
    const bench = new Bench().probing().ready(1, 'probe.1').dispatch({ type: 'save' });
    bench.saved('camera', 5).dispatch({ type: 'again' });
    expect(bench.types).toEqual(['load-list', 'cancel-search', 'discover']);
    expect(bench.state).toMatchObject({ step: 'search', targets: [] });
  });
});

describe('changing a camera', () => {
  test('it begins with the login, and the address can be another one', () => {
    const bench = new Bench(CHANGE).dispatch({ type: 'start' });
    expect(bench.types).toEqual(['load-list']);
    expect(bench.state.step).toBe('login');
    expect(bench.target()).toMatchObject({ address: '10.0.0.2', title: 'Front door' });
    const address = '10.0.0.7';
    bench.dispatch({ type: 'sign-in', login: LOGIN, allowsText: false, address });
    expect(bench.effects).toMatchObject([{ type: 'probe', address, camera: 'door' }]);
  });

  test('one camera of the device takes its place', () => {
    const bench = new Bench(CHANGE).dispatch({ type: 'start' });
    const outcome = { ok: true as const, result: { revision: 4, cameras: [] } };
    bench.dispatch({ type: 'list', outcome });
    bench.dispatch({ type: 'sign-in', login: LOGIN, allowsText: false });
    bench.camera(1, probed('probe.1')).ready(1, 'probe.2');
    expect(toSave(bench.state).map(({ camera }) => camera.id)).toEqual(['probe.1']);
    bench.dispatch({ type: 'want', camera: 'probe.2', wanted: true }, { type: 'save' });
    expect(bench.effects).toEqual([
      { type: 'change', gateway: 'gw-house', revision: 4, camera: 'door', provisional: 'probe.2' },
    ]);
    expect(bench.saved('door', 5).state.step).toBe('done');
  });
});
