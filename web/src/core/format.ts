/** Numbers formatted for people; `–` stands for a value that is not known yet. */

const UNKNOWN = '–';

export function bitrate(bitsPerSecond: number | null): string {
  if (bitsPerSecond === null) return UNKNOWN;
  if (bitsPerSecond >= 999_500) return `${(bitsPerSecond / 1_000_000).toFixed(1)} Mbit/s`;
  return `${Math.round(bitsPerSecond / 1000)} kbit/s`;
}

export function milliseconds(value: number | null): string {
  if (value === null) return UNKNOWN;
  return value > 0 && value < 9.5 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

/** Formats a ratio between 0 and 1. */
export function percent(ratio: number | null): string {
  if (ratio === null) return UNKNOWN;
  const value = ratio * 100;
  return value === 0 ? '0%' : value < 0.1 ? '< 0.1%' : `${value.toFixed(1)}%`;
}

export function frameRate(fps: number | null): string {
  return fps === null ? UNKNOWN : `${Math.round(fps)} fps`;
}

export function resolution(width: number | null, height: number | null): string {
  return width === null || height === null ? UNKNOWN : `${width} × ${height}`;
}

export function codec(name: string | null | undefined): string {
  return name?.replace(/^H(26\d)$/, 'H.$1') ?? UNKNOWN;
}

export function viewers(count: number): string {
  if (count === 0) return 'No viewers';
  return count === 1 ? '1 viewer' : `${count} viewers`;
}

/** Formats how long something stays valid; at least one minute. */
export function duration(seconds: number): string {
  const minutes = Math.max(1, Math.round(seconds / 60));
  if (minutes < 90) return minutes === 1 ? '1 minute' : `${minutes} minutes`;
  return `${Math.round(minutes / 60)} hours`;
}
