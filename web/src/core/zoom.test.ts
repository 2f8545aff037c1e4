import { describe, expect, test } from 'vitest';
import { movedBy, panned, pinched, tapped, wheelFactor, WHOLE, zoomedBy } from './zoom';
import { MAX_SCALE, transformOf, type Point, type Zoom } from './zoom';

const close = (zoom: Zoom) => ({
  scale: expect.closeTo(zoom.scale, 6) as number,
  x: expect.closeTo(zoom.x, 6) as number,
  y: expect.closeTo(zoom.y, 6) as number,
});
/** Returns the place in the picture that is shown at a place of the frame. */
const contentAt = ({ scale, x, y }: Zoom, at: Point) => [(at.x - x) / scale, (at.y - y) / scale];

type Case = [zoom: Zoom, factor: number, at: Point, expected: Zoom];
test.each<Case>([
  [WHOLE, 2, { x: 0, y: 0 }, { scale: 2, x: 0, y: 0 }],
  [WHOLE, 2, { x: 0.5, y: 0.5 }, { scale: 2, x: -0.5, y: -0.5 }],
  [WHOLE, 2, { x: -0.25, y: 0 }, { scale: 2, x: 0.25, y: 0 }],
  [WHOLE, 100, { x: 0, y: 0 }, { scale: MAX_SCALE, x: 0, y: 0 }],
  [WHOLE, 0.5, { x: 0.3, y: 0 }, WHOLE],
  [{ scale: 2, x: 0.5, y: 0.5 }, 0.5, { x: 0, y: 0 }, WHOLE],
  [{ scale: 4, x: 1.5, y: 0 }, 0.5, { x: 0, y: 0 }, { scale: 2, x: 0.5, y: 0 }],
])('%o enlarged by %f at %o is %o', (zoom, factor, at, expected) => {
  expect(zoomedBy(zoom, factor, at)).toEqual(close(expected));
});

test('what is under the pointer stays there', () => {
  const at = { x: 0.2, y: -0.1 };
  const before = zoomedBy(WHOLE, 2, { x: 0.1, y: 0.1 });
  const after = zoomedBy(before, 1.7, at);
  const expected = contentAt(before, at).map((n) => expect.closeTo(n, 6) as number);
  expect(contentAt(after, at)).toEqual(expected);
});

describe('moving', () => {
  const twice: Zoom = { scale: 2, x: 0, y: 0 };
  test.each<[string, Zoom, Zoom]>([
    ['stays within the picture', movedBy(twice, 9, -9), { scale: 2, x: 0.5, y: -0.5 }],
    ['does nothing to the whole picture', movedBy(WHOLE, 0.3, 0.3), WHOLE],
    ['right shows what is further right', panned(twice, 'right'), { scale: 2, x: -0.15, y: 0 }],
    ['left shows what is further left', panned(twice, 'left'), { scale: 2, x: 0.15, y: 0 }],
    ['up shows what is further up', panned(twice, 'up'), { scale: 2, x: 0, y: 0.15 }],
    ['down shows what is further down', panned(twice, 'down'), { scale: 2, x: 0, y: -0.15 }],
  ])('%s', (_, zoom, expected) => {
    expect(zoom).toEqual(close(expected));
  });
});

test('two fingers enlarge, and move', () => {
  const before = { at: { x: 0, y: 0 }, distance: 100 };
  expect(pinched(WHOLE, before, { at: { x: 0, y: 0 }, distance: 300 })).toEqual(
    close({ scale: 3, x: 0, y: 0 }),
  );
  const zoom: Zoom = { scale: 3, x: 0, y: 0 };
  expect(pinched(zoom, before, { at: { x: 0.1, y: 0.2 }, distance: 100 })).toEqual(
    close({ scale: 3, x: 0.1, y: 0.2 }),
  );
  expect(pinched(zoom, { ...before, distance: 0 }, before)).toEqual(close(zoom));
});

test('a double tap enlarges, and the next one shows the whole picture', () => {
  const zoom = tapped(WHOLE, { x: 0.2, y: 0 });
  expect(zoom.scale).toBe(2.5);
  expect(tapped(zoom, { x: 0, y: 0 })).toEqual(WHOLE);
});

test.each([
  [-400, 2],
  [-4000, 2],
  [0, 1],
  [400, 0.5],
])('a wheel of %i enlarges by %f', (delta, factor) => {
  expect(wheelFactor(delta)).toBeCloseTo(factor);
});

test('the whole picture has no transform', () => {
  expect(transformOf(WHOLE)).toBe('none');
  expect(transformOf({ scale: 2, x: 0.5, y: -0.25 })).toBe('translate(50%, -25%) scale(2)');
});
