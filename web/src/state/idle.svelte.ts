/** Notices that nobody touches an element, so that what lies over a picture can be hidden. */

const IDLE_MS = 3_000;

export class Idle {
  isIdle = $state(false);

  /** Follows an element; for `{@attach}`. */
  readonly follow = (element: HTMLElement): (() => void) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const wait = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        // Whoever uses the keyboard must see where the focus is.
        if (element.querySelector(':focus-visible') === null) this.isIdle = true;
        else wait();
      }, IDLE_MS);
    };
    const touched = () => {
      this.isIdle = false;
      wait();
    };
    const ended = new AbortController();
    for (const type of ['pointermove', 'pointerdown', 'keydown', 'focusin']) {
      element.addEventListener(type, touched, { signal: ended.signal });
    }
    touched();
    return () => {
      clearTimeout(timer);
      ended.abort();
    };
  };
}
