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

  // Returns for each tile of the wall its text, if it plays, and a number that changes with its
  // picture; 0 while it has none.
  function tiles() {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [32, 18];
    const context = canvas.getContext('2d', { willReadFrequently: true });
    return [...document.querySelectorAll('[data-testid="tile"]')].map((tile) => {
      const video = tile.querySelector('video');
      const source = video?.videoWidth ? video : tile.querySelector('canvas');
      let picture = 0;
      if (source) {
        context.drawImage(source, 0, 0, canvas.width, canvas.height);
        const bytes = context.getImageData(0, 0, canvas.width, canvas.height).data;
        picture = bytes.reduce((sum, byte) => (sum * 31 + byte) >>> 0, 1);
      }
      return { text: tile.innerText, playing: tile.dataset.playing === 'true', picture };
    });
  }

  window.portholeTest = { ...window.portholeTest, rates, tiles };
})();
