/**
 * The number of pictures that play at once: fewer when frames are dropped, more once the machine
 * has kept up for a while.
 */

/** Properties of the machine and its surroundings, as far as the browser tells them. */
export interface Hints {
  /** Logical processors, or `null` if unknown. */
  readonly cores: number | null;
  /** True on a small screen that is touched. */
  readonly isPhone: boolean;
  /** True if the person asked the browser to save data. */
  readonly savesData: boolean;
  /** True while a battery is nearly empty and is not being charged. */
  readonly isBatteryLow: boolean;
}

export interface Pace {
  /** Number of pictures that may play at once. */
  readonly limit: number;
  /** The most that `limit` may become. */
  readonly bound: number;
  /** Time without dropped frames after which one more is tried. */
  readonly patienceMs: number;
  /** Begin of the time without dropped frames; `null` before the first measurement. */
  readonly cleanSince: number | null;
  /** Number of measurements in a row with dropped frames. */
  readonly strikes: number;
}

/** Frames of all pictures in one measurement. */
export interface Frames {
  readonly received: number;
  readonly shown: number;
}

/** A desktop decodes about this many small pictures at once; browsers limit hardware decoders. */
export const MAX_DESKTOP = 16;
/** A phone gets hot with more. */
export const MAX_PHONE = 4;
const MAX_SAVING_DATA = 1;
const MAX_LOW_BATTERY = 2;
/** Pictures for each processor to begin with. */
const PER_CORE = 4;
const UNKNOWN_CORES = 4;
/** A measurement of fewer frames says nothing. */
const MIN_FRAMES = 20;
/** Below this share of frames shown, a picture stutters visibly. */
const POOR_SHARE = 0.85;
const CLEAN_SHARE = 0.95;
/** One poor measurement may be a page that was just opened. */
const MAX_STRIKES = 2;
/** Share of the pictures that go on after frames were dropped. */
const DECREASE = 0.75;
const FIRST_PATIENCE_MS = 3_000;
const PATIENCE_AFTER_DROPS_MS = 30_000;
const MAX_PATIENCE_MS = 300_000;

/** Returns the pace to begin with. */
export function initialPace(hints: Hints): Pace {
  const bound = boundOf(hints);
  const limit = Math.min(bound, Math.max(1, (hints.cores ?? UNKNOWN_CORES) * PER_CORE));
  return { limit, bound, patienceMs: FIRST_PATIENCE_MS, cleanSince: null, strikes: 0 };
}

function boundOf({ isPhone, savesData, isBatteryLow }: Hints): number {
  if (savesData) return MAX_SAVING_DATA;
  if (isBatteryLow) return MAX_LOW_BATTERY;
  return isPhone ? MAX_PHONE : MAX_DESKTOP;
}

/** Returns the pace with another bound, after the hints have changed. */
export function rebound(pace: Pace, hints: Hints): Pace {
  const bound = boundOf(hints);
  return { ...pace, bound, limit: Math.min(pace.limit, bound) };
}

/** Returns the pace after a measurement of the `playing` pictures. */
export function paced(pace: Pace, frames: Frames, playing: number, now: number): Pace {
  if (frames.received < MIN_FRAMES) return pace;
  const share = frames.shown / frames.received;
  if (share < POOR_SHARE) return slower({ ...pace, strikes: pace.strikes + 1 }, playing);
  if (share < CLEAN_SHARE) return { ...pace, strikes: 0, cleanSince: now };
  const calm = { ...pace, strikes: 0, cleanSince: pace.cleanSince ?? now };
  const isFull = playing >= pace.limit && pace.limit < pace.bound;
  if (!isFull || now - calm.cleanSince < pace.patienceMs) return calm;
  // While nothing was ever dropped, the number grows quickly.
  const isFirst = pace.patienceMs === FIRST_PATIENCE_MS;
  const limit = Math.min(pace.bound, pace.limit + (isFirst ? 2 : 1));
  return { ...calm, limit, cleanSince: now };
}

function slower(pace: Pace, playing: number): Pace {
  if (pace.strikes < MAX_STRIKES) return { ...pace, cleanSince: null };
  const patienceMs = Math.min(
    MAX_PATIENCE_MS,
    Math.max(PATIENCE_AFTER_DROPS_MS, pace.patienceMs * 2),
  );
  const limit = Math.max(1, Math.floor(Math.min(pace.limit, playing) * DECREASE));
  return { ...pace, limit, patienceMs, cleanSince: null, strikes: 0 };
}
