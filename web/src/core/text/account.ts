/** The sentences about the own account, a part of the table in `../text.ts`. */

export const ACCOUNT_TEXT = {
  'password.text': 'Changing it signs out all your other browsers.',
  'password.change': 'Change password',
  'password.old': 'Current password',
  'password.new': 'New password',
  'password.changed': 'The password was changed.',

  'factor.title': 'Second factor',
  'factor.off':
    'With a second factor, signing in also asks for a code from an app on your phone. A stolen ' +
    'password alone is then not enough.',
  'factor.start': 'Set up',
  'factor.start-text': 'First, type the password that you sign in with.',
  'factor.on': 'On.',
  'factor.on-text': 'Signing in asks for a code from your app.',
  'factor.codes-left.one': '1 recovery code is left.',
  'factor.codes-left.other': '{count} recovery codes are left.',
  'factor.codes-new': 'For new ones, switch the second factor off and set it up again.',
  'factor.end': 'Switch off',
  'factor.end-text': 'Signing in will then ask for the password only.',
  'factor.scan': 'Scan this with an authenticator app, then type the code that the app shows.',
  'factor.qr': 'The secret for the app as a QR code',
  'factor.type': 'Or type this secret into the app:',
  'factor.secret': 'Secret for the app',
  'factor.code-hint': 'Six digits. A new code comes every 30 seconds.',
  'factor.next': 'Continue',
  'factor.codes':
    'Keep these recovery codes where you find them without your phone. Each of them replaces a ' +
    'code from the app, once. They are shown only now.',
  'factor.codes-label': 'Recovery codes',
  'factor.codes-kept': 'I have saved them',
} as const;
