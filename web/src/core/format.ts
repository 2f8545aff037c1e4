/** Numbers formatted for people; `–` stands for a value that is not known yet. */

import { plural, t, type Key } from './text';

const UNKNOWN = t('unit.unknown');

export function bitrate(bitsPerSecond: number | null): string {
  if (bitsPerSecond === null) return UNKNOWN;
  if (bitsPerSecond >= 999_500) return megabits(bitsPerSecond);
  return t('unit.kbit', { value: Math.round(bitsPerSecond / 1000) });
}

function megabits(bitsPerSecond: number): string {
  return t('unit.mbit', { value: (bitsPerSecond / 1_000_000).toFixed(1) });
}

export function milliseconds(value: number | null): string {
  if (value === null) return UNKNOWN;
  return t('unit.ms', { value: value > 0 && value < 9.5 ? value.toFixed(1) : Math.round(value) });
}

/** Formats a ratio between 0 and 1. */
export function percent(ratio: number | null): string {
  if (ratio === null) return UNKNOWN;
  const value = ratio * 100;
  if (value > 0 && value < 0.1) return t('unit.percent-below', { value: 0.1 });
  return t('unit.percent', { value: value === 0 ? 0 : value.toFixed(1) });
}

/** Formats a number with one digit after the point, unless that is zero. */
export function decimal(value: number): string {
  return value.toFixed(1).replace(/\.0$/, '');
}

export function frameRate(fps: number | null): string {
  return fps === null ? UNKNOWN : t('unit.fps', { value: Math.round(fps) });
}

export function resolution(width: number | null, height: number | null): string {
  return width === null || height === null ? UNKNOWN : t('unit.size', { width, height });
}

export function codec(name: string | null | undefined): string {
  return name?.replace(/^H(26\d)$/, 'H.$1') ?? UNKNOWN;
}

/** Formats the name of a codec for sound; one that is not common is shown as the camera says it. */
export function soundCodec(name: string): string {
  const key = SOUND_CODECS.get(name.toLowerCase());
  return key === undefined ? name : t(key);
}

const SOUND_CODECS: ReadonlyMap<string, Key> = new Map([
  ['pcma', 'sound.codec.pcma'],
  ['pcmu', 'sound.codec.pcmu'],
  ['opus', 'sound.codec.opus'],
  ['aac', 'sound.codec.aac'],
  ['mpeg4-generic', 'sound.codec.aac'],
]);

export function viewers(count: number): string {
  return count === 0 ? t('unit.no-viewers') : plural('unit.viewers', count);
}

/** Formats a time in seconds since 1970 as the browser's language writes it. */
export function dateTime(seconds: number): string {
  const style = { dateStyle: 'medium', timeStyle: 'short' } as const;
  return new Intl.DateTimeFormat(undefined, style).format(seconds * 1000);
}

/** Formats the day of a time in seconds since 1970. */
export function date(seconds: number): string {
  return new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' }).format(seconds * 1000);
}

/** Formats a time in milliseconds since 1970 as hours and minutes. */
export function clockTime(milliseconds: number): string {
  return new Intl.DateTimeFormat(undefined, { timeStyle: 'short' }).format(milliseconds);
}

/** Formats how long ago something was. */
export function ago(seconds: number): string {
  if (seconds < 10) return t('unit.now');
  if (seconds < 60) return t('unit.seconds-ago', { count: Math.floor(seconds / 10) * 10 });
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return t('unit.minutes-ago', { count: minutes });
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return t('unit.hours-ago', { count: hours });
  return t('unit.days-ago', { count: Math.floor(hours / 24) });
}

/** Formats how long something stays valid; at least one minute. */
export function duration(seconds: number): string {
  const minutes = Math.max(1, Math.round(seconds / 60));
  if (minutes < 90) return plural('unit.minutes', minutes);
  return plural('unit.hours', Math.round(minutes / 60));
}
