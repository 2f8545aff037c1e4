// Reads and draws the timecode of the test picture. The format is documented in
// `gateway/core/src/media/test_card/timecode.rs`: 64 cells of 16 × 16 pixels in 4 rows, white for
// 1; a sync byte, 48 bits of milliseconds since the epoch, a CRC-8 of them.
(() => {
  const CELL = 16;
  const COLUMNS = 16;
  const ROWS = 4;
  const SYNC = 0b1010_1100;
  const MIN_CONTRAST = 73;
  const [WIDTH, HEIGHT] = [CELL * COLUMNS, CELL * ROWS];

  function bytes(milliseconds) {
    return [5, 4, 3, 2, 1, 0].map((place) => Math.floor(milliseconds / 256 ** place) % 256);
  }

  function crc(data) {
    return data.reduce((sum, byte) => {
      let crc = sum ^ byte;
      for (let bit = 0; bit < 8; bit += 1) crc = (crc & 0x80 ? (crc << 1) ^ 0x07 : crc << 1) & 0xff;
      return crc;
    }, 0);
  }

  function draw(context, milliseconds) {
    const data = bytes(milliseconds);
    [SYNC, ...data, crc(data)].forEach((byte, index) => {
      for (let bit = 0; bit < 8; bit += 1) {
        const cell = index * 8 + bit;
        context.fillStyle = (byte >> (7 - bit)) & 1 ? 'white' : 'black';
        const [column, row] = [cell % COLUMNS, Math.floor(cell / COLUMNS)];
        context.fillRect(column * CELL, row * CELL, CELL, CELL);
      }
    });
  }

  // Returns the brightness of the inner half of a cell, 0–255.
  function brightness({ data }, cell) {
    const left = (cell % COLUMNS) * CELL + CELL / 4;
    const top = Math.floor(cell / COLUMNS) * CELL + CELL / 4;
    let sum = 0;
    for (let y = top; y < top + CELL / 2; y += 1) {
      for (let x = left; x < left + CELL / 2; x += 1) sum += data[(y * WIDTH + x) * 4 + 1];
    }
    return sum / (CELL / 2) ** 2;
  }

  // Returns the milliseconds shown in a picture, or null if they cannot be read reliably.
  function read(image) {
    const cells = Array.from({ length: COLUMNS * ROWS }, (_, cell) => brightness(image, cell));
    const sync = cells.slice(0, 8);
    const [bright, dark] = [Math.max(...sync), Math.min(...sync)];
    if (bright - dark < MIN_CONTRAST) return null;
    const bits = cells.map((cell) => (cell > (bright + dark) / 2 ? 1 : 0));
    const word = Array.from({ length: 8 }, (_, index) =>
      bits.slice(index * 8, index * 8 + 8).reduce((byte, bit) => byte * 2 + bit, 0),
    );
    const data = word.slice(1, 7);
    if (word[0] !== SYNC || word[7] !== crc(data)) return null;
    return data.reduce((milliseconds, byte) => milliseconds * 256 + byte, 0);
  }

  // Returns a function that waits for the next frame of the page's first video, and returns when it
  // is displayed, by `performance.now()`, and the clock in it, or null.
  function reader() {
    const video = document.querySelector('video');
    const canvas = new OffscreenCanvas(WIDTH, HEIGHT);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    return async () => {
      const { expectedDisplayTime } = await new Promise((resolve) => {
        video.requestVideoFrameCallback((_, metadata) => {
          context.drawImage(video, 0, 0, WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT);
          resolve(metadata);
        });
      });
      const now = performance.now();
      const clock = read(context.getImageData(0, 0, WIDTH, HEIGHT));
      return { displayed: expectedDisplayTime, now, clock };
    };
  }

  // Measures the age of `frames` frames of the page's first video: when each is shown, or when it
  // can be read, whichever is later.
  async function delay(frames) {
    const next = reader();
    const ages = [];
    let unreadable = 0;
    for (let frame = 0; frame < frames; frame += 1) {
      const { displayed, now, clock } = await next();
      const shown = performance.timeOrigin + Math.max(now, displayed);
      if (clock === null) unreadable += 1;
      else ages.push(shown - clock);
    }
    ages.sort((one, other) => one - other);
    const quantile = (share) => {
      const index = Math.min(ages.length - 1, Math.floor(ages.length * share));
      return ages.length > 0 ? Math.round(ages[index] * 10) / 10 : null;
    };
    return {
      frames: ages.length,
      unreadable,
      minMs: quantile(0),
      medianMs: quantile(0.5),
      p95Ms: quantile(0.95),
      maxMs: quantile(1),
    };
  }

  Object.assign(window.portholeTest, { drawClock: draw, delay, frameReader: reader });
})();
