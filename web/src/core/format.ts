/** Numbers as people read them; `–` where there is none yet. */

const NONE = '–';

export function bitrate(bitsPerSecond: number | null): string {
  if (bitsPerSecond === null) return NONE;
  if (bitsPerSecond >= 999_500) return `${(bitsPerSecond / 1_000_000).toFixed(1)} Mbit/s`;
  return `${Math.round(bitsPerSecond / 1000)} kbit/s`;
}

export function milliseconds(value: number | null): string {
  if (value === null) return NONE;
  return value > 0 && value < 9.5 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

export function percent(share: number | null): string {
  if (share === null) return NONE;
  const value = share * 100;
  return value === 0 ? '0 %' : value < 0.1 ? '< 0.1 %' : `${value.toFixed(1)} %`;
}

export function frameRate(fps: number | null): string {
  return fps === null ? NONE : `${Math.round(fps)} fps`;
}

export function resolution(width: number | null, height: number | null): string {
  return width === null || height === null ? NONE : `${width} × ${height}`;
}

export function codec(name: string | null | undefined): string {
  return name?.replace(/^H(26\d)$/, 'H.$1') ?? NONE;
}

export function viewers(count: number): string {
  if (count === 0) return 'nobody watching';
  return count === 1 ? '1 watching' : `${count} watching`;
}
