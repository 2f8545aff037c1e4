/** The gestures on the pad that moves a camera. */

import type { Direction } from '../core/focus';
import { isStill } from '../core/movement';
import { aimAt, aimOf, velocityOf, type Aim } from '../core/pad';
import { ARROWS } from '../core/shortcuts';
import type { Shown } from '../core/shown';
import type { Control } from './control.svelte';

/** Time for which a press without a pointer moves the camera, such as a screen reader's. */
export const NUDGE_MS = 350;

export class PadGestures {
  aim = $state.raw<Aim>({ x: 0, y: 0 });
  readonly #control: Control;
  readonly #shown: () => Shown;
  readonly #held = new Set<Direction>();
  #pointer: number | null = null;

  constructor(control: Control, shown: () => Shown) {
    this.#control = control;
    this.#shown = shown;
  }

  /** Follows pointers and keys on an element; for `{@attach}`. */
  readonly follow = (pad: HTMLElement): (() => void) => {
    const ended = new AbortController();
    const options = { signal: ended.signal };
    pad.addEventListener('pointerdown', (event) => this.#press(pad, event), options);
    pad.addEventListener('pointermove', (event) => this.#drag(pad, event), options);
    for (const type of ['pointerup', 'pointercancel', 'lostpointercapture']) {
      pad.addEventListener(type, () => this.#pointer !== null && this.#release(), options);
    }
    pad.addEventListener('keydown', (event) => this.#handleKey(event, true), options);
    pad.addEventListener('keyup', (event) => this.#handleKey(event, false), options);
    pad.addEventListener('focusout', () => this.#held.size > 0 && this.#release(), options);
    return () => ended.abort();
  };

  /** Moves a little. */
  nudge(direction: Direction): void {
    this.#go(aimOf([direction]));
    setTimeout(() => this.#release(), NUDGE_MS);
  }

  #press(pad: HTMLElement, event: PointerEvent): void {
    if (event.button !== 0 || this.#pointer !== null) return;
    event.preventDefault();
    this.#pointer = event.pointerId;
    pad.setPointerCapture(event.pointerId);
    pad.focus({ preventScroll: true });
    this.#drag(pad, event);
  }

  #drag(pad: HTMLElement, { pointerId, clientX, clientY }: PointerEvent): void {
    if (pointerId !== this.#pointer) return;
    const { left, top, width, height } = pad.getBoundingClientRect();
    const x = (clientX - left - width / 2) / (width / 2);
    const y = (clientY - top - height / 2) / (height / 2);
    this.#go(aimAt(x, y));
  }

  #release(): void {
    this.#pointer = null;
    this.#held.clear();
    this.#go({ x: 0, y: 0 });
  }

  #handleKey(event: KeyboardEvent, isDown: boolean): void {
    const direction = ARROWS.get(event.key);
    if (direction === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (event.repeat) return;
    if (isDown) this.#held.add(direction);
    else this.#held.delete(direction);
    this.#go(aimOf(this.#held));
  }

  #go(aim: Aim): void {
    this.aim = aim;
    const velocity = velocityOf(aim, this.#shown());
    if (isStill(velocity)) this.#control.release();
    else this.#control.press(velocity);
  }
}
