/** Tests of what a viewer does when nothing arrives any more. */

import { describe, expect, test } from 'vitest';
import { code } from '../protocol';
import { Bench } from './viewer-bench';

const playing = () => new Bench().start().playFirstFrame({ expiryTimeSeconds: 600 }).playFor(8);

describe('when nothing arrives', () => {
  test('the server is asked for a sign of life first, and once', () => {
    const bench = playing();
    bench.takeEffects();
    expect(bench.silence(500).takeEffects()).toEqual([]);
    expect(bench.silence(1_000).takeEffects()).toEqual(['doubt-server']);
  });

  test('another session is requested, and the old one stays', () => {
    const bench = playing();
    bench.takeEffects();
    expect(bench.silence(1_750).takeEffects()).toEqual(['doubt-server', 'connect']);
    expect([bench.state.session?.stage, bench.state.previous?.id]).toEqual(['requesting', 's1']);
  });

  test('the first of both that has a picture is shown', () => {
    const bench = playing().silence(1_750);
    bench.acceptConnect('s2').receiveOffer('s2').sendAnswer().ice('connected');
    bench.takeEffects();
    expect(bench.frames(1).takeEffects()).toEqual(['show', 'close-peer', 'send-close']);
    expect([bench.state.session?.id, bench.state.previous]).toEqual(['s2', null]);
  });

  test('the old one ends when it has failed, not when it is disconnected', () => {
    const bench = playing().silence(1_750);
    const old = bench.generation - 1;
    expect(bench.ice('disconnected', old).state.previous?.id).toBe('s1');
    expect(bench.ice('failed', old).state.previous).toBeNull();
  });

  test('the player says what it does', () => {
    const bench = playing().silence(1_750);
    expect(bench.phase).toBe('playing');
    bench.silence(2_000, 1_750);
    expect([bench.phase, bench.title]).toEqual(['interrupted', 'Connection interrupted']);
    bench.frames(10_000, bench.generation - 1);
    expect(bench.phase).toBe('playing');
  });
});

test.each([
  ['a camera that sends nothing, on a path that works', 400],
  ['a browser that does not tell', null],
])('%s has its session still', (_, silentMs) => {
  const bench = playing();
  bench.takeEffects();
  const { framesDecoded } = bench.state.session ?? { framesDecoded: 0 };
  for (let look = 0; look < 20; look += 1) {
    bench.advance(250).frames(framesDecoded, bench.generation, silentMs);
  }
  expect(bench.takeEffects()).toEqual([]);
});

describe('when the server is lost with the path', () => {
  test('a session is requested as soon as it is back', () => {
    const bench = playing().dispatch({ type: 'signaling', up: false }).silence(1_750);
    bench.takeEffects();
    expect(bench.dispatch({ type: 'signaling', up: true }).takeEffects()).toEqual(['connect']);
  });

  test('a request that was under way is made again', () => {
    const bench = playing().silence(1_750);
    bench.dispatch({ type: 'signaling', up: false });
    expect(bench.state.session?.id).toBe('s1');
    bench.silence(250, 1_750);
    bench.takeEffects();
    expect(bench.silence(1_500, 2_000).takeEffects()).toEqual([]);
    expect(bench.dispatch({ type: 'signaling', up: true }).takeEffects()).toContain('connect');
  });
});

test('a gateway that is back is asked at once, and until then the player says so', () => {
  const bench = playing().silence(1_750).updateCamera({ state: 'offline' });
  bench.refuseConnect(code.UNAVAILABLE).silence(1_000, 1_750);
  expect(bench.phase).toBe('interrupted');
  bench.takeEffects();
  expect(bench.updateCamera({ state: 'live' }).takeEffects()).toContain('connect');
});

test('a gateway that stays away for long ends the session', () => {
  const bench = playing().silence(1_750).updateCamera({ state: 'offline' });
  bench.refuseConnect(code.UNAVAILABLE).silence(9_000, 1_750);
  expect([bench.phase, bench.title]).toEqual(['failed', 'The camera is offline']);
});

test('a refused request is made again, less and less often', () => {
  const bench = playing().silence(1_750);
  const waits = [0, 1, 2].map(() => {
    const before = bench.now;
    bench.refuseConnect(code.UNAVAILABLE);
    while (bench.state.previous === null) {
      // A driver takes samples all the time.
      const { session } = bench.state;
      bench.advance(50).frames(session?.framesDecoded ?? 0, session?.generation, 2_000);
    }
    return bench.now - before;
  });
  expect(waits).toEqual([300, 600, 1_200]);
});

test('sessions that play for a moment only follow each other less and less often', () => {
  const bench = playing();
  const waits = [0, 1, 2, 3].map((round) => {
    const before = bench.now;
    while (bench.state.previous === null) bench.silence(250, bench.now - before);
    const took = bench.now - before;
    const id = `again-${round}`;
    bench.acceptConnect(id).receiveOffer(id).sendAnswer().ice('connected').frames(1);
    return took;
  });
  expect(waits).toEqual([1_750, 2_250, 3_750, 6_500]);
});

test('a computer that wakes up makes sure of the server first', () => {
  const bench = playing().advance(60_000);
  bench.takeEffects();
  const { framesDecoded } = bench.state.session ?? { framesDecoded: 0 };
  bench.frames(framesDecoded, bench.generation, 60_000);
  expect(bench.takeEffects()).toEqual(['doubt-server']);
});
