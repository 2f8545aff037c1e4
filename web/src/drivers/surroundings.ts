/** Facts that the browser tells of the machine: processors, battery, and the wish to save data. */

import type { Hints } from '../core/pace';

interface Connection extends EventTarget {
  readonly saveData?: boolean;
}

interface Battery extends EventTarget {
  readonly charging: boolean;
  /** Charge from 0 to 1. */
  readonly level: number;
}

/** The parts that not every browser has, and that TypeScript does not know. */
interface MoreNavigator {
  readonly connection?: Connection;
  readonly getBattery?: () => Promise<Battery>;
}

const LOW_LEVEL = 0.2;
/** The shorter side of the screen of a phone, in CSS pixels. */
const PHONE_SIDE = 600;
const more: MoreNavigator = navigator as Navigator & MoreNavigator;
let battery: Battery | null = null;

/** Returns what is known now. */
export function hints(): Hints {
  const isTouched = matchMedia('(pointer: coarse)').matches;
  return {
    cores: navigator.hardwareConcurrency || null,
    isPhone: isTouched && Math.min(screen.width, screen.height) < PHONE_SIDE,
    savesData: more.connection?.saveData === true,
    isBatteryLow: battery !== null && !battery.charging && battery.level < LOW_LEVEL,
  };
}

/** Calls back whenever the hints may have changed. Returns the function that ends that. */
export function watchHints(changed: () => void): () => void {
  const ended = new AbortController();
  const { signal } = ended;
  more.connection?.addEventListener('change', changed, { signal });
  void more.getBattery?.().then(
    (found) => {
      battery = found;
      found.addEventListener('levelchange', changed, { signal });
      found.addEventListener('chargingchange', changed, { signal });
      if (!signal.aborted) changed();
    },
    () => undefined,
  );
  return () => ended.abort();
}
