/** The level of a sound, from the counters that `getStats` has of it. */

import type { Report } from './stats';

/** The sound that has been heard so far. */
export interface Loudness {
  /** The sum of squared amplitudes, each multiplied by its duration in seconds. */
  readonly energy: number;
  readonly seconds: number;
}

/** The quietest sound that the meter shows: that of a quiet room, in decibels below the loudest. */
const QUIET_DB = -60;
/** Sound that is this loud fills the meter; speech and beeps come close to it. */
const LOUD_DB = -10;

/** Returns what the reports of a receiver say about its sound; `null` if they say nothing. */
export function loudnessOf(reports: Iterable<Report>): Loudness | null {
  for (const report of reports) {
    if (report.type !== 'inbound-rtp' || report.kind !== 'audio') continue;
    const { totalAudioEnergy: energy, totalSamplesDuration: seconds } = report;
    if (typeof energy === 'number' && typeof seconds === 'number') return { energy, seconds };
  }
  return null;
}

/** Returns how far the meter is filled for the sound between two moments, from 0 to 1. */
export function levelBetween(before: Loudness | null, after: Loudness | null): number {
  if (before === null || after === null) return 0;
  const energy = after.energy - before.energy;
  const seconds = after.seconds - before.seconds;
  // The counters of another stream start at zero.
  if (energy <= 0 || seconds <= 0) return 0;
  const decibels = 10 * Math.log10(energy / seconds);
  return Math.min(1, Math.max(0, (decibels - QUIET_DB) / (LOUD_DB - QUIET_DB)));
}
