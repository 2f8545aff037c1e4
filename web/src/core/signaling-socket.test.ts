import { describe, expect, test } from 'vitest';
import { LOCAL } from './rpc';
import { INITIAL_STATE, nextTimeout, step } from './signaling-socket';
import type { SocketEffect, SocketEvent, SocketState } from './signaling-socket';

/** A socket machine with a clock that the test moves. */
class Bench {
  state: SocketState = INITIAL_STATE;
  now = 1_000;
  effects: SocketEffect[] = [];

  dispatch(event: SocketEvent): this {
    const { state, effects } = step(this.state, event, { now: this.now, random: 1 });
    this.state = state;
    this.effects = [...effects];
    return this;
  }

  receive(message: object): this {
    return this.dispatch({ type: 'message', text: JSON.stringify({ jsonrpc: '2.0', ...message }) });
  }

  advance(ms: number): this {
    this.now += ms;
    return this.dispatch({ type: 'timeout' });
  }

  up(): this {
    this.dispatch({ type: 'start' }).dispatch({ type: 'opened' });
    return this.receive({ id: this.lastSent().id, result: { id: 'viewer-1' } });
  }

  request(token: number): this {
    return this.dispatch({ type: 'request', token, method: 'extend', params: { session: 's' } });
  }

  get effectTypes(): string[] {
    return this.effects.map((effect) => effect.type);
  }

  /** Returns the last message that was sent. */
  lastSent(): { id: number; method?: string; error?: { code: number } } {
    const send = this.effects.findLast((effect) => effect.type === 'send');
    if (send?.type !== 'send') throw new Error('nothing was sent');
    return JSON.parse(send.text) as ReturnType<Bench['lastSent']>;
  }

  /** Returns the code of the fault that the request with this token resolved to. */
  faultCode(token: number): number | undefined {
    for (const effect of this.effects) {
      if (effect.type === 'resolve' && effect.token === token && !effect.outcome.ok) {
        return effect.outcome.fault.code;
      }
    }
    return undefined;
  }
}

describe('connecting', () => {
  test('it registers with an access token if it has one, again after a loss', () => {
    const bench = new Bench().dispatch({ type: 'start', authorization: 'phs_x' });
    for (let time = 0; time < 2; time++) {
      bench.dispatch({ type: 'opened' });
      expect(bench.lastSent()).toMatchObject({
        method: 'register',
        params: { authorization: 'phs_x' },
      });
      bench.dispatch({ type: 'closed', code: 1006 }).advance(10_000);
    }
    bench.dispatch({ type: 'stop' }).dispatch({ type: 'start' }).dispatch({ type: 'opened' });
    expect(bench.lastSent()).toMatchObject({ method: 'register', params: {} });
    expect(JSON.stringify(bench.lastSent())).not.toContain('phs_x');
  });

  test('it registers first, and is up once the server has responded', () => {
    const bench = new Bench().dispatch({ type: 'start' });
    expect(bench.effectTypes).toEqual(['open']);
    expect(bench.dispatch({ type: 'opened' }).lastSent().method).toBe('register');
    expect(bench.state.phase).toBe('registering');
    expect(bench.receive({ id: bench.lastSent().id, result: { id: 'v' } }).effectTypes).toEqual([
      'up',
    ]);
    expect(nextTimeout(bench.state)).toBeNull();
  });

  test('a refused registration is tried again, unless the sign-in has ended', () => {
    for (const [code, effects, phase] of [
      [480, ['close', 'check-sign-in'], 'waiting'],
      [401, ['close', 'signed-out'], 'stopped'],
    ] as const) {
      const bench = new Bench().dispatch({ type: 'start' }).dispatch({ type: 'opened' });
      bench.receive({ id: bench.lastSent().id, error: { code, message: 'no' } });
      expect(bench.effectTypes).toEqual(effects);
      expect(bench.state.phase).toBe(phase);
    }
  });

  test('a handshake that hangs is given up', () => {
    const bench = new Bench().dispatch({ type: 'start' }).advance(9_999);
    expect(bench.state.phase).toBe('opening');
    expect(bench.advance(1).effectTypes).toEqual(['close', 'check-sign-in']);
  });
});

describe('reconnecting', () => {
  test('the delays double up to a bound', () => {
    const bench = new Bench().dispatch({ type: 'start' });
    const waits = Array.from({ length: 8 }, () => {
      bench.dispatch({ type: 'closed', code: 1006 });
      const wait = (nextTimeout(bench.state) ?? 0) - bench.now;
      expect(bench.advance(wait).effectTypes).toEqual(['open']);
      return wait;
    });
    expect(waits).toEqual([400, 800, 1600, 3200, 6400, 8000, 8000, 8000]);
  });

  test('a connection that lasted resets the delays, a short one does not', () => {
    for (const [lasted, wait] of [
      [5_000, 400],
      [4_999, 800],
    ] as const) {
      const bench = new Bench()
        .dispatch({ type: 'start' })
        .dispatch({ type: 'closed', code: 1006 });
      bench.now += 400;
      bench.dispatch({ type: 'timeout' }).dispatch({ type: 'opened' });
      bench.receive({ id: bench.lastSent().id, result: {} });
      bench.now += lasted;
      bench.dispatch({ type: 'closed', code: 1006 });
      expect(bench.effectTypes).toEqual(['down']);
      expect((nextTimeout(bench.state) ?? 0) - bench.now).toBe(wait);
    }
  });

  test('a server that says goodbye is asked for again and again for 10 s, then ever less', () => {
    for (const [code, lasted, waits] of [
      [1001, 5_000, [...Array<number>(25).fill(400), 400, 800, 1600]],
      [1012, 5_000, [400, 400, 400]],
      [1001, 4_999, [400, 800, 1600]],
      [4403, 5_000, [400, 800, 1600]],
    ] as const) {
      const bench = new Bench().up();
      bench.now += lasted;
      const found = waits.map((_, at) => {
        bench.dispatch({ type: 'closed', code: at === 0 ? code : 1006 });
        const wait = (nextTimeout(bench.state) ?? 0) - bench.now;
        bench.advance(wait);
        return wait;
      });
      expect(found).toEqual(waits);
    }
    const back = new Bench().up();
    back.now += 5_000;
    back.dispatch({ type: 'closed', code: 1001 }).advance(400).dispatch({ type: 'opened' });
    back.receive({ id: back.lastSent().id, result: {} });
    expect(back.state.returnsBy).toBeNull();
  });

  test('it reconnects at once when the network is back, and only while it waits', () => {
    const bench = new Bench().dispatch({ type: 'start' }).dispatch({ type: 'closed', code: 1006 });
    expect(bench.dispatch({ type: 'reconnect-now' }).effectTypes).toEqual(['open']);
    expect(bench.dispatch({ type: 'reconnect-now' }).effectTypes).toEqual([]);
  });

  test('nothing happens once it is stopped', () => {
    const bench = new Bench().up().dispatch({ type: 'stop' });
    expect(bench.effectTypes).toEqual(['close', 'down']);
    expect(bench.dispatch({ type: 'closed', code: 1006 }).effectTypes).toEqual([]);
    expect(nextTimeout(bench.state)).toBeNull();
  });
});

describe('requests', () => {
  test('responses find their requests in any order', () => {
    const bench = new Bench().up();
    const first = bench.request(1).lastSent().id;
    const second = bench.request(2).lastSent().id;
    bench.receive({ id: second, result: { expiryTimeSeconds: 9 } });
    expect(bench.effects).toEqual([
      { type: 'resolve', token: 2, outcome: { ok: true, result: { expiryTimeSeconds: 9 } } },
    ]);
    expect(bench.receive({ id: first, error: { code: 404, message: '' } }).faultCode(1)).toBe(404);
    expect(bench.receive({ id: first, result: {} }).effectTypes).toEqual([]);
  });

  test('each one fails when there is no connection, or the connection is lost', () => {
    expect(new Bench().request(1).faultCode(1)).toBe(LOCAL.OFFLINE);
    const bench = new Bench().up().request(1).request(2).dispatch({ type: 'closed', code: 1006 });
    expect([bench.faultCode(1), bench.faultCode(2)]).toEqual([LOCAL.OFFLINE, LOCAL.OFFLINE]);
    expect(bench.state.pending).toEqual([]);
  });

  test('one without a response fails; if nothing else arrived, the connection is dead', () => {
    const alive = new Bench().up().request(1);
    alive.now += 10;
    alive.receive({ method: 'portholeCameras', params: { cameras: [] } });
    expect(alive.advance(20_000).faultCode(1)).toBe(LOCAL.TIMED_OUT);
    expect(alive.state.phase).toBe('up');

    const dead = new Bench().up().request(1).advance(20_000);
    expect(dead.effectTypes).toEqual(['close', 'resolve', 'down']);
    expect(dead.state.phase).toBe('waiting');
  });

  test('there are never more than 32 pending', () => {
    const bench = new Bench().up();
    for (let token = 1; token <= 32; token++) bench.request(token);
    expect(bench.effectTypes).toEqual(['send']);
    expect(bench.request(33).faultCode(33)).toBe(LOCAL.TOO_MANY);
  });
});

describe('messages', () => {
  const invite = { id: 7, method: 'invite', params: { session: 's', offer: 'v=0' } };
  test.each([
    ['an offer', invite, ['deliver']],
    ['a notification', { method: 'trickle', params: {} }, ['deliver']],
    ['an error', { method: 'error', error: { code: 1002, message: '' } }, ['deliver']],
    ['a method of devices', { id: 7, method: 'connect', params: {} }, ['send']],
    ['a response without a request', { id: 99, result: {} }, []],
  ])('%s', (_, message, effects) => {
    expect(new Bench().up().receive(message).effectTypes).toEqual(effects);
  });

  test('malformed messages are ignored', () => {
    for (const text of [
      '',
      '{',
      '[]',
      '1',
      'null',
      '{"jsonrpc":"2.0"}',
      `"${'x'.repeat(70_000)}"`,
    ]) {
      expect(new Bench().up().dispatch({ type: 'message', text }).effectTypes).toEqual([]);
    }
  });

  test('nothing is sent unless the connection is up', () => {
    expect(
      new Bench().dispatch({ type: 'start' }).dispatch({ type: 'send', text: '{}' }).effectTypes,
    ).toEqual([]);
    expect(new Bench().up().dispatch({ type: 'send', text: '{}' }).effectTypes).toEqual(['send']);
  });
});

describe('requests whose answer comes in pieces', () => {
  const discover = (bench: Bench) =>
    bench.dispatch({
      type: 'request',
      token: 1,
      method: 'portholeDiscover',
      params: { peer: 'g' },
    });
  const progress = (request: number, value: unknown) => ({
    method: 'portholeProgress',
    params: { request, value },
  });

  test('each piece is reported, and gives the request new time', () => {
    const bench = discover(new Bench().up());
    const { id } = bench.lastSent();
    for (let piece = 0; piece < 5; piece++) {
      expect(bench.advance(30_000).effects).toEqual([]);
      bench.receive(progress(id, piece));
      expect(bench.effects).toEqual([{ type: 'progress', token: 1, value: piece }]);
    }
    bench.now += 10;
    bench.receive(progress(id + 1, 'of another request'));
    expect(bench.effects).toEqual([]);
    expect(bench.advance(35_000).faultCode(1)).toBe(LOCAL.TIMED_OUT);
  });

  test('one that is given up is cancelled on the server, and its response is ignored', () => {
    const bench = discover(new Bench().up());
    const { id } = bench.lastSent();
    const sent = bench.dispatch({ type: 'cancel', token: 1 }).lastSent();
    expect(sent).toMatchObject({ method: 'portholeCancel', params: { request: id } });
    expect(bench.receive(progress(id, 1)).effects).toEqual([]);
    expect(bench.receive({ id, result: {} }).effects).toEqual([]);
    expect(bench.dispatch({ type: 'cancel', token: 1 }).effects).toEqual([]);
    expect(nextTimeout(bench.state)).toBeNull();
  });
});

describe('a connection that somebody doubts', () => {
  test('is asked for a sign of life, and kept if it gives one', () => {
    const bench = new Bench().up();
    expect(bench.dispatch({ type: 'doubt', withinMs: 800 }).lastSent().method).toBe('portholePing');
    const { id } = bench.lastSent();
    expect(bench.dispatch({ type: 'doubt', withinMs: 800 }).effectTypes).toEqual([]);
    expect(bench.receive({ id, result: {} }).effectTypes).toEqual([]);
    expect(bench.advance(800).effectTypes).toEqual([]);
    expect(bench.state.phase).toBe('up');
  });

  test('is kept if anything else arrives meanwhile', () => {
    const bench = new Bench().up().dispatch({ type: 'doubt', withinMs: 800 });
    bench.now += 100;
    bench.receive({ method: 'portholeCameras', params: { cameras: [] } });
    expect(bench.advance(700).effectTypes).toEqual([]);
    expect([bench.state.phase, bench.state.pending]).toEqual(['up', []]);
  });

  test('is replaced at once if nothing arrives, and its requests fail', () => {
    const bench = new Bench().up().request(5).dispatch({ type: 'doubt', withinMs: 800 });
    bench.advance(800);
    expect(bench.effectTypes).toEqual(['close', 'resolve', 'down', 'open']);
    expect(bench.faultCode(5)).toBe(LOCAL.OFFLINE);
    expect(bench.state.phase).toBe('opening');
  });

  test('is left alone while there is none', () => {
    expect(new Bench().dispatch({ type: 'doubt', withinMs: 800 }).effectTypes).toEqual([]);
  });
});
