/** Digital zoom of one player, by wheel, fingers, double tap and mouse. */

import { movedBy, pinched, tapped, wheelFactor, WHOLE, zoomedBy } from '../core/zoom';
import type { Pinch, Point, Zoom } from '../core/zoom';

const DOUBLE_TAP_MS = 300;
/** A finger that moves further does not tap. */
const TAP_SLOP_PX = 12;

export class PlayerZoom {
  value = $state.raw<Zoom>(WHOLE);
  readonly #fingers = new Map<number, { readonly x: number; readonly y: number }>();
  #tapAt = 0;
  #travelled = 0;

  /** Follows the pointers and the wheel over an element; for `{@attach}`. */
  readonly follow = (element: HTMLElement): (() => void) => {
    const ended = new AbortController();
    const options = { signal: ended.signal };
    element.addEventListener(
      'wheel',
      (event) => {
        event.preventDefault();
        const factor = wheelFactor(event.deltaY);
        this.value = zoomedBy(this.value, factor, pointOf(element, event.clientX, event.clientY));
      },
      { ...options, passive: false },
    );
    element.addEventListener('pointerdown', (event) => this.#handleDown(element, event), options);
    element.addEventListener('pointermove', (event) => this.#handleMove(element, event), options);
    for (const type of ['pointerup', 'pointercancel'] as const) {
      element.addEventListener(type, (event) => this.#handleUp(element, event), options);
    }
    return () => ended.abort();
  };

  #handleDown(element: HTMLElement, event: PointerEvent): void {
    if (event.button !== 0 || this.#fingers.size >= 2) return;
    element.setPointerCapture(event.pointerId);
    this.#fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.#travelled = this.#fingers.size === 1 ? 0 : Infinity;
  }

  #handleMove(element: HTMLElement, { pointerId, clientX: x, clientY: y }: PointerEvent): void {
    const last = this.#fingers.get(pointerId);
    if (last === undefined) return;
    const before = this.#pinch(element);
    this.#fingers.set(pointerId, { x, y });
    this.#travelled += Math.hypot(x - last.x, y - last.y);
    const after = this.#pinch(element);
    if (before !== null && after !== null) {
      this.value = pinched(this.value, before, after);
    } else if (this.value.scale > 1) {
      const { width, height } = element.getBoundingClientRect();
      this.value = movedBy(this.value, (x - last.x) / width, (y - last.y) / height);
    }
  }

  #handleUp(element: HTMLElement, event: PointerEvent): void {
    if (!this.#fingers.delete(event.pointerId) || event.type === 'pointercancel') return;
    if (this.#travelled > TAP_SLOP_PX) return;
    const isDouble = event.timeStamp - this.#tapAt < DOUBLE_TAP_MS;
    this.#tapAt = isDouble ? 0 : event.timeStamp;
    if (isDouble) this.value = tapped(this.value, pointOf(element, event.clientX, event.clientY));
  }

  #pinch(element: HTMLElement): Pinch | null {
    const [one, two] = [...this.#fingers.values()];
    if (one === undefined || two === undefined) return null;
    return {
      at: pointOf(element, (one.x + two.x) / 2, (one.y + two.y) / 2),
      distance: Math.hypot(one.x - two.x, one.y - two.y),
    };
  }
}

function pointOf(element: HTMLElement, x: number, y: number): Point {
  const box = element.getBoundingClientRect();
  return { x: (x - box.left) / box.width - 0.5, y: (y - box.top) / box.height - 0.5 };
}
