// Runs in every page: measures all of its videos at once.
(() => {
  // Chromium counts the frames that a video element has shown.
  const shown = (video) => video.getVideoPlaybackQuality().totalVideoFrames;

  // Returns for each video of the page the frames that it shows in a second, over `seconds`, with
  // the size of its picture and the label of the tile.
  async function rates(seconds) {
    const before = new Map([...document.querySelectorAll('video')].map((v) => [v, shown(v)]));
    const start = performance.now();
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    const took = (performance.now() - start) / 1000;
    return [...document.querySelectorAll('video')].map((video) => ({
      label: video.getAttribute('aria-label'),
      width: video.videoWidth,
      height: video.videoHeight,
      framesPerSecond: before.has(video) ? (shown(video) - before.get(video)) / took : 0,
    }));
  }

  window.portholeTest = { ...window.portholeTest, rates };
})();
