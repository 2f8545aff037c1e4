import { describe, expect, test } from 'vitest';
import { code, type Fault } from '../protocol';
import { INITIAL_STATE, nextTimeout, step, STILL, type MoveEvent, type Velocity } from './movement';
import { aimAt, aimOf, velocityOf } from './pad';
import type { Shown } from './shown';

const RIGHT: Velocity = { pan: 60, tilt: 0, zoom: 0 };
const FASTER: Velocity = { pan: 90, tilt: 0, zoom: 0 };
const BUSY: Fault = { code: code.CONFLICT, message: 'Ada is moving this camera: wait a moment' };
const LOST: Fault = { code: -1, message: '' };

/** A pad with a clock; writes down what is sent, with its time. */
class Bench {
  now = 0;
  state = INITIAL_STATE;
  sent: string[] = [];

  send(event: MoveEvent): this {
    const { state, effects } = step(this.state, event, { now: this.now, random: 0 });
    this.state = state;
    for (const { velocity } of effects) this.sent.push(`${this.now}:${velocity.pan}`);
    return this;
  }

  press = (velocity: Velocity) => this.send({ type: 'press', velocity });
  release = () => this.send({ type: 'release' });
  ok = () => this.send({ type: 'result', outcome: { ok: true, result: {} } });
  fault = (fault: Fault) => this.send({ type: 'result', outcome: { ok: false, fault } });

  wait(ms: number, answer: (bench: Bench) => unknown = () => undefined): this {
    const end = this.now + ms;
    for (let at = nextTimeout(this.state); at !== null && at <= end; at = nextTimeout(this.state)) {
      expect(at).toBeGreaterThanOrEqual(this.now);
      this.now = at;
      this.send({ type: 'timeout' });
      answer(this);
    }
    this.now = end;
    return this;
  }
}

describe('a movement', () => {
  type Case = [what: string, run: (bench: Bench) => unknown, sent: string[]];
  test.each<Case>([
    ['begins at once', (b) => b.press(RIGHT), ['0:60']],
    [
      'is renewed while it is held, and stops once',
      (b) =>
        b
          .press(RIGHT)
          .ok()
          .wait(700, (at) => at.ok())
          .release()
          .ok()
          .wait(5_000),
      ['0:60', '300:60', '600:60', '700:0'],
    ],
    ['has one request at a time', (b) => b.press(RIGHT).wait(900).press(FASTER), ['0:60']],
    [
      'takes the newest speed then',
      (b) => b.press(RIGHT).press(FASTER).wait(200).ok(),
      ['0:60', '200:90'],
    ],
    [
      'changes its speed a few times a second',
      (b) => b.press(RIGHT).ok().press(FASTER).wait(99).press(RIGHT).press(FASTER).wait(1),
      ['0:60', '100:90'],
    ],
    [
      'stops after the request that is on its way',
      (b) => b.press(RIGHT).release().wait(50).ok(),
      ['0:60', '50:0'],
    ],
    ['does not stop what never moved', (b) => b.release().wait(5_000), []],
    [
      'sends a stop again until the gateway stops by itself',
      (b) =>
        b
          .press(RIGHT)
          .ok()
          .release()
          .fault(LOST)
          .wait(5_000, (at) => at.fault(LOST)),
      ['0:60', '0:0', '300:0', '600:0', '900:0'],
    ],
    ['of somebody else is left alone', (b) => b.press(RIGHT).fault(BUSY).wait(5_000), ['0:60']],
    [
      'that was refused later is stopped',
      (b) => b.press(RIGHT).ok().wait(300).fault(LOST).wait(100),
      ['0:60', '300:60', '300:0'],
    ],
    [
      'can begin again after a refusal',
      (b) => b.press(RIGHT).fault(BUSY).wait(2_000).press(RIGHT),
      ['0:60', '2000:60'],
    ],
  ])('%s', (_, run, sent) => {
    const bench = new Bench();
    run(bench);
    expect(bench.sent).toEqual(sent);
  });

  test('says why it ended, until the next press', () => {
    const bench = new Bench().press(RIGHT).fault(BUSY);
    expect(bench.state.problem).toBe(BUSY);
    expect(bench.press(RIGHT).state.problem).toBeNull();
  });

  test('waits for nothing once the camera stands', () => {
    const bench = new Bench().press(RIGHT).ok().release().ok();
    expect(nextTimeout(bench.state)).toBeNull();
    expect(bench.state.movingUntil).toBeNull();
  });
});

describe('the pad', () => {
  test.each([
    [0, 0, { x: 0, y: 0 }],
    [0.1, 0.1, { x: 0, y: 0 }],
    [1, 0, { x: 1, y: -0 }],
    [0, -1, { x: 0, y: 1 }],
    [0, 5, { x: 0, y: -1 }],
    [0.59, 0, { x: 0.5, y: -0 }],
  ])('a finger at %f, %f aims at %o', (x, y, expected) => {
    const aim = aimAt(x, y);
    expect(aim.x).toBeCloseTo(expected.x);
    expect(aim.y).toBeCloseTo(expected.y);
  });

  type Case = [aim: [number, number], shown: Shown, pan: number, tilt: number];
  test.each<Case>([
    [[1, 0], {}, 100, 0],
    [[0, 1], {}, 0, 100],
    [[0, 0], {}, 0, 0],
    [[1, 0], { rotation: 90 }, 0, 100],
    [[0, 1], { rotation: 90 }, -100, 0],
    [[1, 0], { rotation: 180 }, -100, 0],
    [[1, 0], { rotation: 270 }, 0, -100],
    [[1, 0], { mirrored: true }, -100, 0],
    [[0, 1], { mirrored: true }, 0, 100],
    [[0, 1], { rotation: 90, mirrored: true }, 100, 0],
    [[0.001, -0.5], {}, 0, -58],
  ])('an aim at %o of a picture shown as %o is %i, %i', ([x, y], shown, pan, tilt) => {
    expect(velocityOf({ x, y }, shown)).toEqual({ pan: pan + 0, tilt: tilt + 0, zoom: 0 });
  });

  test('two keys aim between them, and opposite ones nowhere', () => {
    const { x, y } = aimOf(['left', 'up']);
    expect(x).toBe(-y);
    expect(aimOf(['left', 'right'])).toEqual({ x: 0, y: 0 });
    expect(velocityOf(aimOf([]), {})).toEqual(STILL);
  });
});
