/** The outline of a small chart, as the `d` of an SVG path. */

export interface Box {
  readonly width: number;
  readonly height: number;
  /** How many values fill the width; fewer start at the right, where now is. */
  readonly capacity: number;
}

export function linePath(values: readonly number[], { width, height, capacity }: Box): string {
  if (values.length < 2) return '';
  const shown = values.slice(-capacity);
  // A floor of zero: a small wobble of a steady stream must not look like a storm.
  const top = Math.max(...shown) * 1.15 || 1;
  const stride = width / (capacity - 1);
  const left = width - (shown.length - 1) * stride;
  return shown
    .map((value, index) => {
      const x = (left + index * stride).toFixed(1);
      const y = (height - (value / top) * height).toFixed(1);
      return `${index === 0 ? 'M' : 'L'}${x} ${y}`;
    })
    .join('');
}

/** The same, closed along the bottom. */
export function areaPath(values: readonly number[], box: Box): string {
  const line = linePath(values, box);
  if (line === '') return '';
  const start = /^M([\d.]+)/.exec(line)?.[1] ?? '0';
  return `${line}L${box.width} ${box.height}L${start} ${box.height}Z`;
}
