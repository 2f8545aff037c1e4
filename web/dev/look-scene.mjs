// The cameras that the wall is looked at with.
const now = () => Math.floor(Date.now() / 1000);
const playing = (id, name, more = {}) => ({
  id,
  name,
  state: 'live',
  codec: 'H264',
  width: 1920,
  height: 1080,
  viewers: 1,
  streams: [
    { id, role: 'main', state: 'idle', codec: 'H264', width: 1920, height: 1080 },
    { id: `${id}.sub`, role: 'sub', state: 'live', codec: 'H264', width: 640, height: 360 },
  ],
  ...more,
});
/** Returns nine cameras with that of the mock, in every state. */
export const CAMERAS = (gateway) =>
  [
    playing('door', 'Front door', {
      control: { panTilt: true, zoom: true, presets: true },
      motion: { active: true, lastS: now() },
      sound: { codec: 'PCMA' },
    }),
    playing('drive', 'Driveway', { motion: { active: false, lastS: now() - 150 } }),
    playing('garden', 'Garden', { state: 'idle' }),
    playing('porch', 'Porch', {
      viewers: 3,
      mirrored: true,
      sound: { codec: 'G726-32', reason: 'the camera sends G.726, which browsers do not play' },
    }),
    playing('bell', 'Doorbell', { rotation: 90 }),
    {
      id: 'gate',
      name: 'Garden gate',
      state: 'failed',
      reason: 'the camera at 192.168.1.31 refused the password',
      viewers: 0,
    },
    { gateway: gateway.id, id: 'shed', name: 'Shed', state: 'offline', viewers: 0 },
    playing('yard', 'Yard, seen from the workshop', {
      reason: 'the camera sends B pictures, which browsers show late',
    }),
  ].map((camera) => ({ ...camera, gateway: gateway.id }));

/** What the gateway keeps of the one that can be moved. */
export const STORED = [
  {
    id: 'door',
    name: 'Front door',
    origin: 'stored',
    address: 'rtsp://192.168.1.20/main',
    hasPassword: true,
    rotation: 0,
    mirrored: false,
    onDemand: true,
  },
];
