import { describe, expect, test } from 'vitest';
import * as format from './format';

describe('numbers are formatted for people', () => {
  test.each([
    [format.bitrate(null), '–'],
    [format.bitrate(0), '0 kbit/s'],
    [format.bitrate(999_400), '999 kbit/s'],
    [format.bitrate(999_600), '1.0 Mbit/s'],
    [format.bitrate(4_210_000), '4.2 Mbit/s'],
    [format.milliseconds(0), '0 ms'],
    [format.milliseconds(1.04), '1.0 ms'],
    [format.milliseconds(48.6), '49 ms'],
    [format.percent(0), '0%'],
    [format.percent(0.0004), '< 0.1%'],
    [format.percent(0.0123), '1.2%'],
    [format.decimal(2), '2'],
    [format.decimal(2.04), '2'],
    [format.decimal(0.48), '0.5'],
    [format.frameRate(24.9), '25 fps'],
    [format.resolution(1280, 720), '1280 × 720'],
    [format.resolution(1280, null), '–'],
    [format.codec('H265'), 'H.265'],
    [format.codec(null), '–'],
    [format.soundCodec('PCMA'), 'G.711 A-law'],
    [format.soundCodec('pcmu'), 'G.711 µ-law'],
    [format.soundCodec('MPEG4-GENERIC'), 'AAC'],
    [format.soundCodec('OPUS'), 'Opus'],
    [format.soundCodec('G726-32'), 'G726-32'],
    [format.viewers(0), 'No viewers'],
    [format.viewers(1), '1 viewer'],
    [format.viewers(3), '3 viewers'],
    [format.duration(5), '1 minute'],
    [format.duration(3600), '60 minutes'],
    [format.duration(7200), '2 hours'],
  ])('%s', (formatted, expected) => {
    expect(formatted).toBe(expected);
  });
});

test.each([
  [-3, 'just now'],
  [9, 'just now'],
  [25, '20 s ago'],
  [61, '1 min ago'],
  [3_599, '59 min ago'],
  [3_600, '1 h ago'],
  [200_000, '2 days ago'],
])('%i seconds ago is written "%s"', (seconds, expected) => {
  expect(format.ago(seconds)).toBe(expected);
});
