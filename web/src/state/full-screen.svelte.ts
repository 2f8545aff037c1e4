/** Full screen of one element. An iPhone has none: there, the element fills the window. */

import { keepAwake } from '../drivers/wake-lock';

/** A video, with the method that only Safari has. */
type PhoneVideo = HTMLVideoElement & { readonly webkitEnterFullscreen?: () => void };

export class FullScreen {
  isOn = $state(false);
  /** True while the element fills the window only. */
  isWindow = $state(false);
  #element: HTMLElement | null = null;
  #endAwake: (() => void) | null = null;

  /** Follows an element; for `{@attach}`. */
  readonly follow = (element: HTMLElement): (() => void) => {
    this.#element = element;
    const changed = () => this.#set(document.fullscreenElement === element, false);
    document.addEventListener('fullscreenchange', changed);
    return () => {
      document.removeEventListener('fullscreenchange', changed);
      this.#set(false, false);
      this.#element = null;
    };
  };

  /** Enters or leaves it. An iPhone can show a single video in its own full screen. */
  async toggle(video?: PhoneVideo): Promise<void> {
    if (this.isOn) return this.leave();
    if (!document.fullscreenEnabled) {
      if (video?.webkitEnterFullscreen === undefined) return this.#set(true, true);
      return video.webkitEnterFullscreen();
    }
    try {
      await this.#element?.requestFullscreen();
    } catch {
      this.#set(true, true);
    }
  }

  async leave(): Promise<void> {
    if (document.fullscreenElement !== null) await document.exitFullscreen();
    this.#set(false, false);
  }

  #set(isOn: boolean, isWindow: boolean): void {
    this.isOn = isOn;
    this.isWindow = isWindow;
    document.documentElement.classList.toggle('covered', isWindow);
    if (isOn) this.#endAwake ??= keepAwake();
    else this.#endAwake?.();
    if (!isOn) this.#endAwake = null;
  }
}
