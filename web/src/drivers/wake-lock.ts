/** Keeps the screen on. */

/** Keeps the screen on until the returned function is called; does nothing where it cannot. */
export function keepAwake(): () => void {
  let lock: WakeLockSentinel | null = null;
  const ended = new AbortController();
  const take = async () => {
    if (document.visibilityState !== 'visible') return;
    try {
      lock = await navigator.wakeLock.request('screen');
      if (ended.signal.aborted) await lock.release();
    } catch {
      // No secure context, or a battery that is nearly empty: the screen goes off as always.
    }
  };
  // The browser gives the lock back when the page is hidden.
  document.addEventListener('visibilitychange', () => void take(), { signal: ended.signal });
  void take();
  return () => {
    ended.abort();
    void lock?.release();
  };
}
