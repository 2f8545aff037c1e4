// Runs in every page: listens to what it plays.
(() => {
  const EVERY_MS = 50;

  async function levelOf(connection) {
    const levels = [...(await connection.getStats()).values()]
      .filter(({ type, kind }) => type === 'inbound-rtp' && kind === 'audio')
      .map(({ audioLevel }) => audioLevel ?? 0);
    return Math.max(0, ...levels);
  }

  // Returns the highest `audioLevel` of all connections within `seconds`; how many sections for
  // sound their gateways offer; and each video, with its sound.
  async function sound(seconds) {
    let level = 0;
    for (const end = performance.now() + seconds * 1000; performance.now() < end; ) {
      level = Math.max(level, ...(await Promise.all(window.portholeTest.open().map(levelOf))));
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
    const sections = window.portholeTest
      .open()
      .map(({ remoteDescription }) => remoteDescription?.sdp.match(/^m=audio (?!0 )/gm) ?? [])
      .reduce((sum, { length }) => sum + length, 0);
    const videos = [...document.querySelectorAll('video')].map((video) => ({
      isMuted: video.muted,
      tracks: video.srcObject?.getAudioTracks().length ?? 0,
    }));
    return { level, sections, videos };
  }

  window.portholeTest = { ...window.portholeTest, sound };
})();
