/** Tests of the sound of a viewer's sessions. */

import { describe, expect, test } from 'vitest';
import type { Camera } from '../protocol';
import { offersSound, rejectsVideo } from './sdp';
import type { ViewerEffect, ViewerEvent, ViewerState } from './viewer-contract';
import { initialState } from './viewer-context';
import { step } from './viewer-session';

const CAMERA: Camera = {
  gateway: 'gw-1',
  address: 'door',
  id: 'door',
  name: 'Door',
  state: 'live',
  viewers: 0,
  permissions: ['watch', 'listen'],
  sound: { codec: 'PCMA' },
};
const VIDEO = 'v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n';
const BOTH = `${VIDEO}m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n`;

test.each([
  ['a picture', VIDEO, false],
  ['picture and sound', BOTH, true],
  ['sound first', 'v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nm=video 9 X 96\r\n', true],
  ['sound that is switched off', `${VIDEO}m=audio 0 UDP/TLS/RTP/SAVPF 0\r\n`, false],
])('an offer of %s', (_, sdp, expected) => {
  expect(offersSound(sdp)).toBe(expected);
  expect(rejectsVideo(sdp)).toBe(false);
});

/** Returns a viewer that has requested its first session, and its effects. */
class Bench {
  state: ViewerState;
  effects: ViewerEffect[] = [];

  constructor(camera: Partial<Camera> = {}, withSound = true) {
    this.state = initialState('door', withSound);
    this.dispatch({ type: 'signaling', up: true });
    this.update(camera);
    this.dispatch({ type: 'start' });
  }

  dispatch(event: ViewerEvent): this {
    const { state, effects } = step(this.state, event, { now: 1_000, random: 1 });
    this.state = state;
    this.effects.push(...effects);
    return this;
  }

  update(changes: Partial<Camera>): this {
    return this.dispatch({ type: 'cameras', cameras: [{ ...CAMERA, ...changes }] });
  }

  play(offer: string, session: string): this {
    const { generation } = this.state;
    const outcome = { ok: true as const, result: { session, iceServers: [] } };
    this.dispatch({ type: 'connect-result', generation, outcome });
    this.dispatch({ type: 'invite', id: 7, session, offer });
    this.dispatch({ type: 'answered', generation, id: 7, answer: offer });
    this.dispatch({ type: 'ice', generation, state: 'connected' });
    return this.dispatch({ type: 'frames', generation, decoded: 1, silentMs: 0 });
  }

  /** Returns what each request since the last call wanted. */
  takeRequests(): (boolean | undefined)[] {
    const requests = this.effects.splice(0).filter((effect) => effect.type === 'connect');
    return requests.map(({ params }) => params.portholeAudio);
  }
}

describe('a session', () => {
  const reason = 'the camera sends G.726';
  test.each([
    ['of a page carries sound', {}, true, true],
    ['of a tile does not', {}, false, false],
    ['may carry sound that is not known yet', { sound: undefined }, true, true],
    ['has none that cannot be heard', { sound: { codec: 'G726', reason } }, true, false],
    ['has none for those who may only watch', { permissions: ['watch'] }, true, false],
  ] as [string, Partial<Camera>, boolean, boolean][])('%s', (_, camera, withSound, expected) => {
    const bench = new Bench(camera, withSound);
    expect(bench.takeRequests()).toEqual([expected]);
  });
});

describe('somebody who wants to listen', () => {
  const unheard = { sound: { codec: 'G726', reason: 'no' } };

  test('gets another session once the camera can be heard, while the picture goes on', () => {
    const bench = new Bench(unheard).play(VIDEO, 's1').update({});
    expect(bench.takeRequests()).toEqual([false]);
    bench.dispatch({ type: 'listen' });
    expect(bench.takeRequests()).toEqual([true]);
    expect(bench.state.previous?.id).toBe('s1');
    bench.dispatch({ type: 'listen' });
    expect(bench.takeRequests()).toEqual([]);
    bench.play(BOTH, 's2');
    expect(bench.effects.map(({ type }) => type)).toContain('show');
    expect([bench.state.previous, bench.state.session?.hasSound]).toEqual([null, true]);
    bench.effects = [];
    bench.dispatch({ type: 'listen' });
    expect(bench.takeRequests()).toEqual([]);
  });

  test.each([
    ['whose session has sound', {}, true, BOTH],
    ['that cannot be heard', unheard, true, VIDEO],
    ['of a tile', {}, false, VIDEO],
  ])('changes nothing about a camera %s', (_, camera, withSound, offer) => {
    const bench = new Bench(camera, withSound).play(offer, 's1');
    bench.effects = [];
    bench.dispatch({ type: 'listen' });
    expect(bench.takeRequests()).toEqual([]);
  });

  test('does not lose the picture when the gateway refuses another session', () => {
    const bench = new Bench(unheard).play(VIDEO, 's1').update({}).dispatch({ type: 'listen' });
    const outcome = { ok: false as const, fault: { code: 503, message: 'no' } };
    const { generation } = bench.state;
    bench.dispatch({ type: 'connect-result', generation, outcome });
    expect([bench.state.session?.id, bench.state.previous]).toEqual(['s1', null]);
  });
});
