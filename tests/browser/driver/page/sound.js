// Runs in every page: listens to what it plays.
(() => {
  const EVERY_MS = 50;
  // A beep has an amplitude of 0.4 and comes after nine tenths of a second of silence.
  const LOUD = 0.1;
  const SILENCE_S = 0.3;
  const LONGEST_FRAME_MS = 100;

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

  // Posts the time of each sound that begins after a silence, on the clock of its context.
  const ONSETS = `registerProcessor('onsets', class extends AudioWorkletProcessor {
    quiet = 0;
    process([[samples]]) {
      samples?.forEach((sample, index) => {
        const isLoud = Math.abs(sample) > ${LOUD};
        if (isLoud && this.quiet > ${SILENCE_S} * sampleRate) {
          this.port.postMessage(currentTime + index / sampleRate);
        }
        this.quiet = isLoud ? 0 : this.quiet + 1;
      });
      return true;
    }
  });`;

  // Measures `count` beeps of the built-in camera, one at each full second of the clock in its
  // picture: by how many milliseconds each leaves the audio output after that picture is displayed.
  async function beeps(count) {
    const context = new AudioContext();
    const module = URL.createObjectURL(new Blob([ONSETS], { type: 'text/javascript' }));
    await context.audioWorklet.addModule(module);
    const { srcObject } = document.querySelector('video');
    const onsets = new AudioWorkletNode(context, 'onsets');
    context.createMediaStreamSource(srcObject).connect(onsets);
    const heard = [];
    onsets.port.onmessage = ({ data }) => {
      const { contextTime, performanceTime } = context.getOutputTimestamp();
      heard.push(performanceTime + (data - contextTime) * 1000);
    };
    const next = window.portholeTest.frameReader();
    const frames = [];
    // A few more, for those at the ends whose picture is not among the frames.
    const end = performance.now() + (count + 2) * 1000;
    while (performance.now() < end) {
      const frame = await next();
      if (frame.clock !== null) frames.push(frame);
    }
    await context.close();
    const late = heard.map((time) => lateness(time, frames)).filter((ms) => ms !== null);
    late.sort((one, other) => one - other);
    const at = (share) => late[Math.min(late.length - 1, Math.floor(late.length * share))];
    return { count: late.length, minMs: at(0), medianMs: at(0.5), maxMs: at(1) };
  }

  // Returns by how much a beep is later than the picture of its second, or null.
  function lateness(time, frames) {
    const distance = ({ displayed }) => Math.abs(displayed - time);
    const near = frames.reduce((best, frame) => (distance(frame) < distance(best) ? frame : best));
    const second = Math.round((near.clock + time - near.displayed) / 1000) * 1000;
    const off = ({ clock }) => Math.abs(clock - second);
    const shown = frames.reduce((best, frame) => (off(frame) < off(best) ? frame : best));
    if (off(shown) > LONGEST_FRAME_MS) return null;
    return Math.round((time - (shown.displayed + second - shown.clock)) * 10) / 10;
  }

  window.portholeTest = { ...window.portholeTest, sound, beeps };
})();
