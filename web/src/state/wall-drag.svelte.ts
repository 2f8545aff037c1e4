/** Moves tiles with the mouse, a pen or a finger. */

/** Time between two moves, in which the tiles slide to their places. */
const PAUSE_MS = 200;

export class WallDrag {
  /** The tile that is being moved. */
  key = $state<string | null>(null);
  readonly #move: (from: string, to: string) => void;
  #movedAt = 0;

  constructor(move: (from: string, to: string) => void) {
    this.#move = move;
  }

  /** Begins with a press on a tile; a finger must press its handle, as it scrolls elsewhere. */
  start(event: PointerEvent, key: string): void {
    const { target, pointerType, button } = event;
    if (!(target instanceof Element) || button !== 0 || target.closest('button') !== null) return;
    if (pointerType === 'touch' && target.closest('[data-handle]') === null) return;
    event.preventDefault();
    this.key = key;
    const ended = new AbortController();
    const { signal } = ended;
    const end = () => {
      this.key = null;
      ended.abort();
    };
    addEventListener('pointermove', (moved) => this.#handleMove(moved), { signal });
    addEventListener('pointerup', end, { signal });
    addEventListener('pointercancel', end, { signal });
    addEventListener('blur', end, { signal });
  }

  #handleMove({ clientX, clientY, timeStamp }: PointerEvent): void {
    const under = document.elementFromPoint(clientX, clientY)?.closest('[data-key]');
    const to = under?.getAttribute('data-key');
    if (this.key === null || to == null || to === this.key) return;
    if (timeStamp - this.#movedAt < PAUSE_MS) return;
    this.#movedAt = timeStamp;
    this.#move(this.key, to);
  }
}
