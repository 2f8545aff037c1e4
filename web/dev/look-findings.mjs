// Every finding of docs/ref/onvif.md as a gateway sends it, and what the dashboard says and offers.

export const finding = (key, values = {}, failure = false) => ({
  key,
  failure,
  text: `the gateway says ${key}`,
  values,
});
export const stream = (id, role, hasPicture = false) => ({
  id,
  role,
  codec: 'H264',
  width: role === 'main' ? 2560 : 640,
  height: role === 'main' ? 1440 : 360,
  hasPicture,
  ...(hasPicture ? { framesPerSecond: 25, keyFrameDistanceS: 2 } : {}),
});
export const camera = (id, name, streams) => ({ id, number: 1, name, streams });

const works = { camera: camera('probe.9', 'IPC', [stream('probe.9', 'main', true)]) };
/** Key, values, whether there is no picture because of it, sentence, action, and a
 * name if the key has several sentences. */
const ROWS = [
  [
    'nothing-answers',
    { host: '192.168.1.20' },
    true,
    'Nothing answers at 192.168.1.20.',
    'Use another address',
  ],
  [
    'no-onvif',
    { host: '192.168.1.20' },
    true,
    '192.168.1.20 is there but does not speak ONVIF.',
    'Try the usual addresses',
  ],
  ['stopped-answering', {}, true, 'The camera has stopped answering.', 'Try again'],
  ['endless-answer', {}, true, 'The device sends an answer without end', 'Use another address'],
  [
    'redirects',
    { to: '192.168.1.88' },
    true,
    'The device sends us on to 192.168.1.88',
    'Use another address',
  ],
  [
    'password-missing',
    {},
    true,
    'This camera wants a user and a password.',
    'Type user and password',
  ],
  [
    'wrong-password',
    { refused: '2', mayWantText: 'false' },
    true,
    'Wrong user or password.',
    'Type another password',
  ],
  [
    'wrong-password',
    { refused: '2', mayWantText: 'true' },
    true,
    'The camera refuses this user and password.',
    'Type another password',
    'wrong-password-or-text',
  ],
  ['account-locked', {}, true, 'The camera has locked this account.', 'Try again'],
  [
    'wants-text',
    {},
    true,
    'The camera takes the password only as readable text',
    'Send it as readable text',
  ],
  ['sent-text', {}, false, 'The password was sent as readable text', ''],
  ['not-permitted', {}, false, 'This user may not read everything', ''],
  ['clock-off', { seconds: '-15811200' }, false, 'The camera’s clock is 183 days behind.', ''],
  [
    'clock-off',
    { seconds: '600' },
    false,
    'The camera’s clock is 10 minutes ahead.',
    '',
    'clock-ahead',
  ],
  ['clock-unset', {}, false, 'The camera’s clock was never set.', ''],
  [
    'other-address',
    { named: '192.168.1.88', used: '192.168.12.2' },
    false,
    'The camera calls itself 192.168.1.88',
    '',
  ],
  [
    'stream-elsewhere',
    { host: '192.168.1.30' },
    false,
    'A stream of the camera is at 192.168.1.30',
    '',
  ],
  ['no-video', {}, true, 'The camera has no stream with H.264 or H.265.', 'Check again'],
  ['no-h264', { camera: '1' }, false, 'Camera 1 has no H.264 stream', 'Check again'],
  ['no-sub-stream', { camera: '1' }, false, 'Camera 1 has no low-resolution stream', 'Check again'],
  ['picture-without-onvif', {}, false, 'The picture works without ONVIF.', ''],
  ['rtsp-off', {}, true, 'The camera is there but RTSP is switched off.', 'Check again'],
  ['separate-user', {}, true, 'This camera has separate users', 'Type another password'],
  [
    'no-picture',
    { stream: 'main 1', reason: 'the camera serves no more viewers' },
    true,
    'No picture from the full-resolution stream of camera 1: the camera serves no more viewers.',
    'Try again',
  ],
  [
    'far-key-frames',
    { stream: 'main 1', seconds: '10' },
    false,
    'Key frames of the full-resolution stream of camera 1 are 10 s apart',
    'Check again',
  ],
  [
    'far-key-frames',
    { stream: 'sub 1' },
    false,
    'Key frames of the low-resolution stream of camera 1 are more than 5 s apart',
    'Check again',
    'very-far-key-frames',
  ],
  [
    'b-pictures',
    { stream: 'main 1' },
    false,
    'The full-resolution stream of camera 1 has B pictures',
    'Check again',
  ],
  ['from-the-future', {}, false, 'The gateway says from-the-future.', ''],
];

export const FINDINGS = ROWS.map(([key, values, failure, sentence, action, name = key]) => ({
  name,
  sentence,
  action,
  progress: [{ finding: finding(key, values, failure) }, ...(failure ? [] : [works])],
}));
