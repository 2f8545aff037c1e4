import { describe, expect, test } from 'vitest';
import type { Camera, ConnectResult, Fault } from '../protocol';
import { LOCAL } from './rpc';
import type { ViewerEffect, ViewerEvent, ViewerState } from './viewer-contract';
import { start, step, wakeAt } from './viewer-session';
import { viewOf } from './viewer-words';

const CAMERA: Camera = { gateway: 'gw-1', id: 'door', name: 'Door', state: 'idle', viewers: 0 };
const ANSWER = 'v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n';
const CANDIDATE = { candidate: 'candidate:1 1 udp 1 192.168.1.9 5000 typ host', sdpMid: '0' };

/** A viewer session with a clock that is moved by hand, and every effect it ever asked for. */
class Bench {
  state: ViewerState = start('door');
  now = 1_000;
  effects: ViewerEffect[] = [];

  does(event: ViewerEvent): this {
    const { state, effects } = step(this.state, event, { now: this.now, random: 1 });
    this.state = state;
    this.effects.push(...effects);
    return this;
  }

  /** Lets time pass, with a tick whenever one is due. */
  after(ms: number): this {
    const end = this.now + ms;
    for (let turn = 0; turn < 100; turn++) {
      const at = wakeAt(this.state);
      if (at === null || at > end) break;
      this.now = Math.max(this.now, at);
      this.does({ on: 'tick' });
    }
    this.now = end;
    return this;
  }

  /** What was asked for since the last look. */
  did(): string[] {
    return this.effects.splice(0).map((effect) => effect.do);
  }

  get phase(): string {
    return viewOf(this.state).phase;
  }

  get title(): string {
    return viewOf(this.state).title;
  }

  get generation(): number {
    return this.state.generation;
  }

  starts(camera: Camera | null = CAMERA): this {
    this.does({ on: 'signal', up: true });
    this.does({ on: 'cameras', cameras: camera ? [camera] : [] });
    return this.does({ on: 'start' });
  }

  camera(changes: Partial<Camera>): this {
    return this.does({ on: 'cameras', cameras: [{ ...CAMERA, ...changes }] });
  }

  accepted(session = 's1', more: Partial<ConnectResult> = {}): this {
    const outcome = { ok: true as const, result: { session, iceServers: [], ...more } };
    return this.does({ on: 'connect-settled', generation: this.generation, outcome });
  }

  refused(code: number, message = 'because'): this {
    const outcome = { ok: false as const, fault: { code, message } };
    return this.does({ on: 'connect-settled', generation: this.generation, outcome });
  }

  invited(session = 's1'): this {
    return this.does({ on: 'invite', id: 7, session, offer: 'v=0' });
  }

  answered(answer = ANSWER): this {
    return this.does({ on: 'answered', generation: this.generation, id: 7, answer });
  }

  ice(state: 'connected' | 'disconnected' | 'failed', generation = this.generation): this {
    return this.does({ on: 'ice', generation, state });
  }

  frames(decoded: number, generation = this.generation): this {
    return this.does({ on: 'frames', generation, decoded });
  }

  plays(more: Partial<ConnectResult> = {}, session = 's1'): this {
    this.accepted(session, more).invited(session).answered().ice('connected').frames(1);
    this.effects = [];
    return this;
  }

  /** Seconds of video, sampled as the browser is. */
  flows(seconds: number): this {
    for (let second = 0; second < seconds; second++) {
      this.after(1_000).frames((this.state.link?.frames ?? 0) + 25);
    }
    return this;
  }

  /** Seconds without a new frame. */
  stands(seconds: number): this {
    for (let second = 0; second < seconds; second++) {
      this.after(1_000);
      if (this.state.link !== null) this.frames(this.state.link.frames);
    }
    return this;
  }
}

describe('the way to the first picture', () => {
  test('each step follows what really happened', () => {
    const bench = new Bench();
    expect(bench.phase).toBe('connecting');
    bench.starts();
    expect(bench.effects).toEqual([
      { do: 'connect', generation: 1, params: { peer: 'gw-1', profile: 'door' } },
    ]);
    expect(bench.phase).toBe('connecting');
    bench.did();
    expect(bench.accepted().did()).toEqual(['open-peer', 'show']);
    expect(bench.phase).toBe('negotiating');
    expect(bench.invited().did()).toEqual(['answer']);
    expect(bench.answered().did()).toEqual(['reply']);
    expect(bench.phase).toBe('negotiating');
    bench.ice('connected');
    expect([bench.phase, bench.title]).toEqual(['negotiating', 'Waiting for the picture']);
    bench.frames(0);
    expect(bench.phase).toBe('negotiating');
    bench.frames(1);
    expect([bench.phase, bench.did()]).toEqual(['playing', []]);
    expect(wakeAt(bench.state)).toBeNull();
  });

  test('nothing is asked for before the server, the list and the page are there', () => {
    const bench = new Bench().does({ on: 'start' });
    expect(bench.title).toBe('Connecting to the server');
    bench.does({ on: 'signal', up: true });
    expect([bench.title, bench.did()]).toEqual(['Looking for the camera', []]);
    expect(bench.camera({}).did()).toEqual(['connect']);
  });

  test('an offer and its candidates may overtake the answer to connect', () => {
    const bench = new Bench().starts();
    bench.did();
    bench.does({ on: 'remote-candidate', session: 's1', candidate: CANDIDATE });
    bench.invited().does({ on: 'remote-candidate', session: 'other', candidate: CANDIDATE });
    expect(bench.did()).toEqual([]);
    expect(bench.accepted().did()).toEqual(['open-peer', 'show', 'add-candidate', 'answer']);
  });

  test('what comes early is bounded', () => {
    const bench = new Bench().starts();
    for (let n = 0; n < 100; n++) {
      bench.does({ on: 'remote-candidate', session: 's1', candidate: CANDIDATE });
    }
    bench.did();
    expect(
      bench
        .accepted()
        .did()
        .filter((what) => what === 'add-candidate'),
    ).toHaveLength(64);
  });

  test('our candidates wait until the answer has left', () => {
    const bench = new Bench().starts().accepted().invited();
    bench.did();
    bench.does({ on: 'local-candidate', generation: 1, candidate: CANDIDATE });
    expect(bench.did()).toEqual([]);
    expect(bench.answered().did()).toEqual(['reply', 'send-candidate']);
    bench.does({ on: 'local-candidate', generation: 1, candidate: { candidate: '' } });
    expect(bench.effects).toEqual([
      { do: 'send-candidate', session: 's1', candidate: { candidate: '' } },
    ]);
  });

  test('an offer for a session that is not ours is refused', () => {
    const bench = new Bench().starts().accepted();
    bench.did();
    expect(bench.invited('s9').did()).toEqual(['refuse']);
  });

  test('leaving closes the session; an answer that comes too late is closed as well', () => {
    const bench = new Bench().starts().plays();
    expect(bench.does({ on: 'stop' }).did()).toEqual(['close-peer', 'send-close']);
    const early = new Bench().starts().does({ on: 'stop' });
    early.did();
    expect(early.accepted().did()).toEqual(['send-close']);
  });
});

describe('what fails says why, and tries again by itself', () => {
  test.each([
    [480, 'The camera is offline', true],
    [408, 'The gateway did not answer', true],
    [LOCAL.TIMED_OUT, 'The gateway did not answer', true],
    [404, 'There is no such camera', true],
    [429, 'Too many are watching', true],
    [1001, 'Too many are watching', true],
    [500, 'The gateway refused', true],
    [403, 'You may not watch this camera', false],
    [401, 'You are signed out', false],
  ])('connect is refused with %i: %s', (code, title, again) => {
    const bench = new Bench().starts().refused(code);
    expect([bench.phase, bench.title]).toEqual(['failed', title]);
    bench.did();
    expect(bench.after(60_000).did().includes('connect')).toBe(again);
  });

  test('what the server said is passed on', () => {
    const bench = new Bench().starts().refused(480, 'the gateway is restarting');
    expect(viewOf(bench.state).detail).toBe('The gateway is restarting.');
  });

  test.each([
    ['no offer', 15_000, (b: Bench) => b.accepted(), 'The gateway did not answer'],
    [
      'no local answer',
      5_000,
      (b: Bench) => b.accepted().invited(),
      'This browser could not answer the gateway',
    ],
    [
      'no path',
      15_000,
      (b: Bench) => b.accepted().invited().answered(),
      'No way through was found',
    ],
    [
      'no frame',
      12_000,
      (b: Bench) => b.accepted().invited().answered().ice('connected'),
      'The camera sends no picture',
    ],
  ])('%s in time', (_, ms, until, title) => {
    const bench = until(new Bench().starts());
    bench.after(ms - 1);
    expect(bench.state.link).not.toBeNull();
    bench.did();
    bench.after(1);
    expect([bench.phase, bench.title]).toEqual(['failed', title]);
    expect(bench.did()).toEqual(['close-peer', 'send-close']);
  });

  test('the waits double up to a bound, and a steady picture ends them', () => {
    const bench = new Bench().starts();
    const waits = Array.from({ length: 7 }, () => {
      bench.refused(408);
      const wait = (wakeAt(bench.state) ?? 0) - bench.now;
      bench.after(wait);
      return wait;
    });
    expect(waits).toEqual([700, 1400, 2800, 5600, 11200, 12000, 12000]);
    expect(bench.plays().flows(5).state.attempt).toBe(0);
  });

  test('a format that the browser does not know is final', () => {
    const bench = new Bench().starts().accepted().invited();
    bench.answered('v=0\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\n');
    expect([bench.phase, wakeAt(bench.state)]).toEqual(['failed', null]);
    expect(viewOf(bench.state).canRetry).toBe(true);
    bench.did();
    expect(bench.does({ on: 'retry' }).did()).toEqual(['connect']);
  });

  test('a camera that is away is waited for, not asked for', () => {
    for (const [camera, title] of [
      [{ ...CAMERA, state: 'offline' as const }, 'The camera is offline'],
      [null, 'There is no such camera'],
    ] as const) {
      const bench = new Bench().starts(camera).after(60_000);
      expect([bench.phase, bench.title, bench.did()]).toEqual(['failed', title, []]);
      expect(bench.camera({}).did()).toEqual(['connect']);
    }
  });

  test('a failed camera gives its own reason', () => {
    const bench = new Bench().starts().camera({ state: 'failed', reason: 'wrong password' });
    bench.accepted().after(15_000);
    expect([bench.phase, bench.title]).toEqual(['failed', 'The camera cannot be reached']);
    expect(viewOf(bench.state).detail).toBe('Wrong password.');
    bench.did();
    expect(bench.camera({ state: 'connecting' }).did()).toEqual(['connect']);
  });
});

describe('media survives the loss of the server', () => {
  test('the picture goes on, and the session is taken up again', () => {
    const bench = new Bench().starts().plays({ expiryTimeSeconds: 3600 });
    bench.does({ on: 'signal', up: false }).flows(30);
    expect([bench.phase, bench.did()]).toEqual(['playing', []]);
    bench.does({ on: 'signal', up: true });
    expect(bench.effects).toEqual([{ do: 'extend', generation: 1, session: 's1' }]);
  });

  test('a link without an answer cannot go on, and starts anew when the server is back', () => {
    const bench = new Bench().starts().accepted();
    bench.did();
    expect(bench.does({ on: 'signal', up: false }).did()).toEqual(['close-peer']);
    expect(bench.title).toBe('Connecting to the server');
    expect(bench.does({ on: 'signal', up: true }).did()).toEqual(['connect']);
  });

  test('a link that has answered may still succeed', () => {
    const bench = new Bench().starts().accepted().invited().answered();
    bench.does({ on: 'signal', up: false }).ice('connected').frames(1);
    expect(bench.phase).toBe('playing');
  });

  test('without the server a bad connection is not given up, with it it is', () => {
    const bench = new Bench().starts().plays().flows(6);
    bench.does({ on: 'signal', up: false }).ice('disconnected').stands(20);
    expect(bench.phase).toBe('interrupted');
    bench.did();
    expect(bench.does({ on: 'signal', up: true }).after(4_000).did()).toContain('connect');
  });
});

describe('a picture that stops', () => {
  test('is said to have stopped after two seconds, and replaced after eight', () => {
    const bench = new Bench().starts().plays().flows(6).stands(1);
    expect(bench.phase).toBe('playing');
    bench.stands(1);
    expect([bench.phase, bench.title]).toEqual(['interrupted', 'The picture has stopped']);
    bench.did();
    expect(bench.stands(6).did()).toEqual(['close-peer', 'send-close', 'connect']);
    expect(bench.phase).toBe('reconnecting');
  });

  test('a camera that its gateway reconnects to is waited for on the same link', () => {
    const bench = new Bench().starts().plays().flows(6).camera({ state: 'connecting' });
    bench.did();
    expect(bench.stands(30).did()).toEqual([]);
    expect([bench.phase, bench.title]).toEqual(['interrupted', 'The camera stopped sending']);
    expect(bench.flows(1).phase).toBe('playing');
  });

  test('a page that slept is not a picture that stopped', () => {
    const bench = new Bench().starts().plays().flows(6);
    bench.after(60_000).frames(bench.state.link?.frames ?? 0);
    expect(bench.phase).toBe('playing');
  });

  test('the gateway has four seconds for an ICE restart', () => {
    const bench = new Bench().starts().plays().flows(6).ice('disconnected').stands(3);
    expect([bench.phase, bench.title]).toEqual(['interrupted', 'The connection is interrupted']);
    bench.did();
    expect(bench.invited().did()).toEqual(['answer']);
    bench.answered().ice('connected').flows(10);
    expect([bench.phase, bench.generation]).toEqual(['playing', 1]);

    const alone = new Bench().starts().plays().flows(6).ice('disconnected').stands(4);
    expect(alone.effects.map((effect) => effect.do)).toContain('connect');
  });

  test('a network that changed is reason enough not to wait', () => {
    const bench = new Bench().starts().plays().flows(6).ice('disconnected');
    expect(bench.does({ on: 'network-changed' }).did()).toContain('connect');
    const stalled = new Bench().starts().plays().flows(6).does({ on: 'network-changed' });
    expect(stalled.stands(2).did()).toContain('connect');
  });

  test.each([
    ['ICE failed', (b: Bench) => b.ice('failed')],
    ['the gateway ended the session', (b: Bench) => b.does({ on: 'closed', session: 's1' })],
  ])('%s: at once from scratch', (_, breaks) => {
    const bench = breaks(new Bench().starts().plays().flows(6));
    expect(bench.did()).toEqual(['close-peer', 'send-close', 'connect']);
    expect(bench.phase).toBe('reconnecting');
  });

  test('a picture that was short is not chased without a pause', () => {
    const bench = new Bench().starts().plays().flows(2).ice('failed');
    expect(bench.did()).toEqual(['close-peer', 'send-close']);
    expect(wakeAt(bench.state)).toBe(bench.now + 700);
  });

  test('an error about the session matters only while there is no picture', () => {
    const fault: Fault = { code: 1002, message: 'the gateway is gone', session: 's1' };
    expect(new Bench().starts().plays().does({ on: 'fault', fault }).phase).toBe('playing');
    expect(new Bench().starts().accepted().does({ on: 'fault', fault }).phase).toBe('failed');
    const other = { ...fault, session: 's9' };
    const waiting = new Bench().starts().accepted().does({ on: 'fault', fault: other });
    expect(waiting.phase).toBe('negotiating');
  });
});

describe('the gateway says why it ends a session', () => {
  const gone = (session: string): Fault => ({
    code: 410,
    message: 'the camera sends another codec than was agreed on',
    session,
  });
  const SENTENCE = 'The camera sends another codec than was agreed on.';

  test.each([
    ['before the picture', (b: Bench) => b.accepted(), 'failed', 'The gateway ended the session'],
    ['in a short picture', (b: Bench) => b.plays(), 'failed', 'The gateway ended the session'],
    ['in a picture', (b: Bench) => b.plays().flows(6), 'reconnecting', 'Calling the gateway'],
  ])('%s: the close that follows changes nothing', (_, until, phase, title) => {
    const bench = until(new Bench().starts());
    bench.did();
    bench.does({ on: 'fault', fault: gone('s1') });
    expect(bench.did().slice(0, 2)).toEqual(['close-peer', 'send-close']);
    const said = viewOf(bench.state);
    expect([said.phase, said.title, said.detail]).toEqual([phase, title, SENTENCE]);
    bench.does({ on: 'closed', session: 's1' });
    expect([viewOf(bench.state), bench.did()]).toEqual([said, []]);
  });

  test('the sentence stays below each step of the next try, until there is a picture', () => {
    const bench = new Bench()
      .starts()
      .accepted()
      .does({ on: 'fault', fault: gone('s1') });
    bench.does({ on: 'closed', session: 's1' }).after(700);
    for (const next of [
      (b: Bench) => b.accepted('s2'),
      (b: Bench) => b.invited('s2'),
      (b: Bench) => b.answered(),
      (b: Bench) => b.ice('connected'),
    ]) {
      expect([bench.phase, viewOf(bench.state).detail]).toEqual(['reconnecting', SENTENCE]);
      next(bench);
    }
    expect([bench.frames(1).phase, bench.state.reason]).toEqual(['playing', null]);
  });

  test('another session is none of ours, and a close without a word still is one', () => {
    const bench = new Bench().starts().plays();
    expect(bench.does({ on: 'fault', fault: gone('s9') }).phase).toBe('playing');
    expect(bench.does({ on: 'closed', session: 's1' }).phase).toBe('failed');
    expect(viewOf(bench.state).detail).toBe('Starting another one.');
  });
});

describe('the life of a session', () => {
  const extended = (seconds: number) =>
    ({ ok: true, result: { expiryTimeSeconds: seconds } }) as const;
  const refused = (code: number) => ({ ok: false, fault: { code, message: '' } }) as const;

  test('it is extended before it ends, again and again', () => {
    const bench = new Bench().starts().plays({ expiryTimeSeconds: 100 });
    expect(bench.after(59_999).did()).toEqual([]);
    expect(bench.after(1).did()).toEqual(['extend']);
    bench.does({ on: 'extend-settled', generation: 1, outcome: extended(200) });
    expect(bench.after(119_999).did()).toEqual([]);
    expect(bench.after(1).did()).toEqual(['extend']);
  });

  test('a failure that may pass is tried again', () => {
    const bench = new Bench().starts().plays({ expiryTimeSeconds: 100 }).after(60_000);
    for (const code of [480, 400, 429, LOCAL.TIMED_OUT]) {
      bench.did();
      bench.does({ on: 'extend-settled', generation: 1, outcome: refused(code) });
      expect(bench.after(5_000).did()).toEqual(['extend']);
    }
  });

  test('fresh ICE servers go to the link of their session, whatever its stage', () => {
    const iceServers = [{ urls: ['turn:turn.example.org'], username: 'u', credential: 'c' }];
    const fresh = (session: string) => ({ on: 'ice-servers', session, iceServers }) as const;
    const bench = new Bench().starts();
    expect(bench.does(fresh('s1')).did()).toEqual(['connect']);
    bench.plays({ expiryTimeSeconds: 100 });
    const state = bench.state;
    bench.does(fresh('s9')).does(fresh('s1'));
    expect(bench.effects).toEqual([{ do: 'set-ice-servers', generation: 1, iceServers }]);
    expect(bench.state).toEqual(state);
    bench.after(60_000).does({ on: 'extend-settled', generation: 1, outcome: refused(404) });
    bench.after(20_000).accepted('s2');
    bench.did();
    bench.does(fresh('s1')).does(fresh('s2'));
    expect(bench.effects).toMatchObject([{ generation: 1 }, { generation: 2 }]);
  });

  test('one that the server forgot is replaced before its end, without a gap', () => {
    const bench = new Bench().starts().plays({ expiryTimeSeconds: 100 }).after(60_000);
    bench.did();
    bench.does({ on: 'extend-settled', generation: 1, outcome: refused(404) });
    expect(bench.after(19_999).did()).toEqual([]);
    expect(bench.after(1).did()).toEqual(['connect']);
    expect(bench.phase).toBe('playing');
    expect(bench.accepted('s2').invited('s2').answered().ice('connected').did()).not.toContain(
      'close-peer',
    );
    expect(bench.phase).toBe('playing');
    bench.frames(1);
    expect(bench.did()).toEqual(['show', 'close-peer', 'send-close']);
    expect([bench.phase, bench.state.previous]).toEqual(['playing', null]);
  });

  test('when the replacement fails the old one plays on, and it is tried again', () => {
    const bench = new Bench().starts().plays({ expiryTimeSeconds: 100 }).after(60_000);
    bench.does({ on: 'extend-settled', generation: 1, outcome: refused(404) }).after(20_000);
    bench.did();
    bench.refused(480);
    expect([bench.phase, bench.state.link?.generation]).toEqual(['playing', 1]);
    expect(bench.after(3_000).did()).toEqual(['connect']);
  });

  test.each([
    ['dies', (b: Bench) => b.ice('failed', 1), ['close-peer', 'send-close', 'show']],
    ['is closed', (b: Bench) => b.does({ on: 'closed', session: 's1' }), ['close-peer', 'show']],
  ])('when the old one %s meanwhile, the new one is shown', (_, ends, does) => {
    const bench = new Bench().starts().plays({ expiryTimeSeconds: 100 }).after(60_000);
    bench.does({ on: 'extend-settled', generation: 1, outcome: refused(404) }).after(20_000);
    bench.accepted('s2');
    bench.did();
    expect(ends(bench).did()).toEqual(does);
    expect(bench.phase).toBe('reconnecting');
  });
});
