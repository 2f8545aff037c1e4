/** The sentences about people and invitations, a part of the table in `../text.ts`. */

export const PEOPLE_TEXT = {
  'invitation.title': 'Invitations',
  'invitation.lead': 'Links that wait to be opened. The links themselves are not stored.',
  'invitation.new': 'Invite a person',
  'invitation.name': 'Name',
  'invitation.name-hint': 'The person can choose another username later.',
  'invitation.name-missing': 'Say who it is for.',
  'invitation.create': 'Create link',
  'invitation.link-for': 'Link for {name}',
  'invitation.done':
    'Send it to {name}. It works once, and whoever opens it first chooses the password. It is ' +
    'shown only now.',
  'invitation.link': 'Link',
  'invitation.qr': 'The link as a QR code',
  'invitation.close': 'I have sent it',
  'invitation.reset-badge': 'New password',
  'invitation.revoke-text': 'The link will no longer work. You can create another one.',

  'invitation.join': 'You are invited',
  'invitation.join-lead':
    'Choose a password to watch cameras with Porthole. Your role: {role}. {text}',
  'invitation.reset': 'Choose a new password',
  'invitation.reset-lead': 'For {name}. All browsers that are signed in will be signed out.',
  'invitation.set': 'Set password',
  'invitation.was-set': 'The password was set',
  'invitation.was-set-lead': 'Sign in with it and with a code from your app.',
  'invitation.invalid': 'This link does not work',
  'invitation.incomplete': 'It must end in #t= and a code. Copy the whole link.',
  'invitation.signed-in':
    'This browser is signed in as {name}. It will be signed in as the user of this link instead.',

  'person.role': 'Role',
  'person.change': 'Change',
  'person.change-label': 'Change what {name} may do',
  'person.change-text': 'What {name} is watching stops, and starts again if it is still allowed.',
  'person.changed': 'What {name} may do was changed.',
  'person.new-password': 'New password…',
  'person.new-password-label': 'New password for {name}',
  'person.factor': 'second factor',
  'person.factor-off': 'Take second factor off',
  'person.factor-off-label': 'Take second factor off: {name}',
  'person.factor-off-title': 'Take the second factor of {name} off?',
  'person.factor-off-text':
    'Signing in will then ask for the password only. Do this if the phone is lost, and ask ' +
    '{name} to set up another one.',
  'person.factor-done': 'The second factor of {name} was taken off.',
} as const;
