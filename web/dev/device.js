// Plays a gateway, whose videos are moving canvases and whose sound is a beep. For the mock only.
const canvas = document.getElementById('scene');
let frozen = false;

const DAY = ['#f2b48a', '#f6dcc0', '#3c7f8c', '#0d3a4a'];
const PALETTES = [
  DAY,
  ['#8fb8de', '#e3eef7', '#7d9b6a', '#2f4a2e'],
  ['#20304d', '#4a5f86', '#2b3446', '#0c121d'],
  ['#f7c6c7', '#fdeee4', '#b98f72', '#5b3d2e'],
  ['#9ad1c9', '#eef6ee', '#c8a86a', '#6d5427'],
  ['#555b66', '#9aa3ae', '#4a4f57', '#1c1f24'],
];

function draw(canvas, [top, high, low, bottom] = DAY) {
  if (!frozen) {
    const paint = canvas.getContext('2d');
    const t = performance.now() / 1000;
    const { width: w, height: h } = canvas;
    const sky = paint.createLinearGradient(0, 0, 0, h);
    sky.addColorStop(0, top);
    sky.addColorStop(0.5, high);
    sky.addColorStop(0.52, low);
    sky.addColorStop(1, bottom);
    paint.fillStyle = sky;
    paint.fillRect(0, 0, w, h);
    paint.fillStyle = '#fff3d9';
    paint.beginPath();
    paint.arc(w * 0.7, h * 0.38, 60, 0, 7);
    paint.fill();
    paint.fillStyle = 'rgba(255,255,255,.25)';
    for (let i = 0; i < 24; i++) {
      const y = h * (0.56 + i * 0.018);
      paint.fillRect(((i * 173 + t * (40 + i * 6)) % (w + 200)) - 200, y, 120 + i * 6, 3);
    }
    paint.fillStyle = '#1c2f3a';
    const x = ((t * 60) % (w + 300)) - 150;
    const y = h * 0.54 + Math.sin(t * 1.5) * 6;
    paint.fillRect(x, y - 30, 150, 30);
    paint.fillRect(x + 50, y - 70, 40, 40);
    paint.font = '40px monospace';
    paint.fillText(new Date().toISOString().slice(11, 23), 30, 60);
  }
}
setInterval(() => draw(canvas), 33);

const main = canvas.captureStream(30);
const small = new Map();

/** Returns the video of a stream: `harbour` is large, every other one small. */
function videoOf(profile) {
  if (profile === 'harbour') return main;
  if (!small.has(profile)) {
    const own = Object.assign(document.createElement('canvas'), { width: 640, height: 360 });
    const palette = PALETTES[(small.size + (profile.startsWith('harbour') ? 0 : 1)) % 6];
    setInterval(() => draw(own, palette), 66);
    small.set(profile, own.captureStream(15));
  }
  return small.get(profile);
}

let beeps;

/** Returns a sound that beeps each second. Needs a click on this page, as every sound does. */
function soundTrack() {
  if (beeps === undefined) {
    const context = new AudioContext();
    const [tone, gain] = [context.createOscillator(), context.createGain()];
    beeps = context.createMediaStreamDestination();
    tone.frequency.value = 880;
    tone.connect(gain).connect(beeps);
    gain.gain.value = 0;
    tone.start();
    setInterval(() => {
      gain.gain.setValueAtTime(0.4, context.currentTime);
      gain.gain.setValueAtTime(0, context.currentTime + 0.3);
    }, 1000);
  }
  return beeps.stream.getAudioTracks()[0];
}

/** The sound of the camera: `none`, `beeps`, or `silent`, a section in which nothing arrives. */
let sound = 'none';

const peers = new Map();
let ids = 100;
let viewers = 0;
let state = {
  id: 'harbour',
  name: 'Harbour',
  state: 'idle',
  codec: 'H264',
  width: 1280,
  height: 720,
};
const invites = new Map();
let ws;

function open() {
  ws = new WebSocket(`ws://${location.host}/ws?device`);
  ws.onopen = report;
  ws.onclose = () => setTimeout(open, 500);
  ws.onmessage = ({ data }) => void handleMessage(JSON.parse(data));
}
open();

const send = (message) => {
  if (ws.readyState === 1) ws.send(JSON.stringify({ jsonrpc: '2.0', ...message }));
};

function report() {
  send({
    method: 'portholeReport',
    params: { cameras: [{ ...state, viewers }, ...(window.more ?? [])] },
  });
}

async function handleMessage(message) {
  const { method, params, id, result } = message;
  if (method === 'connect') return invite(params.session, params.profile, params.portholeAudio);
  if (method === 'trickle')
    return peers
      .get(params.session)
      ?.addIceCandidate(params.candidate)
      .catch(() => {});
  if (method === 'portholeClose') return close(params.session);
  if (result?.answer && invites.has(id)) {
    const session = invites.get(id);
    await peers.get(session)?.setRemoteDescription({ type: 'answer', sdp: result.answer });
  }
}

async function invite(session, profile, wantsSound) {
  const stream = videoOf(profile);
  const pc = new RTCPeerConnection();
  peers.set(session, pc);
  const transceiver = pc.addTransceiver(stream.getVideoTracks()[0], {
    direction: 'sendonly',
    streams: [stream],
  });
  if (wantsSound && sound !== 'none') {
    const track = sound === 'beeps' ? soundTrack() : 'audio';
    pc.addTransceiver(track, { direction: 'sendonly', streams: [stream] });
  }
  const { codecs } = RTCRtpSender.getCapabilities('video');
  transceiver.setCodecPreferences(
    codecs
      .filter((c) => /H264|VP8|rtx/i.test(c.mimeType))
      .sort((a) => (/H264/i.test(a.mimeType) ? -1 : 1)),
  );
  pc.onicecandidate = ({ candidate }) =>
    send({ method: 'trickle', params: { session, candidate: candidate ?? { candidate: '' } } });
  pc.onconnectionstatechange = () => {
    viewers = [...peers.values()].filter((p) => p.connectionState === 'connected').length;
    setState({ state: viewers > 0 ? 'live' : 'idle' });
  };
  await offer(session);
}

async function offer(session, options) {
  const pc = peers.get(session);
  await pc.setLocalDescription(await pc.createOffer(options));
  const id = ids++;
  invites.set(id, session);
  send({ id, method: 'invite', params: { session, offer: pc.localDescription.sdp } });
}

function close(session) {
  peers.get(session)?.close();
  peers.delete(session);
  viewers = [...peers.values()].filter((p) => p.connectionState === 'connected').length;
  setState({ state: viewers > 0 ? 'live' : 'idle' });
}

function setState(changes) {
  if (frozen && !('force' in changes)) return;
  const { force: _, ...rest } = changes;
  state = { ...state, ...rest };
  report();
}

// Controls for look.mjs.
window.device = {
  setState,
  setSound: (kind) => (sound = kind),
  freeze: (on) => (frozen = on),
  restartIce: () => Promise.all([...peers.keys()].map((s) => offer(s, { iceRestart: true }))),
  vanish: () => [...peers.values()].forEach((pc) => pc.close()),
  closeAll() {
    for (const session of [...peers.keys()]) {
      send({ method: 'portholeClose', params: { session } });
      close(session);
    }
  },
  sessions: () => [...peers.keys()],
  report,
};
