/**
 * Every sentence of the dashboard, by key. A translation is another table with the same keys.
 *
 * `{name}` stands for a value. A key that ends in `.one` or `.other` is chosen by a number.
 */

export const TEXT = {
  'app.name': 'Porthole',
  'app.title': '{page} · Porthole',
  'app.skip': 'Skip to content',
  'app.server-lost': 'Cannot reach the server. Video that is playing continues. Reconnecting…',
  'app.retry-now': 'Retry now',
  'app.back': 'Back',
  'app.copy': 'Copy',
  'app.copied': 'Copied',

  'api.unreachable': 'Cannot reach the server. Check that it is running, then try again.',
  'api.error': 'The server returned error {status}. Try again later.',

  'account.label': 'Account: ',
  'account.admin': 'Administrator',
  'account.viewer': 'Viewer',
  'account.sign-out': 'Sign out',

  'field.show': 'Show',
  'field.hide': 'Hide',
  'field.of-password': ' password',
  'field.username': 'Username',
  'field.password': 'Password',

  'sign-in.title': 'Sign in',
  'sign-in.lead': 'Watch your cameras from anywhere.',
  'sign-in.submit': 'Sign in',
  'sign-in.busy': 'Signing in…',
  'sign-in.footer': 'Setting up Porthole? Open the setup link in the server’s log.',

  'setup.title': 'Set up Porthole',
  'setup.lead': 'Create the administrator account.',
  'setup.submit': 'Create account',
  'setup.busy': 'Creating account…',
  'setup.password-hint': 'At least {count} characters. A few random words are easy to remember.',
  'setup.password-short': 'Use at least {count} characters.',
  'setup.incomplete': 'The setup link is incomplete',
  'setup.incomplete-lead': 'It must end in #t= and a code. Copy the whole link.',
  'setup.incomplete-text':
    'The link is in the log of Porthole’s first start, and works once. If you already have an ' +
    'account, ',
  'setup.incomplete-link': 'sign in',
  'setup.incomplete-end': '.',

  'not-found.title': 'Page not found',
  'not-found.text': 'Check the address, or go back to your cameras.',
  'not-found.link': 'Go to cameras',

  'cameras.title': 'Cameras',
  'cameras.empty': 'No cameras yet',
  'cameras.empty-admin':
    'A gateway connects your cameras to Porthole. It only makes outgoing connections, so you do ' +
    'not have to open a port. Its cameras appear here automatically.',
  'cameras.empty-viewer': 'Ask an administrator for access. New cameras appear here automatically.',
  'cameras.one-ready': '1 camera, ready',
  'cameras.one-not-ready': '1 camera, not ready',
  'cameras.all-ready': '{count} cameras, all ready',
  'cameras.none-ready': '{count} cameras, none ready',
  'cameras.some-ready': '{count} cameras, {ready} ready',
  'cameras.changed': '{name}: {state}.',

  'camera.state.live': 'Live',
  'camera.state.connecting': 'Connecting',
  'camera.state.idle': 'Ready',
  'camera.state.failed': 'Failed',
  'camera.state.offline': 'Offline',
  'camera.gateway-offline': 'The gateway is not connected.',
  'camera.unreachable': 'The gateway cannot reach this camera and keeps trying.',
  'camera.connecting': 'The gateway is connecting to this camera.',
  'camera.open': 'Open to watch',
  'camera.low-resolution': 'Switch to low resolution',
  'camera.full-resolution': 'Switch to full resolution',

  'gateway.add': 'Add a gateway',
  'gateway.add-busy': 'Creating a claim code…',
  'gateway.command':
    'Run this command on a computer on the same network as your cameras, with the address of ' +
    'your camera. The claim code works once and expires in {time}.',
  'gateway.command-label': 'Command to start a gateway',

  'player.label': 'Live video from {name}',
  'player.float': 'Picture in picture',
  'player.full-screen': 'Full screen',
  'player.retrying': 'Retrying in {seconds} s',
  'player.playing': 'Playing',
  'player.interrupted': 'Connection interrupted',
  'player.interrupted-detail': 'Looking for another path to the gateway.',
  'player.camera-stopped': 'The camera stopped sending video',
  'player.camera-stopped-detail': 'The gateway is reconnecting to it.',
  'player.stopped': 'The video stopped',
  'player.stopped-detail': 'Waiting for it to continue.',
  'player.requesting': 'Contacting the gateway',
  'player.awaiting-offer': 'Preparing the stream',
  'player.answering': 'Negotiating video',
  'player.checking': 'Finding the best path',
  'player.checking-detail': 'Trying direct and relayed connections.',
  'player.connected': 'Connected, waiting for video',
  'player.picture': 'Waiting for the picture',
  'player.camera': 'Waiting for the camera',
  'player.camera-detail': 'The gateway is connecting to it.',
  'player.looking': 'Looking for the camera',
  'player.server': 'Connecting to the server',
  'player.server-detail': 'The video starts automatically once connected.',

  'reason.not-found': 'Camera not found',
  'reason.not-found-hint':
    'It was removed, or you do not have access. Ask an administrator for access.',
  'reason.offline': 'The camera is offline',
  'reason.offline-hint':
    'Its gateway is not connected. The video starts automatically when it is back.',
  'reason.camera-failed': 'No picture from the camera',
  'reason.camera-failed-hint':
    'The gateway keeps trying. Check that the camera is on and connected.',
  'reason.forbidden': 'You do not have access to this camera',
  'reason.forbidden-hint': 'Ask an administrator for access.',
  'reason.signed-out': 'You are signed out',
  'reason.signed-out-hint': 'Sign in again to watch.',
  'reason.busy': 'Too many viewers',
  'reason.busy-hint':
    'The gateway or the server has reached its limit. Close another player, or wait.',
  'reason.timeout': 'The gateway did not respond',
  'reason.timeout-hint':
    'It may be busy or poorly connected. If this keeps happening, check the gateway.',
  'reason.refused': 'The stream could not be started',
  'reason.refused-hint': 'The logs of the gateway and the server have the details.',
  'reason.closed': 'The gateway ended the session',
  'reason.closed-hint': 'Starting a new one.',
  'reason.codec': 'This browser cannot play the camera’s video',
  'reason.codec-hint': 'Set the camera to H.264, or use another browser.',
  'reason.answer-failed': 'This browser could not set up the video',
  'reason.answer-failed-hint': 'Reload the page. If that does not help, use another browser.',
  'reason.no-path': 'No network path to the camera',
  'reason.no-path-hint':
    'A firewall may block both direct and relayed connections. Try another network.',
  'reason.no-video': 'No video from the camera',
  'reason.no-video-hint': 'The connection works, but no video arrived. Check the camera.',
  'reason.stalled': 'The video stopped',
  'reason.stalled-hint': 'No new video has arrived for a while.',
  'reason.connection-lost': 'Connection lost',
  'reason.connection-lost-hint': 'The network may have changed.',

  'path.lan': 'Local network',
  'path.lan-detail': 'The video stays inside your network.',
  'path.direct': 'Direct',
  'path.direct-detail': 'The video comes straight from the gateway, over the Internet.',
  'path.relay': 'Relayed',
  'path.relay-detail': 'No direct path was found. A TURN server relays the encrypted video.',
  'path.transport': 'over {transport}',
  'path.none': 'Not connected',

  'stats.label': 'Stream statistics',
  'stats.bitrate': 'Bitrate',
  'stats.bitrate-chart': 'Bitrate over the last minute, now {rate}',
  'stats.resolution': 'Resolution',
  'stats.codec': 'Codec',
  'stats.frame-rate': 'Frame rate',
  'stats.rtt': 'Round-trip time',
  'stats.details': 'Details',
  'stats.loss': 'Packet loss',
  'stats.jitter': 'Jitter',
  'stats.buffer': 'Jitter buffer',
  'stats.freezes': 'Freezes',
  'stats.local': 'Local candidate',
  'stats.remote': 'Remote candidate',
  'stats.viewers': 'Viewers',

  'unit.unknown': '–',
  'unit.mbit': '{value} Mbit/s',
  'unit.kbit': '{value} kbit/s',
  'unit.ms': '{value} ms',
  'unit.percent': '{value}%',
  'unit.percent-below': '< {value}%',
  'unit.fps': '{value} fps',
  'unit.size': '{width} × {height}',
  'unit.no-viewers': 'No viewers',
  'unit.viewers.one': '1 viewer',
  'unit.viewers.other': '{count} viewers',
  'unit.minutes.one': '1 minute',
  'unit.minutes.other': '{count} minutes',
  'unit.hours.one': '1 hour',
  'unit.hours.other': '{count} hours',
} as const;

type Table = typeof TEXT;
export type Key = keyof Table;
/** The keys that `plural` takes: those that exist with `.one` and with `.other`. */
export type PluralKey = {
  [K in Key]: K extends `${infer Stem}.one` ? (`${Stem}.other` extends Key ? Stem : never) : never;
}[Key];

/** The names of the values in a sentence. */
type Names<S> = S extends `${string}{${infer Name}}${infer Rest}` ? Name | Names<Rest> : never;
/** The values that a sentence needs. They are not known for one that is longer than a line. */
type Values<S> = string extends S
  ? [values?: Record<string, string | number>]
  : [Names<S>] extends [never]
    ? []
    : [values: Record<Names<S>, string | number>];

/** Returns the sentence of a key, with its values. */
export function t<K extends Key>(key: K, ...values: Values<Table[K]>): string {
  return fill(TEXT[key], values[0] ?? {});
}

/** Returns the sentence of a key for a number, which is its value `count`. */
export function plural(key: PluralKey, count: number): string {
  return fill(TEXT[`${key}.${count === 1 ? 'one' : 'other'}`], { count });
}

/** Puts values into a sentence; a value that is missing leaves its name in braces. */
export function fill(sentence: string, values: Readonly<Record<string, string | number>>): string {
  return sentence.replace(/\{([a-zA-Z]+)\}/g, (name, key: string) => String(values[key] ?? name));
}
