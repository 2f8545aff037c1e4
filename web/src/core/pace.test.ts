import { describe, expect, test } from 'vitest';
import { initialPace, MAX_DESKTOP, MAX_PHONE, paced, rebound, type Hints } from './pace';

const DESKTOP: Hints = { cores: 2, isPhone: false, savesData: false, isBatteryLow: false };

test.each([
  [DESKTOP, 8, MAX_DESKTOP],
  [{ ...DESKTOP, cores: 16 }, MAX_DESKTOP, MAX_DESKTOP],
  [{ ...DESKTOP, cores: null }, MAX_DESKTOP, MAX_DESKTOP],
  [{ ...DESKTOP, isPhone: true, cores: 8 }, MAX_PHONE, MAX_PHONE],
  [{ ...DESKTOP, isBatteryLow: true }, 2, 2],
  [{ ...DESKTOP, savesData: true }, 1, 1],
] as const)('%o begins with %i of %i', (hints, limit, bound) => {
  expect(initialPace(hints)).toMatchObject({ limit, bound });
});

/** Runs measurements of 100 frames, of which a share is shown, every 3 s with a full wall. */
function after(shares: readonly number[], start = initialPace(DESKTOP)) {
  return shares.reduce(
    (pace, share, at) =>
      paced(pace, { received: 100, shown: 100 * share }, pace.limit, 3_000 * (at + 1)),
    start,
  );
}

describe('the number that plays', () => {
  test.each([
    ['stays after one poor measurement', [0.5], 8],
    ['shrinks after two in a row', [0.5, 0.5], 6],
    ['shrinks again while frames are dropped', [0.5, 0.5, 0.5, 0.5], 4],
    ['stays with a few drops', [0.9, 0.9, 0.9, 0.9], 8],
    ['grows quickly at first', [1, 1, 1], 12],
    ['grows to its bound', Array<number>(20).fill(1), MAX_DESKTOP],
    ['waits half a minute after drops', [0.5, 0.5, ...Array<number>(10).fill(1)], 6],
    ['grows by one then', [0.5, 0.5, ...Array<number>(11).fill(1)], 7],
    [
      'begins to wait again with each drop',
      [0.5, 0.5, 1, 1, 1, 0.9, ...Array<number>(9).fill(1)],
      6,
    ],
  ] as const)('%s', (_, shares, limit) => {
    expect(after(shares).limit).toBe(limit);
  });

  test('is never less than one', () => {
    expect(after(Array<number>(40).fill(0)).limit).toBe(1);
  });

  test('does not grow while fewer play', () => {
    const pace = initialPace(DESKTOP);
    const calm = paced(pace, { received: 100, shown: 100 }, 3, 3_000);
    expect(paced(calm, { received: 100, shown: 100 }, 3, 90_000).limit).toBe(8);
  });

  test('is not judged by a handful of frames', () => {
    const pace = initialPace(DESKTOP);
    expect(paced(pace, { received: 5, shown: 0 }, 8, 3_000)).toBe(pace);
  });

  test('shrinks at once when the battery is low', () => {
    expect(rebound(initialPace(DESKTOP), { ...DESKTOP, isBatteryLow: true }).limit).toBe(2);
  });

  test('takes longer to grow after each loss', () => {
    const twice = after([0, 0, 0, 0]);
    expect(twice.patienceMs).toBe(60_000);
    expect(after(Array<number>(40).fill(0)).patienceMs).toBe(300_000);
  });
});
