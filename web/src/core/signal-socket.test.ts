import { describe, expect, test } from 'vitest';
import { LOCAL } from './rpc';
import { START, step, wakeAt } from './signal-socket';
import type { SocketEffect, SocketEvent, SocketState } from './signal-socket';

/** A socket machine with a clock that is moved by hand. */
class Bench {
  state: SocketState = START;
  now = 1_000;
  effects: SocketEffect[] = [];

  does(event: SocketEvent): this {
    const { state, effects } = step(this.state, event, { now: this.now, random: 1 });
    this.state = state;
    this.effects = [...effects];
    return this;
  }

  says(message: object): this {
    return this.does({ on: 'message', text: JSON.stringify({ jsonrpc: '2.0', ...message }) });
  }

  after(ms: number): this {
    this.now += ms;
    return this.does({ on: 'tick' });
  }

  up(): this {
    this.does({ on: 'start' }).does({ on: 'opened' });
    return this.says({ id: this.sent().id, result: { id: 'viewer-1' } });
  }

  asks(token: number): this {
    return this.does({ on: 'request', token, method: 'extend', params: { session: 's' } });
  }

  get did(): string[] {
    return this.effects.map((effect) => effect.do);
  }

  /** The message that was sent last. */
  sent(): { id: number; method?: string; error?: { code: number } } {
    const send = this.effects.findLast((effect) => effect.do === 'send');
    if (send?.do !== 'send') throw new Error('nothing was sent');
    return JSON.parse(send.text) as ReturnType<Bench['sent']>;
  }

  /** Why the request behind this token failed. */
  failure(token: number): number | undefined {
    for (const effect of this.effects) {
      if (effect.do === 'settle' && effect.token === token && !effect.outcome.ok) {
        return effect.outcome.fault.code;
      }
    }
    return undefined;
  }
}

describe('coming up', () => {
  test('it registers first, and is up once that is answered', () => {
    const bench = new Bench().does({ on: 'start' });
    expect(bench.did).toEqual(['open']);
    expect(bench.does({ on: 'opened' }).sent().method).toBe('register');
    expect(bench.state.phase).toBe('registering');
    expect(bench.says({ id: bench.sent().id, result: { id: 'v' } }).did).toEqual(['up']);
    expect(wakeAt(bench.state)).toBeNull();
  });

  test('a refused registration is tried again, one without sign-in is not', () => {
    for (const [code, did, phase] of [
      [480, ['close', 'check-session'], 'waiting'],
      [401, ['close', 'signed-out'], 'stopped'],
    ] as const) {
      const bench = new Bench().does({ on: 'start' }).does({ on: 'opened' });
      bench.says({ id: bench.sent().id, error: { code, message: 'no' } });
      expect(bench.did).toEqual(did);
      expect(bench.state.phase).toBe(phase);
    }
  });

  test('a handshake that hangs is given up', () => {
    const bench = new Bench().does({ on: 'start' }).after(9_999);
    expect(bench.state.phase).toBe('opening');
    expect(bench.after(1).did).toEqual(['close', 'check-session']);
  });
});

describe('coming back', () => {
  test('the waits double up to a bound', () => {
    const bench = new Bench().does({ on: 'start' });
    const waits = Array.from({ length: 8 }, () => {
      bench.does({ on: 'closed' });
      const wait = (wakeAt(bench.state) ?? 0) - bench.now;
      expect(bench.after(wait).did).toEqual(['open']);
      return wait;
    });
    expect(waits).toEqual([400, 800, 1600, 3200, 6400, 8000, 8000, 8000]);
  });

  test('a connection that lasted starts the waits anew, a short one does not', () => {
    for (const [lasted, wait] of [
      [5_000, 400],
      [4_999, 800],
    ] as const) {
      const bench = new Bench().does({ on: 'start' }).does({ on: 'closed' });
      bench.now += 400;
      bench.does({ on: 'tick' }).does({ on: 'opened' });
      bench.says({ id: bench.sent().id, result: {} });
      bench.now += lasted;
      bench.does({ on: 'closed' });
      expect(bench.did).toEqual(['down']);
      expect((wakeAt(bench.state) ?? 0) - bench.now).toBe(wait);
    }
  });

  test('it hurries when the network is back, and only while it waits', () => {
    const bench = new Bench().does({ on: 'start' }).does({ on: 'closed' });
    expect(bench.does({ on: 'hurry' }).did).toEqual(['open']);
    expect(bench.does({ on: 'hurry' }).did).toEqual([]);
  });

  test('nothing moves once it is stopped', () => {
    const bench = new Bench().up().does({ on: 'stop' });
    expect(bench.did).toEqual(['close', 'down']);
    expect(bench.does({ on: 'closed' }).did).toEqual([]);
    expect(wakeAt(bench.state)).toBeNull();
  });
});

describe('requests', () => {
  test('answers find their requests in any order', () => {
    const bench = new Bench().up();
    const first = bench.asks(1).sent().id;
    const second = bench.asks(2).sent().id;
    bench.says({ id: second, result: { expiryTimeSeconds: 9 } });
    expect(bench.effects).toEqual([
      { do: 'settle', token: 2, outcome: { ok: true, result: { expiryTimeSeconds: 9 } } },
    ]);
    expect(bench.says({ id: first, error: { code: 404, message: '' } }).failure(1)).toBe(404);
    expect(bench.says({ id: first, result: {} }).did).toEqual([]);
  });

  test('each one fails when there is no connection, or it is lost', () => {
    expect(new Bench().asks(1).failure(1)).toBe(LOCAL.OFFLINE);
    const bench = new Bench().up().asks(1).asks(2).does({ on: 'closed' });
    expect([bench.failure(1), bench.failure(2)]).toEqual([LOCAL.OFFLINE, LOCAL.OFFLINE]);
    expect(bench.state.pending).toEqual([]);
  });

  test('one without an answer fails; when nothing else came, the connection is dead', () => {
    const lively = new Bench().up().asks(1);
    lively.now += 10;
    lively.says({ method: 'portholeCameras', params: { cameras: [] } });
    expect(lively.after(20_000).failure(1)).toBe(LOCAL.TIMED_OUT);
    expect(lively.state.phase).toBe('up');

    const dead = new Bench().up().asks(1).after(20_000);
    expect(dead.did).toEqual(['close', 'settle', 'down']);
    expect(dead.state.phase).toBe('waiting');
  });

  test('there are never more than 32 under way', () => {
    const bench = new Bench().up();
    for (let token = 1; token <= 32; token++) bench.asks(token);
    expect(bench.did).toEqual(['send']);
    expect(bench.asks(33).failure(33)).toBe(LOCAL.TOO_MANY);
  });
});

describe('messages', () => {
  const invite = { id: 7, method: 'invite', params: { session: 's', offer: 'v=0' } };
  test.each([
    ['an offer', invite, ['deliver']],
    ['a notification', { method: 'trickle', params: {} }, ['deliver']],
    ['an error', { method: 'error', error: { code: 1002, message: '' } }, ['deliver']],
    ['a method of devices', { id: 7, method: 'connect', params: {} }, ['send']],
    ['an answer to nothing', { id: 99, result: {} }, []],
  ])('%s', (_, message, did) => {
    expect(new Bench().up().says(message).did).toEqual(did);
  });

  test('what is no message is ignored', () => {
    for (const text of [
      '',
      '{',
      '[]',
      '1',
      'null',
      '{"jsonrpc":"2.0"}',
      `"${'x'.repeat(70_000)}"`,
    ]) {
      expect(new Bench().up().does({ on: 'message', text }).did).toEqual([]);
    }
  });

  test('nothing is sent unless it is up', () => {
    expect(new Bench().does({ on: 'start' }).does({ on: 'send', text: '{}' }).did).toEqual([]);
    expect(new Bench().up().does({ on: 'send', text: '{}' }).did).toEqual(['send']);
  });
});
