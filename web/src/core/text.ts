/**
 * Every sentence of the dashboard, by key. A translation is another table with the same keys.
 *
 * `{name}` stands for a value. A key that ends in `.one` or `.other` is chosen by a number.
 */

import { ACCESS_TEXT } from './text/access';
import { ACCOUNT_TEXT } from './text/account';
import { AUDIT_TEXT } from './text/audit';
import { IDENTITIES_TEXT } from './text/identities';
import { IMPORT_TEXT } from './text/import';
import { PEOPLE_TEXT } from './text/people';
import { SHARE_TEXT } from './text/share';
import { PASSKEYS_TEXT } from './text/passkeys';
import { SHORTCUTS_TEXT } from './text/shortcuts';
import { SOUND_TEXT } from './text/sound';
import { STATS_TEXT } from './text/stats';

export const TEXT = {
  'app.name': 'Porthole',
  'app.title': '{page} · Porthole',
  'app.skip': 'Skip to content',
  'app.server-lost': 'Cannot reach the server. Pictures go on; the list may be old. Reconnecting…',
  'app.updated': 'Porthole was updated. Reload the page to use the new version.',
  'app.reload': 'Reload',
  'app.retry-now': 'Retry now',
  'app.back': 'Back',
  'app.loading': 'Loading…',
  'app.load-failed': 'This page could not be loaded. Check the connection, then try again.',
  'app.copy': 'Copy',
  'app.copied': 'Copied',

  'api.unreachable': 'Cannot reach the server. Check that it is running, then try again.',
  'api.error': 'The server returned error {status}. Try again later.',

  'field.show': 'Show',
  'field.hide': 'Hide',
  'field.of-password': ' password',
  'field.username': 'Username',
  'field.password': 'Password',
  'field.code': 'Code',

  'sign-in.title': 'Sign in',
  'sign-in.lead': 'Watch your cameras from anywhere.',
  'sign-in.submit': 'Sign in',
  'sign-in.busy': 'Signing in…',
  'sign-in.code-lead': 'Enter the code that your authenticator app shows.',
  'sign-in.code-hint': 'Six digits, or one of your recovery codes.',
  'sign-in.code-footer':
    'Lost your phone and your recovery codes? Ask an administrator to take your second factor off.',
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
    'Find the cameras in your network, type their password, and see the picture. No port has ' +
    'to be opened.',
  'cameras.add': 'Add a camera',
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
  'camera.low-resolution': 'Switch to low resolution',
  'camera.full-resolution': 'Switch to full resolution',

  'wall.search': 'Search',
  'wall.groups': 'Groups of cameras',
  'wall.all': 'All cameras',
  'wall.new-group': 'New group',
  'wall.edit-group': 'Change the group {name}',
  'wall.group-name': 'Name',
  'wall.group-cameras': 'Cameras in this group',
  'wall.group-save': 'Save',
  'wall.group-remove': 'Remove group',
  'wall.group-kept': 'Groups and the order of the cameras are kept in this browser.',
  'wall.arrange': 'Arrange',
  'wall.arrange-hint': 'Drag the cameras into the order you like, or move one with the arrow keys.',
  'wall.moved': '{name} is now at place {place} of {count}.',
  'wall.feature': 'Show {name} larger',
  'wall.large': 'Larger tiles',
  'wall.full-screen': 'Full screen',
  'wall.leave': 'Leave full screen',
  'wall.shortcuts': 'Keyboard shortcuts',
  'wall.no-match': 'No camera is called “{typed}”',
  'wall.no-member': 'This group has no camera that you may see.',
  'wall.show-all': 'Show all cameras',
  'wall.still': 'Still, {ago}',
  'wall.motion': 'Motion',
  'wall.motion-ago': 'Motion {ago}',
  'wall.offline-since': 'Offline since {time}. The gateway is not connected.',
  'wall.label': 'Wall of cameras',

  'control.title': 'Move the camera',
  'control.pad': 'Pan and tilt: hold an arrow, or drag from the centre',
  'control.up': 'Up',
  'control.down': 'Down',
  'control.left': 'Left',
  'control.right': 'Right',
  'control.zoom-in': 'Zoom in with the lens',
  'control.zoom-out': 'Zoom out with the lens',
  'control.held': '{name} is moving this camera',
  'control.forbidden': 'You may watch this camera, but not move it.',
  'control.presets': 'Saved views',
  'control.no-presets': 'None yet. Move the camera, then save the view.',
  'control.preset-name': 'Name of this view',
  'control.save-preset': 'Save view',
  'control.remove-preset': 'Remove the view {name}',
  'control.remove-preset-text': 'The camera forgets it. Its picture stays as it is.',

  'settings.title': 'Settings',
  'settings.open': 'Settings of this camera',
  'settings.configured':
    'This camera is in the configuration of its gateway, as camera.{id}. Change it there.',
  'settings.rotation': 'Turned clockwise',
  'settings.degrees': '{count}°',
  'settings.mirrored': 'Mirrored',
  'settings.on-demand': 'Connected only while somebody watches',
  'settings.on-demand-hint': 'Saves power and bandwidth; the picture starts a little later.',
  'settings.remove': 'Remove camera',

  'gateway.add': 'Add a gateway',
  'gateway.add-busy': 'Creating a claim code…',
  'gateway.command':
    'Run this command as root on a computer in the same network as your cameras. The claim ' +
    'code works once and expires in {time}. You add the cameras here, once the gateway is ' +
    'connected.',
  'gateway.qr': 'The command as a QR code',
  'gateway.qr-text': 'Or scan it with the device that will run it.',
  'gateway.replace': 'Replace',
  'gateway.replace-label': 'Replace {name}',
  'gateway.replace-command':
    'Run this command as root on the computer that takes the place of {name}. Then add its ' +
    'cameras again under their old names, with their passwords: who may see them stays the ' +
    'same. The claim code works once and expires in {time}.',
  'gateway.service':
    'With --service the gateway also runs after a restart of that computer. Without it, it runs ' +
    'until you close the terminal.',
  'gateway.command-label': 'Command to start a gateway',

  'gateways.title': 'Gateways',
  'gateways.online': 'Connected',
  'gateways.offline': 'Not connected',
  'gateways.version': 'version {version}',
  'gateways.seen': 'last seen {time}',
  'gateways.older':
    'This gateway is older than the server. To use what is new, upgrade the gateway.',
  'gateways.newer':
    'This gateway is newer than the server. To use what is new, upgrade the server.',
  'gateways.none': 'No gateway yet',
  'gateways.rename': 'Rename',
  'gateways.rename-label': 'Rename {name}',
  'gateways.remove': 'Remove',
  'gateways.remove-label': 'Remove {name}',
  'gateways.name': 'Name',
  'gateways.save': 'Save',
  'gateways.cameras-offline':
    'Check that its computer is on and has a network; its cameras are listed once it is ' +
    'connected. If the computer is broken, replace it.',
  'gateways.no-cameras': 'This gateway has no camera yet.',
  'gateways.change': 'Address or password',
  'gateways.change-label': 'Change the address or password of {name}',
  'gateways.configured': 'From the configuration of the gateway. Change it there.',
  'gateways.hidden':
    'Not used: the configuration of the gateway has a camera of the same id, {id}. Remove or ' +
    'rename that one there, or remove this one.',
  'gateways.changed': 'Last changed by {name}, {time}',
  'gateways.changed-by': 'Last changed by {name}',
  'gateways.has-password': 'with a password',
  'gateways.remove-title': 'Remove {name}?',
  'gateways.remove-text':
    'Nobody can watch its cameras here any more. To bring it back, add the gateway again with a ' +
    'new command.',
  'gateways.remove-camera':
    'The gateway forgets its address and password, and nobody can watch it here any more. ' +
    'Access that was given to it ends, also if you add it again. The camera itself stays as it is.',
  'gateways.add-camera': 'Add a camera',
  'gateways.only-admin': 'Only administrators can see the gateways. Ask one for help.',

  'wizard.title': 'Add a camera',
  'wizard.change-title': 'Change {name}',
  'wizard.step.gateway': 'Gateway',
  'wizard.step.search': 'Find',
  'wizard.step.import': 'File',
  'wizard.step.login': 'Password',
  'wizard.step.cameras': 'Picture',
  'wizard.step.done': 'Done',
  'wizard.steps': 'Steps',
  'wizard.back': 'Back',
  'wizard.cancel': 'Cancel',
  'wizard.not-allowed': 'Only administrators can add cameras. Ask one for help.',

  'wizard.gateway.title': 'Which gateway is near the camera?',
  'wizard.gateway.offline': 'not connected',
  'wizard.gateway.waiting':
    'Waiting for {name} to connect. Check that its computer is on and has a network; the search ' +
    'then starts by itself.',
  'wizard.gateway.none': 'No gateway yet',
  'wizard.gateway.none-text':
    'A gateway finds the cameras in its network and carries their pictures. Start one with the ' +
    'command below; the search begins as soon as it is connected.',

  'search.title': 'Cameras near {gateway}',
  'search.running': 'Looking for cameras…',
  'search.found.one': '1 device found',
  'search.found.other': '{count} devices found',
  'search.none': 'No camera answered',
  'search.none-text':
    'Check that the camera is switched on and in the same network as the gateway. Some cameras ' +
    'answer only after ONVIF is switched on in their own settings. You can also type the ' +
    'address.',
  'search.networks': 'Searched: {networks}.',
  'search.again': 'Search again',
  'search.stop': 'Stop',
  'search.added': 'Added as {names}',
  'search.add': 'Add',
  'search.add-again': 'Add again',
  'search.add-named': 'Add {name}',
  'search.add-named-again': 'Add again: {name}',
  'search.add-all': 'Add all {count} with one password',
  'search.announce': 'Found {name} at {address}.',
  'address.label': 'Address of a camera',
  'address.hint':
    'Such as 192.168.1.20, an rtsp:// address, or 192.168.1.0/24 to search a network.',
  'address.empty': 'Type the address of the camera.',
  'address.bad': 'This is not an address of a camera. Use one such as 192.168.1.20.',
  'address.submit': 'Continue',

  ...ACCESS_TEXT,
  ...ACCOUNT_TEXT,
  ...AUDIT_TEXT,
  ...IDENTITIES_TEXT,
  ...IMPORT_TEXT,
  ...PEOPLE_TEXT,
  ...SHARE_TEXT,
  ...PASSKEYS_TEXT,
  ...SHORTCUTS_TEXT,
  ...SOUND_TEXT,
  ...STATS_TEXT,

  'login.title': 'User and password of the camera',
  'login.title-all': 'User and password for {count} cameras',
  'login.text':
    'Those of the camera, not of Porthole. Your browser encrypts them for the gateway; the ' +
    'server only passes them on.',
  'login.user': 'User',
  'login.same': 'The same as {name}',
  'login.submit': 'Show the picture',
  'login.try-anyway': 'Try anyway',
  'login.none': 'Continue without a password',
  'login.text-allowed': 'Send the password as readable text if the camera takes nothing else',
  'login.text-allowed-hint': 'Others in the network of the camera could then read it.',
  'login.may-lock':
    'This camera has refused {count} tries. Many cameras lock the account after five. Check ' +
    'the password on the camera’s own page first, or wait some minutes.',
  'login.plain-http':
    'This page came over plain HTTP. Others in the network could change it and read what you ' +
    'type. Open Porthole with https://, or on the computer that it runs on.',
  'login.user-missing': 'Type the user of the camera.',

  'probe.title': 'Check the camera',
  'probe.waiting': 'Waiting for the other cameras…',
  'probe.running': 'Asking the camera…',
  'probe.playing': 'Measuring the picture…',
  'probe.ready': 'Ready to add',
  'probe.failed': 'Cannot be added yet',
  'probe.stream.main': 'Full resolution',
  'probe.stream.sub': 'Low resolution',
  'probe.name': 'Name',
  'probe.name-missing': 'Give the camera a name.',
  'probe.include': 'Add this camera',
  'probe.use': 'Use this camera',
  'probe.cameras.one': '1 camera in this device',
  'probe.cameras.other': '{count} cameras in this device',
  'probe.save.one': 'Add camera',
  'probe.save.other': 'Add {count} cameras',
  'probe.save-change': 'Save',
  'probe.saving': 'Saving…',
  'probe.saved': '{name} is added',
  'probe.drop': 'Leave out',
  'probe.drop-named': 'Leave out {name}',
  'probe.no-picture': '{name} has no picture.',
  'probe.preview-waiting': 'The picture follows',
  'probe.still': 'Still picture of {name}',
  'probe.key-frames': 'a\u00a0key\u00a0frame\u00a0every\u00a0{seconds}\u00a0s',

  'done.title': '{name} is added',
  'done.titles.one': '1 camera is added',
  'done.titles.other': '{count} cameras are added',
  'done.changed': '{name} is changed',
  'done.to-cameras': 'Go to cameras',
  'done.again': 'Add another camera',
  'done.to-gateways': 'Back to gateways',

  'action.retry': 'Try again',
  'action.check': 'Check again',
  'action.login': 'Type another password',
  'action.first-login': 'Type user and password',
  'action.address': 'Use another address',
  'action.allow-text': 'Send it as readable text',
  'action.vendor': 'Try the usual addresses',

  'stream.main': 'full-resolution stream of camera {camera}',
  'stream.sub': 'low-resolution stream of camera {camera}',
  'stream.unknown': 'stream {stream}',

  'finding.nothing-answers':
    'Nothing answers at {host}. Check that the camera is switched on and in the same network ' +
    'as the gateway.',
  'finding.no-onvif':
    '{host} is there but does not speak ONVIF. Switch ONVIF on in the camera’s own settings, ' +
    'or try the usual addresses of its picture.',
  'finding.stopped-answering': 'The camera has stopped answering. Restart it, then try again.',
  'finding.endless-answer':
    'The device sends an answer without end, as no camera does. Check the address.',
  'finding.redirects':
    'The device sends us on to {to}, which we do not follow. Use that address if you trust it.',
  'finding.password-missing':
    'This camera wants a user and a password. Type those of its ONVIF user.',
  'finding.wrong-password':
    'Wrong user or password. We stop here, because many cameras lock the account after some ' +
    'tries.',
  'finding.wrong-password-or-text':
    'The camera refuses this user and password. If they are right, it may want the password as ' +
    'readable text. Type them again; you can allow that there.',
  'finding.account-locked':
    'The camera has locked this account. Wait some minutes, then try again.',
  'finding.wants-text':
    'The camera takes the password only as readable text, which others in its network could ' +
    'read. Allow that if you trust this network.',
  'finding.sent-text':
    'The password was sent as readable text, as you allowed. Others in the camera’s network ' +
    'could have read it.',
  'finding.not-permitted':
    'This user may not read everything about the camera. The picture works all the same.',
  'finding.clock-behind':
    'The camera’s clock is {span} behind. You can add it; set its clock in its own settings.',
  'finding.clock-ahead':
    'The camera’s clock is {span} ahead. You can add it; set its clock in its own settings.',
  'finding.clock-unset':
    'The camera’s clock was never set. You can add it; set its clock in its own settings.',
  'finding.other-address': 'The camera calls itself {named}; we use {used} instead.',
  'finding.stream-elsewhere':
    'A stream of the camera is at {host}, another device, so it was not tried. To see it, add ' +
    'that device.',
  'finding.no-video':
    'The camera has no stream with H.264 or H.265. Set one of its streams to H.264, then check ' +
    'again.',
  'finding.no-h264':
    'Camera {camera} has no H.264 stream, and not every browser plays H.265. Set its sub ' +
    'stream to H.264, then check again.',
  'finding.no-sub-stream':
    'Camera {camera} has no low-resolution stream for tiles and slow connections. ' +
    'Switch a second stream on in its own settings.',
  'finding.picture-without-onvif':
    'The picture works without ONVIF. Moving the camera and its motion events do not.',
  'finding.rtsp-off':
    'The camera is there but RTSP is switched off. Switch it on in the camera’s own settings, ' +
    'then check again.',
  'finding.separate-user':
    'This camera has separate users: ONVIF takes this one, the picture refuses it. Type a user ' +
    'that may do both.',
  'finding.no-picture': 'No picture from the {stream}: {reason}',
  'finding.far-key-frames':
    'Key frames of the {stream} are {seconds} s apart, so a picture may start that ' +
    'late. Switch the smart codec off in the camera, then check again.',
  'finding.very-far-key-frames':
    'Key frames of the {stream} are more than 5 s apart, so a picture may start that ' +
    'late. Switch the smart codec off in the camera, then check again.',
  'finding.b-pictures':
    'The {stream} has B pictures, which browsers show late or out of order. Set the ' +
    'camera to the profile Baseline or Main without them, then check again.',
  'span.seconds.one': '1 second',
  'span.seconds.other': '{count} seconds',
  'span.minutes.one': '1 minute',
  'span.minutes.other': '{count} minutes',
  'span.hours.one': '1 hour',
  'span.hours.other': '{count} hours',
  'span.days.one': '1 day',
  'span.days.other': '{count} days',

  'repair.open': 'Make it right',
  'repair.title': 'Settings of {camera}',
  'repair.checking':
    'Reading the settings of the camera and playing its streams. This takes some seconds.',
  'repair.lead':
    'These settings spoil the picture in browsers. Nothing is changed until you press the button.',
  'repair.nothing': 'All settings that matter for the picture in browsers are right.',
  'repair.nothing-from-here': 'What spoils the picture cannot be set from here.',
  'repair.setting': 'The camera is taking the settings.',
  'repair.set': 'The camera has these settings now. Its picture may pause for some seconds.',
  'repair.set-otherwise': 'The camera has not taken every setting as it was shown.',
  'repair.left': 'To be set in the camera’s own pages',
  'repair.apply': 'Set these',
  'repair.again': 'Look again',
  'repair.close': 'Close',
  'repair.main': 'Full-resolution stream',
  'repair.sub': 'Low-resolution stream',
  'repair.camera': 'Camera',
  'repair.name': 'Setting',
  'repair.before': 'Before',
  'repair.after': 'After',
  'repair.instead': 'It has {value} now.',
  'repair.key.codec': 'Codec',
  'repair.key.profile': 'Profile of the codec',
  'repair.key.size': 'Size',
  'repair.key.frame-rate': 'Frame rate',
  'repair.key.bit-rate': 'Bit rate',
  'repair.key.key-frames': 'Key frames',
  'repair.key.b-pictures': 'B pictures',
  'repair.key.clock': 'Clock',

  'problem.gateway-offline':
    'The gateway is not connected. Check that it is running, then try again.',
  'problem.server-lost': 'The connection to the server was lost. Try again once it is back.',
  'problem.forbidden':
    'You may not change the cameras of this gateway. Ask an administrator for access.',
  'problem.conflict':
    'Somebody else has just changed the cameras of this gateway. The list is up to date now; ' +
    'try again.',
  'problem.too-old': 'This gateway is too old for that. Update it, then try again.',
  'problem.timeout': 'The gateway did not answer in time. Try again.',
  'problem.busy': 'The gateway is busy with other requests. Wait a moment, then try again.',
  'problem.gone': 'The gateway no longer knows it. Check the camera again, then add it.',
  'problem.storage': 'The gateway could not store it. Make room on its disk, then try again.',
  'problem.refused': 'The gateway refused that. Its log has the details.',
  'problem.wrong-key':
    'The key that the server passed on is not this gateway’s, so the password was not sent. ' +
    'Ask an administrator to check the server before you type it again.',

  'player.label': 'Live video from {name}',
  'player.float': 'Picture in picture',
  'player.full-screen': 'Full screen',
  'player.snapshot': 'Save a snapshot',
  'player.snapshot-saved': 'Snapshot saved',
  'player.snapshot-failed': 'There is no picture to save yet.',
  'player.zoom-back': 'Show the whole picture',
  'player.retrying': 'Retrying in {seconds} s',
  'player.playing': 'Playing',
  'player.interrupted': 'Connection interrupted',
  'player.again-detail': 'Nothing arrives. Connecting on another path…',
  'player.interrupted-detail': 'Looking for another path to the gateway.',
  'player.camera-stopped': 'The camera stopped sending video',
  'player.camera-stopped-detail': 'The gateway is reconnecting to it.',
  'player.stopped': 'The video stopped',
  'player.stopped-detail': 'Waiting for it to continue.',
  'player.slow': 'The connection is too slow for video',
  'player.slow-path': 'The picture goes on by itself as soon as your connection carries it.',
  'player.slow-cap': 'What may be sent is used up by others. The picture goes on by itself.',
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

  'unit.unknown': '–',
  'unit.mbit': '{value} Mbit/s',
  'unit.kbit': '{value} kbit/s',
  'unit.ms': '{value} ms',
  'unit.percent': '{value}%',
  'unit.percent-below': '< {value}%',
  'unit.fps': '{value} fps',
  'unit.size': '{width} × {height}',
  'unit.now': 'just now',
  'unit.seconds-ago': '{count} s ago',
  'unit.minutes-ago': '{count} min ago',
  'unit.hours-ago': '{count} h ago',
  'unit.days-ago': '{count} days ago',
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
