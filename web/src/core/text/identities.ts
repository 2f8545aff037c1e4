/** The sentences about accounts at a sign-in service, a part of the table in `../text.ts`. */

export const IDENTITIES_TEXT = {
  'sign-in.provider': 'Sign in with {name}',
  'sign-in.provider-busy': 'Going to {name}…',
  'invitation.provider': 'Join with {name}',
  'invitation.or': 'Or without a password of your own here:',
  'provider.title': 'Signing in',
  'provider.lead': 'One moment…',
  'provider.failed': 'That did not work',
  'provider.incomplete':
    'The address lacks what the sign-in service should have added. Begin again.',
  'provider.back': 'Back to the sign-in page',
  'provider.account': 'Back to your account',
  'identities.title': 'Linked accounts',
  'identities.lead': 'Sign in with an account at {name} instead of your password and code.',
  'identities.gone': 'This server no longer has a sign-in service: they sign nobody in.',
  'identities.none': 'You have linked no account.',
  'identities.elsewhere': 'Accounts can be linked at {origin} only.',
  'identities.link': 'Link an account',
  'identities.go': 'Continue at {name}',
  'identities.going': 'Going to {name}…',
  'identities.at': 'at {issuer}',
  'identities.since': 'linked {time}',
  'identities.unlink': 'Unlink',
  'identities.unlink-label': 'Unlink {name}',
  'identities.unlink-title': 'Unlink “{name}”?',
  'identities.unlink-text':
    'Nobody can sign in with it any more, and browsers that have signed in with it are signed ' +
    'out at once.',
  'identities.unlinked': '“{name}” was unlinked.',
  'sign-ins.account': 'as {account}',
} as const;
