// Runs in every page: how long the first picture takes.
(() => {
  // Calls `play`, and returns what it returned and the milliseconds from the call to the moment at
  // which the page's first video shows its first picture.
  async function firstPicture(play, limitMs) {
    const video = document.querySelector('video');
    video.srcObject = null;
    const start = performance.now();
    const shown = new Promise((resolve, reject) => {
      video.requestVideoFrameCallback((now) => resolve(now - start));
      setTimeout(() => reject(new Error(`no picture in ${limitMs} ms`)), limitMs);
    });
    const session = await play();
    return { ms: await shown, session };
  }

  window.portholeTest = { ...window.portholeTest, firstPicture };
})();
