import { describe, expect, test } from 'vitest';
import type { CameraPermission, SoundReport } from '../protocol';
import { MUTED, nextTimeout, offeredBy, step, wantsSound } from './sound';
import type { SoundEvent, SoundState } from './sound';

const ENV = { now: 0, random: 0 };
const MAY: CameraPermission[] = ['watch', 'listen'];
const REASON = 'The camera sends G.726, which no browser plays.';
const UNHEARD: SoundReport = {
  codec: 'G726-32',
  reason: 'the camera sends G.726, which no browser plays',
};

describe('a camera', () => {
  test.each([
    ['with sound', MAY, { codec: 'PCMA' }, true, true, { kind: 'heard' }],
    ['with sound that the session lacks', MAY, { codec: 'PCMA' }, false, true, { kind: 'heard' }],
    ['whose sound is not known', MAY, undefined, false, true, { kind: 'none' }],
    ['whose sound only the session knows', MAY, undefined, true, true, { kind: 'heard' }],
    ['that cannot be heard', MAY, UNHEARD, false, false, { kind: 'unheard', reason: REASON }],
    ['that can no longer be heard', MAY, UNHEARD, true, false, { kind: 'unheard', reason: REASON }],
    ['that one may not hear', ['watch'], { codec: 'PCMA' }, true, false, { kind: 'none' }],
    ['that one may not hear either', ['watch'], UNHEARD, false, false, { kind: 'none' }],
  ] as const)('%s', (_, may, sound, hasTrack, wanted, offered) => {
    const camera = { permissions: [...may], ...(sound === undefined ? {} : { sound }) };
    expect(wantsSound(camera)).toBe(wanted);
    expect(offeredBy(camera, hasTrack)).toEqual(offered);
  });

  test('that is not in the list offers nothing', () => {
    expect(offeredBy(null, true)).toEqual({ kind: 'none' });
  });
});

/** Returns the state after some events, and the types of the effects of the last one. */
function play(...events: SoundEvent[]): [SoundState, string[]] {
  let state = MUTED;
  let types: string[] = [];
  for (const event of events) {
    const next = step(state, event, ENV);
    state = next.state;
    types = next.effects.map((effect) => effect.type);
  }
  return [state, types];
}

const first = (hasTrack = true): SoundEvent => ({ type: 'stream', hasTrack, isWanted: false });
const again = (hasTrack = true): SoundEvent => ({ type: 'stream', hasTrack, isWanted: true });
const volume = (isMuted: boolean): SoundEvent => ({ type: 'volume', isMuted });
const refused = (isMuted: boolean): SoundEvent => ({ type: 'refused', isMuted });
const TOGGLE: SoundEvent = { type: 'toggle' };
const ON = ['unmute', 'play', 'listen', 'remember'];

describe('the player', () => {
  test.each<[string, SoundEvent[], string[]]>([
    ['starts muted', [first()], ['play']],
    ['tries to sound if it did before', [again()], ['unmute', 'play']],
    ['has nothing to turn on without sound', [again(false)], ['play']],
    ['turns sound on that comes later', [again(false), again()], ['unmute', 'play']],
    ['stays on in the next session', [TOGGLE, volume(false), again()], ['play']],
    ['plays on muted if refused', [again(), refused(false)], ['mute', 'play']],
    ['tries that once', [again(), refused(false), volume(true), again()], ['play']],
    ['can be turned on then', [again(), refused(false), volume(true), TOGGLE], ON],
    ['leaves a muted start to the browser', [first(), refused(true)], []],
    ['is turned on', [first(), TOGGLE], ON],
    ['is turned off', [first(), TOGGLE, volume(false), TOGGLE], ['mute', 'remember']],
    ['follows a button of the browser', [volume(false), TOGGLE], ['mute', 'remember']],
    ['follows it both ways', [volume(false), volume(true), TOGGLE], ON],
  ])('%s', (_, events, effects) => {
    expect(play(...events)[1]).toEqual(effects);
  });

  test('is on when its element says so, not when it was asked to be', () => {
    expect(play(TOGGLE)[0].isOn).toBe(false);
    expect(play(TOGGLE, volume(false))[0].isOn).toBe(true);
    expect(play(again(), volume(false), refused(false), volume(true))[0].isOn).toBe(false);
  });

  test('remembers what the person has chosen', () => {
    const chosen = (isOn: boolean) => step({ ...MUTED, isOn }, TOGGLE, ENV).effects.at(-1);
    expect(chosen(false)).toEqual({ type: 'remember', isWanted: true });
    expect(chosen(true)).toEqual({ type: 'remember', isWanted: false });
  });

  test('waits for nothing', () => {
    expect(nextTimeout()).toBeNull();
  });
});
