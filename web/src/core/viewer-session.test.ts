import { describe, expect, test } from 'vitest';
import type { Fault } from '../protocol';
import { LOCAL } from './rpc';
import { Bench, CAMERA, CANDIDATE } from './viewer-bench';
import { expects, nextTimeout } from './viewer-session';
import { viewOf } from './viewer-text';

describe('from the request to the first frame', () => {
  test('each stage follows a real event', () => {
    const bench = new Bench();
    expect(bench.phase).toBe('connecting');
    bench.start();
    expect(bench.effects).toEqual([
      {
        type: 'connect',
        generation: 1,
        params: { peer: 'gw-1', profile: 'door', portholeAudio: false },
      },
    ]);
    expect(bench.phase).toBe('connecting');
    bench.takeEffects();
    expect(bench.acceptConnect().takeEffects()).toEqual(['open-peer', 'show']);
    expect(bench.phase).toBe('negotiating');
    expect(bench.receiveOffer().takeEffects()).toEqual(['answer']);
    expect(bench.sendAnswer().takeEffects()).toEqual(['send-answer']);
    expect(bench.phase).toBe('negotiating');
    bench.ice('connected');
    expect([bench.phase, bench.title]).toEqual(['negotiating', 'Connected, waiting for video']);
    bench.frames(0);
    expect(bench.phase).toBe('negotiating');
    bench.frames(1);
    expect([bench.phase, bench.takeEffects()]).toEqual(['playing', []]);
    expect(nextTimeout(bench.state)).toBeNull();
  });

  test('nothing is requested before the server, the list and the page are there', () => {
    const bench = new Bench().dispatch({ type: 'start' });
    expect(bench.title).toBe('Connecting to the server');
    bench.dispatch({ type: 'signaling', up: true });
    expect([bench.title, bench.takeEffects()]).toEqual(['Looking for the camera', []]);
    expect(bench.updateCamera({}).takeEffects()).toEqual(['connect']);
  });

  test('an offer and its candidates may arrive before the response to connect', () => {
    const bench = new Bench().start();
    bench.takeEffects();
    bench.dispatch({ type: 'remote-candidate', session: 's1', candidate: CANDIDATE });
    bench
      .receiveOffer()
      .dispatch({ type: 'remote-candidate', session: 'other', candidate: CANDIDATE });
    expect(bench.takeEffects()).toEqual([]);
    expect(bench.acceptConnect().takeEffects()).toEqual([
      'open-peer',
      'show',
      'add-candidate',
      'answer',
    ]);
  });

  test('the messages kept before the response to connect are bounded', () => {
    const bench = new Bench().start();
    for (let n = 0; n < 100; n++) {
      bench.dispatch({ type: 'remote-candidate', session: 's1', candidate: CANDIDATE });
    }
    bench.takeEffects();
    expect(
      bench
        .acceptConnect()
        .takeEffects()
        .filter((type) => type === 'add-candidate'),
    ).toHaveLength(64);
  });

  test('local candidates wait until the answer is sent', () => {
    const bench = new Bench().start().acceptConnect().receiveOffer();
    bench.takeEffects();
    bench.dispatch({ type: 'local-candidate', generation: 1, candidate: CANDIDATE });
    expect(bench.takeEffects()).toEqual([]);
    expect(bench.sendAnswer().takeEffects()).toEqual(['send-answer', 'send-candidate']);
    bench.dispatch({ type: 'local-candidate', generation: 1, candidate: { candidate: '' } });
    expect(bench.effects).toEqual([
      { type: 'send-candidate', session: 's1', candidate: { candidate: '' } },
    ]);
  });

  test('an offer for an unknown session is not taken', () => {
    const bench = new Bench().start().acceptConnect();
    bench.takeEffects();
    expect(bench.receiveOffer('s9').takeEffects()).toEqual([]);
    expect([expects(bench.state, 's9'), expects(bench.state, 's1')]).toEqual([false, true]);
  });

  test('stopping closes the session, also one that is accepted too late', () => {
    const bench = new Bench().start().playFirstFrame();
    expect(bench.dispatch({ type: 'stop' }).takeEffects()).toEqual(['close-peer', 'send-close']);
    const early = new Bench().start().dispatch({ type: 'stop' });
    early.takeEffects();
    expect(early.acceptConnect().takeEffects()).toEqual(['send-close']);
  });
});

describe('a failure has a reason and is retried', () => {
  test.each([
    [480, 'The camera is offline', true],
    [408, 'The gateway did not respond', true],
    [LOCAL.TIMED_OUT, 'The gateway did not respond', true],
    [404, 'Camera not found', true],
    [429, 'Too many viewers', true],
    [1001, 'Too many viewers', true],
    [500, 'The stream could not be started', true],
    [403, 'You do not have access to this camera', false],
    [401, 'You are signed out', false],
  ])('connect is refused with %i: %s', (code, title, again) => {
    const bench = new Bench().start().refuseConnect(code);
    expect([bench.phase, bench.title]).toEqual(['failed', title]);
    bench.takeEffects();
    expect(bench.advance(60_000).takeEffects().includes('connect')).toBe(again);
  });

  test('the reason that the server gave is shown', () => {
    const bench = new Bench().start().refuseConnect(480, 'the gateway is restarting');
    expect(viewOf(bench.state).detail).toBe('The gateway is restarting.');
  });

  test.each([
    ['no offer', 15_000, (b: Bench) => b.acceptConnect(), 'The gateway did not respond'],
    [
      'no local answer',
      5_000,
      (b: Bench) => b.acceptConnect().receiveOffer(),
      'This browser could not set up the video',
    ],
    [
      'no path',
      15_000,
      (b: Bench) => b.acceptConnect().receiveOffer().sendAnswer(),
      'No network path to the camera',
    ],
    [
      'no frame',
      12_000,
      (b: Bench) => b.acceptConnect().receiveOffer().sendAnswer().ice('connected'),
      'No video from the camera',
    ],
  ])('%s in time', (_, ms, until, title) => {
    const bench = until(new Bench().start());
    bench.advance(ms - 1);
    expect(bench.state.session).not.toBeNull();
    bench.takeEffects();
    bench.advance(1);
    expect([bench.phase, bench.title]).toEqual(['failed', title]);
    expect(bench.takeEffects()).toEqual(['close-peer', 'send-close']);
  });

  test('the delays double up to a bound, and steady video resets them', () => {
    const bench = new Bench().start();
    const waits = Array.from({ length: 7 }, () => {
      bench.refuseConnect(408);
      const wait = (nextTimeout(bench.state) ?? 0) - bench.now;
      bench.advance(wait);
      return wait;
    });
    expect(waits).toEqual([700, 1400, 2800, 5600, 11200, 12000, 12000]);
    expect(bench.playFirstFrame().playFor(5).state.attempt).toBe(0);
  });

  test('a format that the browser cannot play is final', () => {
    const bench = new Bench().start().acceptConnect().receiveOffer();
    bench.sendAnswer('v=0\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\n');
    expect([bench.phase, nextTimeout(bench.state)]).toEqual(['failed', null]);
    expect(viewOf(bench.state).canRetry).toBe(true);
    bench.takeEffects();
    expect(bench.dispatch({ type: 'retry' }).takeEffects()).toEqual(['connect']);
  });

  test('a stream that the browser cannot play is replaced by the other one', () => {
    const main = { id: 'door', role: 'main', state: 'live', codec: 'H265' } as const;
    const sub = { id: 'door.sub', role: 'sub', state: 'idle' } as const;
    const bench = new Bench().start({ ...CAMERA, codec: 'H265', streams: [main, sub] });
    bench.acceptConnect().receiveOffer();
    bench.sendAnswer('v=0\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\n');
    const profiles = bench.effects.flatMap((effect) =>
      effect.type === 'connect' ? [effect.params.profile] : [],
    );
    expect(profiles).toEqual(['door', 'door.sub']);
    bench.acceptConnect().receiveOffer();
    bench.sendAnswer('v=0\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\n');
    expect([bench.phase, nextTimeout(bench.state)]).toEqual(['failed', null]);
  });

  test('a viewer that waits for a picture is told why there is none', () => {
    const reason = 'no key frame for 5 s';
    const bench = new Bench().start().updateCamera({ state: 'failed', reason });
    expect([bench.phase, bench.title]).toEqual(['connecting', 'Waiting for the picture']);
    expect(viewOf(bench.state).detail).toBe('No key frame for 5 s.');
    bench.refuseConnect(503, reason);
    expect([bench.phase, bench.title]).toEqual(['failed', 'No picture from the camera']);
    expect(viewOf(bench.state).detail).toBe('No key frame for 5 s.');
  });

  test('a camera that is away is waited for, not requested', () => {
    for (const [camera, title] of [
      [{ ...CAMERA, state: 'offline' as const }, 'The camera is offline'],
      [null, 'Camera not found'],
    ] as const) {
      const bench = new Bench().start(camera).advance(60_000);
      expect([bench.phase, bench.title, bench.takeEffects()]).toEqual(['failed', title, []]);
      expect(bench.updateCamera({}).takeEffects()).toEqual(['connect']);
    }
  });

  test('a failed camera gives its own reason', () => {
    const bench = new Bench().start().updateCamera({ state: 'failed', reason: 'wrong password' });
    bench.acceptConnect().advance(15_000);
    expect([bench.phase, bench.title]).toEqual(['failed', 'No picture from the camera']);
    expect(viewOf(bench.state).detail).toBe('Wrong password.');
    bench.takeEffects();
    expect(bench.updateCamera({ state: 'connecting' }).takeEffects()).toEqual(['connect']);
  });
});

describe('video survives the loss of the server', () => {
  test('the video goes on, and the session is extended when the server is back', () => {
    const bench = new Bench().start().playFirstFrame({ expiryTimeSeconds: 3600 });
    bench.dispatch({ type: 'signaling', up: false }).playFor(30);
    expect([bench.phase, bench.takeEffects()]).toEqual(['playing', []]);
    bench.dispatch({ type: 'signaling', up: true });
    expect(bench.effects).toEqual([{ type: 'extend', generation: 1, session: 's1' }]);
  });

  test('a session without an answer is requested again when the server is back', () => {
    const bench = new Bench().start().acceptConnect();
    bench.takeEffects();
    expect(bench.dispatch({ type: 'signaling', up: false }).takeEffects()).toEqual(['close-peer']);
    expect(bench.title).toBe('Connecting to the server');
    expect(bench.dispatch({ type: 'signaling', up: true }).takeEffects()).toEqual(['connect']);
  });

  test('a session that has answered may still connect', () => {
    const bench = new Bench().start().acceptConnect().receiveOffer().sendAnswer();
    bench.dispatch({ type: 'signaling', up: false }).ice('connected').frames(1);
    expect(bench.phase).toBe('playing');
  });

  test('a disconnected session is given up only while the server is there', () => {
    const bench = new Bench().start().playFirstFrame().playFor(6);
    bench.dispatch({ type: 'signaling', up: false }).ice('disconnected').stallFor(20);
    expect(bench.phase).toBe('interrupted');
    bench.takeEffects();
    expect(bench.dispatch({ type: 'signaling', up: true }).advance(4_000).takeEffects()).toContain(
      'connect',
    );
  });
});

describe('video that stops', () => {
  test('is shown as stopped after two seconds, and requested again after eight', () => {
    const bench = new Bench().start().playFirstFrame().playFor(6).stallFor(1);
    expect(bench.phase).toBe('playing');
    bench.stallFor(1);
    expect([bench.phase, bench.title]).toEqual(['interrupted', 'The video stopped']);
    bench.takeEffects();
    expect(bench.stallFor(6).takeEffects()).toEqual(['close-peer', 'send-close', 'connect']);
    expect(bench.phase).toBe('reconnecting');
  });

  test('while the gateway reconnects to the camera, the session stays', () => {
    const bench = new Bench()
      .start()
      .playFirstFrame()
      .playFor(6)
      .updateCamera({ state: 'connecting' });
    bench.takeEffects();
    expect(bench.stallFor(30).takeEffects()).toEqual([]);
    expect([bench.phase, bench.title]).toEqual(['interrupted', 'The camera stopped sending video']);
    expect(bench.playFor(1).phase).toBe('playing');
  });

  test('a suspended page does not count as stopped video', () => {
    const bench = new Bench().start().playFirstFrame().playFor(6);
    bench.advance(60_000).frames(bench.state.session?.framesDecoded ?? 0);
    expect(bench.phase).toBe('playing');
  });

  test('the gateway has four seconds for an ICE restart', () => {
    const bench = new Bench().start().playFirstFrame().playFor(6).ice('disconnected').stallFor(3);
    expect([bench.phase, bench.title]).toEqual(['interrupted', 'Connection interrupted']);
    bench.takeEffects();
    expect(bench.receiveOffer().takeEffects()).toEqual(['answer']);
    bench.sendAnswer().ice('connected').playFor(10);
    expect([bench.phase, bench.generation]).toEqual(['playing', 1]);

    const alone = new Bench().start().playFirstFrame().playFor(6).ice('disconnected').stallFor(4);
    expect(alone.effects.map((effect) => effect.type)).toContain('connect');
  });

  test('after a network change there is no waiting', () => {
    const bench = new Bench().start().playFirstFrame().playFor(6).ice('disconnected');
    expect(bench.dispatch({ type: 'network-changed' }).takeEffects()).toContain('connect');
    const stalled = new Bench()
      .start()
      .playFirstFrame()
      .playFor(6)
      .dispatch({ type: 'network-changed' });
    expect(stalled.stallFor(2).takeEffects()).toContain('connect');
  });

  test.each([
    ['ICE failed', (b: Bench) => b.ice('failed')],
    ['the gateway ended the session', (b: Bench) => b.dispatch({ type: 'closed', session: 's1' })],
  ])('%s: a new session is requested at once', (_, fail) => {
    const bench = fail(new Bench().start().playFirstFrame().playFor(6));
    expect(bench.takeEffects()).toEqual(['close-peer', 'send-close', 'connect']);
    expect(bench.phase).toBe('reconnecting');
  });

  test('video that did not last is not requested again without a delay', () => {
    const bench = new Bench().start().playFirstFrame().playFor(2).ice('failed');
    expect(bench.takeEffects()).toEqual(['close-peer', 'send-close']);
    expect(nextTimeout(bench.state)).toBe(bench.now + 700);
  });

  test('a fault of the session matters only while there is no video', () => {
    const fault: Fault = { code: 1002, message: 'the gateway is gone', session: 's1' };
    expect(new Bench().start().playFirstFrame().dispatch({ type: 'fault', fault }).phase).toBe(
      'playing',
    );
    expect(new Bench().start().acceptConnect().dispatch({ type: 'fault', fault }).phase).toBe(
      'failed',
    );
    const other = { ...fault, session: 's9' };
    const waiting = new Bench().start().acceptConnect().dispatch({ type: 'fault', fault: other });
    expect(waiting.phase).toBe('negotiating');
  });
});

describe('the gateway gives a reason for ending a session', () => {
  const gone = (session: string): Fault => ({
    code: 410,
    message: 'the camera now sends another codec than was negotiated',
    session,
  });
  const SENTENCE = 'The camera now sends another codec than was negotiated.';

  test.each([
    [
      'before the video',
      (b: Bench) => b.acceptConnect(),
      'failed',
      'The gateway ended the session',
    ],
    [
      'shortly after the first frame',
      (b: Bench) => b.playFirstFrame(),
      'failed',
      'The gateway ended the session',
    ],
    [
      'during steady video',
      (b: Bench) => b.playFirstFrame().playFor(6),
      'reconnecting',
      'Contacting the gateway',
    ],
  ])('%s: the close that follows changes nothing', (_, until, phase, title) => {
    const bench = until(new Bench().start());
    bench.takeEffects();
    bench.dispatch({ type: 'fault', fault: gone('s1') });
    expect(bench.takeEffects().slice(0, 2)).toEqual(['close-peer', 'send-close']);
    const view = viewOf(bench.state);
    expect([view.phase, view.title, view.detail]).toEqual([phase, title, SENTENCE]);
    bench.dispatch({ type: 'closed', session: 's1' });
    expect([viewOf(bench.state), bench.takeEffects()]).toEqual([view, []]);
  });

  test('the reason is shown during the next attempt, until there is video', () => {
    const bench = new Bench()
      .start()
      .acceptConnect()
      .dispatch({ type: 'fault', fault: gone('s1') });
    bench.dispatch({ type: 'closed', session: 's1' }).advance(700);
    for (const next of [
      (b: Bench) => b.acceptConnect('s2'),
      (b: Bench) => b.receiveOffer('s2'),
      (b: Bench) => b.sendAnswer(),
      (b: Bench) => b.ice('connected'),
    ]) {
      expect([bench.phase, viewOf(bench.state).detail]).toEqual(['reconnecting', SENTENCE]);
      next(bench);
    }
    expect([bench.frames(1).phase, bench.state.reason]).toEqual(['playing', null]);
  });

  test('other sessions do not matter, and a close needs no reason', () => {
    const bench = new Bench().start().playFirstFrame();
    expect(bench.dispatch({ type: 'fault', fault: gone('s9') }).phase).toBe('playing');
    expect(bench.dispatch({ type: 'closed', session: 's1' }).phase).toBe('failed');
    expect(viewOf(bench.state).detail).toBe('Starting a new one.');
  });
});

describe('the lifetime of a session', () => {
  const extended = (seconds: number) =>
    ({ ok: true, result: { expiryTimeSeconds: seconds } }) as const;
  const refused = (code: number) => ({ ok: false, fault: { code, message: '' } }) as const;

  test('it is extended before each expiry', () => {
    const bench = new Bench().start().playFirstFrame({ expiryTimeSeconds: 100 });
    expect(bench.advance(59_999).takeEffects()).toEqual([]);
    expect(bench.advance(1).takeEffects()).toEqual(['extend']);
    bench.dispatch({ type: 'extend-result', generation: 1, outcome: extended(200) });
    expect(bench.advance(119_999).takeEffects()).toEqual([]);
    expect(bench.advance(1).takeEffects()).toEqual(['extend']);
  });

  test('a temporary failure is retried', () => {
    const bench = new Bench().start().playFirstFrame({ expiryTimeSeconds: 100 }).advance(60_000);
    for (const code of [480, 400, 429, LOCAL.TIMED_OUT]) {
      bench.takeEffects();
      bench.dispatch({ type: 'extend-result', generation: 1, outcome: refused(code) });
      expect(bench.advance(5_000).takeEffects()).toEqual(['extend']);
    }
  });

  test('new ICE servers go to their session, whatever its stage', () => {
    const iceServers = [{ urls: ['turn:turn.example.org'], username: 'u', credential: 'c' }];
    const newServers = (session: string) => ({ type: 'ice-servers', session, iceServers }) as const;
    const bench = new Bench().start();
    expect(bench.dispatch(newServers('s1')).takeEffects()).toEqual(['connect']);
    bench.playFirstFrame({ expiryTimeSeconds: 100 });
    const state = bench.state;
    bench.dispatch(newServers('s9')).dispatch(newServers('s1'));
    expect(bench.effects).toEqual([{ type: 'set-ice-servers', generation: 1, iceServers }]);
    expect(bench.state).toEqual(state);
    bench.advance(60_000).dispatch({ type: 'extend-result', generation: 1, outcome: refused(404) });
    bench.advance(20_000).acceptConnect('s2');
    bench.takeEffects();
    bench.dispatch(newServers('s1')).dispatch(newServers('s2'));
    expect(bench.effects).toMatchObject([{ generation: 1 }, { generation: 2 }]);
  });

  test('one that the server has lost is replaced before it expires, without a gap', () => {
    const bench = new Bench().start().playFirstFrame({ expiryTimeSeconds: 100 }).advance(60_000);
    bench.takeEffects();
    bench.dispatch({ type: 'extend-result', generation: 1, outcome: refused(404) });
    expect(bench.advance(19_999).takeEffects()).toEqual([]);
    expect(bench.advance(1).takeEffects()).toEqual(['connect']);
    expect(bench.phase).toBe('playing');
    expect(
      bench.acceptConnect('s2').receiveOffer('s2').sendAnswer().ice('connected').takeEffects(),
    ).not.toContain('close-peer');
    expect(bench.phase).toBe('playing');
    bench.frames(1);
    expect(bench.takeEffects()).toEqual(['show', 'close-peer', 'send-close']);
    expect([bench.phase, bench.state.previous]).toEqual(['playing', null]);
  });

  test('when the replacement fails, the old one keeps playing and it is retried', () => {
    const bench = new Bench().start().playFirstFrame({ expiryTimeSeconds: 100 }).advance(60_000);
    bench.dispatch({ type: 'extend-result', generation: 1, outcome: refused(404) }).advance(20_000);
    bench.takeEffects();
    bench.refuseConnect(480);
    expect([bench.phase, bench.state.session?.generation]).toEqual(['playing', 1]);
    expect(bench.advance(3_000).takeEffects()).toEqual(['connect']);
  });

  test.each([
    ['dies', (b: Bench) => b.ice('failed', 1), ['close-peer', 'send-close', 'show']],
    [
      'is closed',
      (b: Bench) => b.dispatch({ type: 'closed', session: 's1' }),
      ['close-peer', 'show'],
    ],
  ])('when the old one %s in the meantime, the new one is shown', (_, end, effects) => {
    const bench = new Bench().start().playFirstFrame({ expiryTimeSeconds: 100 }).advance(60_000);
    bench.dispatch({ type: 'extend-result', generation: 1, outcome: refused(404) }).advance(20_000);
    bench.acceptConnect('s2');
    bench.takeEffects();
    expect(end(bench).takeEffects()).toEqual(effects);
    expect(bench.phase).toBe('reconnecting');
  });
});
