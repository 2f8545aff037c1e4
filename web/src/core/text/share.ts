/** The sentences about share links, a part of the table in `../text.ts`. */

export const SHARE_TEXT = {
  'share.open': 'Share',
  'share.opening': 'Opening the link',
  'share.locked': 'Enter the password',
  'share.locked-lead': 'It was given to you with the link.',
  'share.submit': 'Open',
  'share.until': 'Shared until {time}',
  'share.ended': 'This link has ended',
  'share.ended-lead':
    'What it showed is no longer shared. Ask whoever gave it to you for a new one.',
  'share.refused': 'This link does not work',
  'share.incomplete': 'This link is incomplete',
  'share.incomplete-lead': 'Its end is missing. Copy the whole link, or ask for it again.',
  'share.unreachable': 'The server is not there',
  'share.unreachable-lead': 'The page tries again by itself.',
  'share.all': 'All cameras of this link',
  'share.no-cameras': 'The cameras of this link are not there any more.',
  'share.footer': 'You are watching without an account.',

  'new-share.title': 'Share {name}',
  'new-share.title-several': 'Share {count} cameras',
  'new-share.lead':
    'Whoever has the link watches without signing in until it ends, and can pass it on.',
  'new-share.shows': 'Shows: {names}',
  'new-share.name': 'Name of the link',
  'new-share.name-hint': 'Those who have the link see it, too.',
  'new-share.name-missing': 'Give the link a name.',
  'new-share.lifetime': 'Ends after',
  'new-share.password': 'Password (optional)',
  'new-share.password-hint': 'Tell it to them in another way than the link.',
  'new-share.listen': 'With sound',
  'new-share.kiosk': 'For a screen on a wall: pictures only, always on',
  'new-share.create': 'Make link',
  'new-share.creating': 'Making the link…',
  'new-share.too-many': 'A link shows at most {count} cameras. Make a group of those to share.',
  'new-share.done-title': 'The link is ready',
  'new-share.done': 'Copy it now: it is not shown again. It ends {time}.',
  'new-share.label': 'Share link',
  'new-share.qr': 'The link as a QR code, for a phone or a tablet',
  'new-share.close': 'Done',

  'shares.lead':
    'Links with which anybody watches cameras without signing in. Make one with “Share” on the ' +
    'page of a camera, or above the cameras.',
  'shares.none': 'No link is shared.',
  'shares.password': 'with a password',
  'shares.sound': 'with sound',
  'shares.kiosk': 'for a screen on a wall',
  'shares.revoke-text':
    'It stops working at once, and pictures that are watched with it stop. This cannot be undone.',
} as const;
