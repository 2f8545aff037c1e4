/** The audit log in words, and the part of it that is shown. */

import type { AuditEvent, AuditKind } from '../protocol';
import * as format from './format';
import { t } from './text';

/** So many events are shown at most; older ones are in the database of the server. */
export const MAX_SHOWN = 2_000;

export type AuditGroup = 'all' | 'refused' | 'sign-ins' | 'access' | 'gateways';

export const AUDIT_GROUPS: readonly { readonly group: AuditGroup; readonly text: string }[] = [
  { group: 'all', text: t('audit.all') },
  { group: 'refused', text: t('audit.refused') },
  { group: 'sign-ins', text: t('audit.sign-ins') },
  { group: 'access', text: t('audit.access') },
  { group: 'gateways', text: t('audit.gateways') },
];

interface KindText {
  readonly groups: readonly AuditGroup[];
  /** Returns the sentence; `actor` and `object` are there in any case. */
  readonly say: (names: { actor: string; object: string }, event: AuditEvent) => string;
}

const KINDS: Readonly<Record<AuditKind, KindText>> = {
  setUp: { groups: ['access'], say: (names) => t('audit.set-up', { name: names.actor }) },
  signedIn: { groups: ['sign-ins'], say: (names) => t('audit.signed-in', { name: names.actor }) },
  signInFailed: {
    groups: ['sign-ins', 'refused'],
    say: ({ object }, event) =>
      event.object === undefined ? t('audit.unknown-failed') : t('audit.failed', { object }),
  },
  codeMissing: {
    groups: ['sign-ins', 'refused'],
    say: ({ object }) => t('audit.code-missing', { object }),
  },
  signedOut: {
    groups: ['sign-ins'],
    say: ({ actor, object }) =>
      actor === object
        ? t('audit.signed-out', { name: actor })
        : t('audit.signed-out-by', { actor, object }),
  },
  giftRefused: {
    groups: ['access', 'refused'],
    say: ({ actor, object }) => t('audit.gift-refused', { actor, object }),
  },
  tokenCreated: {
    groups: ['access'],
    say: ({ actor, object }) => t('audit.token-created', { actor, object }),
  },
  tokenRevoked: {
    groups: ['access'],
    say: ({ actor, object }) => t('audit.token-revoked', { actor, object }),
  },
  claimCreated: { groups: ['gateways'], say: ({ actor }) => t('audit.claim-created', { actor }) },
  claimRevoked: { groups: ['gateways'], say: ({ actor }) => t('audit.claim-revoked', { actor }) },
  gatewayEnrolled: {
    groups: ['gateways'],
    say: ({ object }) => t('audit.gateway-enrolled', { object }),
  },
  enrolmentRefused: {
    groups: ['gateways', 'refused'],
    say: () => t('audit.enrolment-refused'),
  },
  gatewayRemoved: {
    groups: ['gateways'],
    say: ({ actor, object }) => t('audit.gateway-removed', { actor, object }),
  },
  userRemoved: {
    groups: ['access'],
    say: ({ actor, object }) => t('audit.user-removed', { actor, object }),
  },
  userReset: {
    groups: ['access'],
    say: ({ actor, object }) => t('audit.user-reset', { actor, object }),
  },
  userChanged: {
    groups: ['access'],
    say: ({ actor, object }) => t('audit.user-changed', { actor, object }),
  },
  invitationCreated: {
    groups: ['access'],
    say: ({ actor, object }) => t('audit.invitation-created', { actor, object }),
  },
  invitationRevoked: {
    groups: ['access'],
    say: ({ actor, object }) => t('audit.invitation-revoked', { actor, object }),
  },
  invitationAccepted: {
    groups: ['access'],
    say: ({ object }) => t('audit.invitation-accepted', { object }),
  },
  passwordChanged: {
    groups: ['access'],
    say: ({ actor }) => t('audit.password-changed', { name: actor }),
  },
  secondFactorAdded: {
    groups: ['access'],
    say: ({ actor }) => t('audit.second-factor-added', { name: actor }),
  },
  secondFactorRemoved: {
    groups: ['access'],
    say: ({ actor, object }) => t('audit.second-factor-removed', { actor, object }),
  },
  shareCreated: {
    groups: ['access'],
    say: ({ actor, object }) => t('audit.share-created', { actor, object }),
  },
  shareRevoked: {
    groups: ['access'],
    say: ({ actor, object }) => t('audit.share-revoked', { actor, object }),
  },
  shareOpened: { groups: ['sign-ins'], say: ({ object }) => t('audit.share-opened', { object }) },
  shareRefused: {
    groups: ['sign-ins', 'refused'],
    say: ({ object }) => t('audit.share-refused', { object }),
  },
  passkeyAdded: {
    groups: ['access'],
    say: ({ actor, object }) => t('audit.passkey-added', { actor, object }),
  },
  passkeyRemoved: {
    groups: ['access'],
    say: ({ actor, object }) => t('audit.passkey-removed', { actor, object }),
  },
  passkeyRefused: {
    groups: ['sign-ins', 'refused'],
    say: ({ object }) => t('audit.passkey-refused', { object }),
  },
  passkeyCopied: {
    groups: ['sign-ins', 'refused'],
    say: ({ actor, object }) => t('audit.passkey-copied', { actor, object }),
  },
  identityAdded: {
    groups: ['access'],
    say: ({ actor, object }) => t('audit.identity-added', { actor, object }),
  },
  identityRemoved: {
    groups: ['access'],
    say: ({ actor, object }) => t('audit.identity-removed', { actor, object }),
  },
  identityRefused: {
    groups: ['sign-ins', 'refused'],
    say: ({ object }, event) =>
      event.object === undefined
        ? t('audit.unknown-identity')
        : t('audit.identity-refused', { object }),
  },
  userJoined: {
    groups: ['access'],
    say: ({ actor }) => t('audit.user-joined', { name: actor }),
  },
  cameraRemoved: {
    groups: ['gateways'],
    say: ({ actor, object }) => t('audit.camera-removed', { actor, object }),
  },
  cameraRightsEnded: {
    groups: ['access', 'gateways'],
    say: ({ actor, object }) => t('audit.camera-rights-ended', { actor, object }),
  },
  cameraReleased: {
    groups: ['access', 'gateways'],
    say: ({ actor, object }) => t('audit.camera-released', { actor, object }),
  },
  cameraAdded: {
    groups: ['gateways'],
    say: ({ actor, object }) => t('audit.camera-added', { actor, object }),
  },
  cameraChanged: {
    groups: ['gateways'],
    say: ({ actor, object }) => t('audit.camera-changed', { actor, object }),
  },
  cameraReaddressed: {
    groups: ['gateways'],
    say: ({ actor, object }) => t('audit.camera-readdressed', { actor, object }),
  },
  gatewayRenamed: {
    groups: ['gateways'],
    say: ({ actor, object }) => t('audit.gateway-renamed', { actor, object }),
  },
};

/** Returns true for events that were refused, which deserve a look. */
export function isRefusal({ kind }: AuditEvent): boolean {
  return KINDS[kind].groups.includes('refused');
}

/** Returns the name of who has done it; a token says that it is one, since it may have any name. */
function actorName({ actor, actorSubject }: AuditEvent): string | undefined {
  if (actor === undefined || !actorSubject?.startsWith('token:')) return actor;
  return t('audit.token', { name: actor });
}

/** Returns an event as one sentence. */
export function auditText(event: AuditEvent): string {
  const somebody = t('audit.somebody');
  // A person who signs in is both; the server may name it as either.
  const actor = actorName(event) ?? event.object ?? somebody;
  return KINDS[event.kind].say({ actor, object: event.object ?? somebody }, event);
}

export function auditFacts({ count, firstS, lastS, address }: AuditEvent, nowS: number): string[] {
  return [
    t('audit.at', { ago: format.ago(nowS - lastS), time: format.dateTime(lastS) }),
    ...(count > 1 ? [t('audit.times', { count, time: format.dateTime(firstS) })] : []),
    ...(address === undefined ? [] : [t('sign-ins.from', { address })]),
  ];
}

/** Returns the events of a group in which the typed text occurs. */
export function chosen(
  events: readonly AuditEvent[],
  group: AuditGroup,
  typed: string,
): readonly AuditEvent[] {
  const wanted = typed.trim().toLowerCase();
  return events.filter((event) => {
    if (group !== 'all' && !KINDS[event.kind].groups.includes(group)) return false;
    const text = `${auditText(event)} ${event.address ?? ''}`;
    return text.toLowerCase().includes(wanted);
  });
}

/** Returns the events with those of another page: the newest first, each as it is now. */
export function merged(
  events: readonly AuditEvent[],
  page: readonly AuditEvent[],
): readonly AuditEvent[] {
  const byId = new Map([...events, ...page].map((event) => [event.id, event]));
  return [...byId.values()].sort((one, other) => other.id - one.id).slice(0, MAX_SHOWN);
}
