/**
 * The sound of one player: what may be heard, and the state machine that turns it on and off.
 * A browser lets a page sound only once a person has touched it. If it refuses, the picture plays
 * without the sound.
 */

import type { Camera } from '../protocol';
import type { Env, Step } from './machine';
import { sentence } from './reasons';

/** The choice that a player offers: nothing, a button, or one without effect and the reason. */
export type Offered =
  { readonly kind: 'none' | 'heard' } | { readonly kind: 'unheard'; readonly reason: string };

type Heard = Pick<Camera, 'permissions' | 'sound'>;

/** Returns true if a session is to carry sound. A camera may have some that is not known yet. */
export function wantsSound({ permissions, sound }: Heard): boolean {
  return permissions.includes('listen') && sound?.reason === undefined;
}

/** Returns what the player of a camera offers. `hasTrack` is true if its session carries sound. */
export function offeredBy(camera: Heard | null, hasTrack: boolean): Offered {
  if (camera === null || !camera.permissions.includes('listen')) return { kind: 'none' };
  const reason = camera.sound?.reason;
  if (reason !== undefined) return { kind: 'unheard', reason: sentence(reason) };
  return { kind: camera.sound !== undefined || hasTrack ? 'heard' : 'none' };
}

export interface SoundState {
  /** True while the player is not muted, as its element says. */
  readonly isOn: boolean;
  /** True if the browser has refused to begin with sound. It is not asked twice. */
  readonly isRefused: boolean;
}

export type SoundEvent =
  | { readonly type: 'toggle' }
  /** A stream is shown, with or without sound. `isWanted`: the person wanted to hear it before. */
  | { readonly type: 'stream'; readonly hasTrack: boolean; readonly isWanted: boolean }
  /** The browser has refused to play. */
  | { readonly type: 'refused'; readonly isMuted: boolean }
  /** The element was muted or unmuted, by us or with a button of the browser. */
  | { readonly type: 'volume'; readonly isMuted: boolean };

export type SoundEffect =
  | { readonly type: 'mute' | 'unmute' | 'play' }
  | { readonly type: 'remember'; readonly isWanted: boolean }
  /** Asks for a session with sound, unless this one has some. */
  | { readonly type: 'listen' };

/** The state of a player that is still muted. */
export const MUTED: SoundState = { isOn: false, isRefused: false };

export function step(
  state: SoundState,
  event: SoundEvent,
  _env: Env,
): Step<SoundState, SoundEffect> {
  switch (event.type) {
    case 'toggle':
      return toggle(state);
    case 'stream': {
      const starts = event.isWanted && event.hasTrack && !state.isOn && !state.isRefused;
      return { state, effects: starts ? [{ type: 'unmute' }, { type: 'play' }] : PLAY };
    }
    case 'refused':
      // A muted player was refused for another reason, and the browser shows a button to start it.
      if (event.isMuted) return { state, effects: [] };
      return { state: { ...state, isRefused: true }, effects: [{ type: 'mute' }, ...PLAY] };
    case 'volume':
      return { state: { ...state, isOn: !event.isMuted }, effects: [] };
  }
}

/** Returns `null`: nothing here happens by itself. */
export function nextTimeout(): null {
  return null;
}

const PLAY: readonly SoundEffect[] = [{ type: 'play' }];

function toggle(state: SoundState): Step<SoundState, SoundEffect> {
  const isWanted = !state.isOn;
  const remember = { type: 'remember', isWanted } as const;
  const effects: readonly SoundEffect[] = isWanted
    ? [{ type: 'unmute' }, { type: 'play' }, { type: 'listen' }, remember]
    : [{ type: 'mute' }, remember];
  return { state: { ...state, isRefused: false }, effects };
}
