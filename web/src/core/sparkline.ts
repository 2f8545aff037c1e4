/** Outlines of a small line chart, as the `d` attribute of an SVG path. */

export interface Box {
  readonly width: number;
  readonly height: number;
  /** Number of values that fill the width; with fewer, the line is aligned to the right. */
  readonly capacity: number;
}

/** Returns the line through the values, or an empty path for fewer than two. */
export function linePath(values: readonly number[], { width, height, capacity }: Box): string {
  if (values.length < 2) return '';
  const shown = values.slice(-capacity);
  // The scale starts at zero, so that small changes of a steady stream look small.
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

/** Returns the area between the line and the bottom of the box. */
export function areaPath(values: readonly number[], box: Box): string {
  const line = linePath(values, box);
  if (line === '') return '';
  const start = /^M([\d.]+)/.exec(line)?.[1] ?? '0';
  return `${line}L${box.width} ${box.height}L${start} ${box.height}Z`;
}
