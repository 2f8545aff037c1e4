/** The small moving charts of the statistics: what each shows of the samples of the last minute. */

import * as format from './format';
import type { Sample } from './stats';
import { t } from './text';

/** Number of samples that are kept: one minute. */
export const CAPACITY = 60;

export interface Chart {
  readonly key: string;
  readonly title: string;
  /** The latest value, with its unit. */
  readonly value: string;
  /** The values that are known, oldest first. */
  readonly values: readonly number[];
}

/** Least time between two samples of a chart; more are taken while a picture stands still. */
const SPACING_MS = 800;

/** Returns the samples with a new one, without those that are older than the charts show. */
export function withSample(samples: readonly Sample[], sample: Sample): readonly Sample[] {
  const last = samples.at(-1);
  if (last !== undefined && sample.at - last.at < SPACING_MS) return samples;
  return [...samples, sample].slice(-CAPACITY);
}

/** Returns the chart of the bitrate, which stands for itself. */
export function bitrateChart(samples: readonly Sample[]): Chart {
  const values = known(samples, ({ bitsPerSecond }) => bitsPerSecond);
  return chart('bitrate', t('stats.bitrate'), format.bitrate(values.at(-1) ?? null), values);
}

/** Returns the charts of what disturbs a picture. */
export function disturbanceCharts(samples: readonly Sample[]): Chart[] {
  const loss = known(samples, (sample) => sample.loss);
  const rtt = known(samples, (sample) => sample.rttMs);
  const jitter = known(samples, (sample) => sample.jitterMs);
  const latest = samples.at(-1);
  return [
    chart('loss', t('stats.loss'), format.percent(latest?.loss ?? null), loss),
    chart('rtt', t('stats.rtt'), format.milliseconds(latest?.rttMs ?? null), rtt),
    chart('jitter', t('stats.jitter'), format.milliseconds(latest?.jitterMs ?? null), jitter),
    chart('freezes', t('stats.freezes'), String(latest?.freezes ?? 0), newFreezes(samples)),
  ];
}

/** Returns the freezes that each sample added. A new connection counts from zero. */
function newFreezes(samples: readonly Sample[]): number[] {
  return samples.map(({ freezes }, index) =>
    Math.max(0, freezes - (samples[index - 1]?.freezes ?? freezes)),
  );
}

function known(samples: readonly Sample[], valueOf: (sample: Sample) => number | null): number[] {
  return samples.map(valueOf).filter((value) => value !== null);
}

function chart(key: string, title: string, value: string, values: readonly number[]): Chart {
  return { key, title, value, values };
}
