import { expect, test } from 'vitest';
import { fillsTile, shownRatio, transformOf, type Shown } from './shown';
import { drawingOf, fileName } from './snapshot';

test.each([
  ['Front door', /^Front-door \d{4}-\d\d-\d\d \d\d\.\d\d\.\d\d\.jpg$/],
  ['Café / Müll: "hinten"', /^Café-Müll-hinten /],
  ['../../etc', /^etc /],
  ['…', /^camera /],
  ['x'.repeat(300), /^x{64} /],
])('a snapshot of %s has a name that sorts and is safe', (name, expected) => {
  expect(fileName(name, 1_795_900_000_000)).toMatch(expected);
});

/** Returns where a corner of the frame is drawn. */
function placeOf(shown: Shown, x: number, y: number): number[] {
  const { matrix } = drawingOf(400, 200, shown);
  const [a, b, c, d, e, f] = matrix;
  return [a * x + c * y + e, b * x + d * y + f];
}

type Case = [shown: Shown, size: [number, number], topLeft: number[], topRight: number[]];
test.each<Case>([
  [{}, [400, 200], [0, 0], [400, 0]],
  [{ rotation: 90 }, [200, 400], [200, 0], [200, 400]],
  [{ rotation: 180 }, [400, 200], [400, 200], [0, 200]],
  [{ rotation: 270 }, [200, 400], [0, 400], [0, 0]],
  [{ mirrored: true }, [400, 200], [400, 0], [0, 0]],
  [{ rotation: 90, mirrored: true }, [200, 400], [200, 400], [200, 0]],
])('a frame shown as %o is drawn so', (shown, [width, height], topLeft, topRight) => {
  expect(drawingOf(400, 200, shown)).toMatchObject({ width, height });
  expect(placeOf(shown, 0, 0)).toEqual(topLeft);
  expect(placeOf(shown, 400, 0)).toEqual(topRight);
});

test.each<[Shown, string, number]>([
  [{}, 'rotate(0deg)', 16 / 9],
  [{ rotation: 90 }, 'rotate(90deg)', 9 / 16],
  [{ rotation: 180, mirrored: true }, 'rotate(180deg) scaleX(-1)', 16 / 9],
])('%o is shown with %s', (shown, transform, ratio) => {
  expect(transformOf(shown)).toBe(transform);
  expect(shownRatio(1920, 1080, shown)).toBeCloseTo(ratio);
  expect(shownRatio(0, 0, shown)).toBeCloseTo(ratio);
});

test.each([
  [16 / 9, true],
  [4 / 3, true],
  [2.4, true],
  [1, false],
  [9 / 16, false],
  [3.5, false],
])('a picture of ratio %f fills its tile: %s', (ratio, fills) => {
  expect(fillsTile(ratio)).toBe(fills);
});
