/** The sentences about passkeys, a part of the table in `../text.ts`. */

export const PASSKEYS_TEXT = {
  'sign-in.passkey': 'Sign in with a passkey',
  'sign-in.passkey-busy': 'Waiting for the passkey…',
  'passkeys.title': 'Passkeys',
  'passkeys.lead':
    'Sign in with the fingerprint, the face or the PIN of a device, without a password and ' +
    'without a code.',
  'passkeys.none': 'You have no passkey.',
  'passkeys.elsewhere': 'Passkeys can be added at {origin} only.',
  'passkeys.unsupported': 'This browser does not know passkeys.',
  'passkeys.add': 'Add a passkey',
  'passkeys.name': 'Name of the passkey',
  'passkeys.name-hint': 'The device that it is on, such as “Phone”.',
  'passkeys.adding': 'Waiting for the device…',
  'passkeys.added': 'The passkey “{name}” was added.',
  'passkeys.exists': 'This device has a passkey for you already.',
  'passkeys.synced': 'on several devices',
  'passkeys.device': 'on one device',
  'passkeys.since': 'added {time}',
  'passkeys.remove': 'Remove',
  'passkeys.remove-label': 'Remove the passkey {name}',
  'passkeys.remove-title': 'Remove the passkey “{name}”?',
  'passkeys.remove-text':
    'Nobody can sign in with it any more, and browsers that have signed in with it are signed ' +
    'out at once. Remove it on the device, too, which goes on offering it.',
  'passkeys.removed': 'The passkey “{name}” was removed.',
} as const;
