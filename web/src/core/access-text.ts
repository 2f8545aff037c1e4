/** Facts about people, access tokens, browsers and claim codes, in the order of their lists. */

import type { Camera, CameraAddress, ClaimInfo, Gateway, InvitationInfo } from '../protocol';
import type { ShareInfo, SignInInfo, TokenInfo, UserAccess, UserInfo } from '../protocol';
import { draftOf } from './access-draft';
import { cameraName } from './camera-names';
import { capFacts } from './cap';
import * as format from './format';
import { endText, usedText } from './lifetime';
import { administers, roleName } from './roles';
import { plural, t } from './text';

/** So many cameras of a token are listed by name; the others are counted. */
const MAX_NAMED = 3;
/** The server notes to the minute when somebody was there last. */
const NOW_S = 120;

export function userFacts(user: UserInfo, cameras: readonly Camera[], nowS: number): string[] {
  const { seenS, createdS, signIns, secondFactor } = user;
  return [
    roleName(user.role),
    ...accessFacts(user, cameras),
    ...(secondFactor ? [t('person.factor')] : []),
    signIns === 0 ? t('people.no-browsers') : plural('people.browsers', signIns),
    seenText(seenS, nowS),
    t('people.since', { time: format.date(createdS) }),
  ];
}

/** Returns what a viewer may do; the role of others says it. */
function accessFacts(access: UserAccess, cameras: readonly Camera[]): string[] {
  if (administers(access.role)) return [];
  const { listen, control } = draftOf(access);
  const addresses = access.cameras.map(({ camera }) => camera);
  return [
    camerasText(access.limited, addresses, cameras),
    ...(control ? [t('tokens.control')] : []),
    ...(listen ? [] : [t('tokens.silent')]),
  ];
}

export function invitationFacts(
  invitation: InvitationInfo,
  cameras: readonly Camera[],
  nowS: number,
): string[] {
  const { role, expiresS, giver } = invitation;
  return [
    roleName(role),
    ...accessFacts(invitation, cameras),
    endText(expiresS, nowS),
    ...(giver === undefined ? [] : [t('access.given-by', { name: giver })]),
  ];
}

function seenText(seenS: number | undefined, nowS: number): string {
  if (seenS === undefined) return t('people.not-seen');
  const age = nowS - seenS;
  return age < NOW_S ? t('people.seen-now') : t('people.seen', { ago: format.ago(age) });
}

export function tokenFacts(token: TokenInfo, cameras: readonly Camera[], nowS: number): string[] {
  const { role, control, listen, scopes, seenS, expiresS, giver } = token;
  const isViewer = role === 'viewer';
  return [
    camerasText(token.limited, token.cameras, cameras),
    ...(isViewer && control ? [t('tokens.control')] : []),
    ...(isViewer && !listen ? [t('tokens.silent')] : []),
    ...(scopes === undefined ? [] : [t('tokens.scopes', { names: scopes.join(', ') })]),
    ...capFacts(token.maxKbitPerS),
    usedText(seenS, nowS),
    endText(expiresS, nowS),
    ...(giver === undefined ? [] : [t('access.given-by', { name: giver })]),
  ];
}

function camerasText(
  limited: boolean,
  cameras: readonly CameraAddress[],
  known: readonly Camera[],
): string {
  if (!limited) return t('tokens.all-cameras');
  return namedCameras(cameras, known);
}

function namedCameras(cameras: readonly CameraAddress[], known: readonly Camera[]): string {
  if (cameras.length === 0) return t('tokens.no-cameras');
  const named = cameras.slice(0, MAX_NAMED).map((address) => cameraName(address, known));
  const names = named.join(', ');
  const count = cameras.length - named.length;
  return count === 0 ? names : t('tokens.more-cameras', { names, count });
}

export function shareFacts(share: ShareInfo, known: readonly Camera[], nowS: number): string[] {
  const { cameras, password, kiosk, seenS, expiresS, giver } = share;
  const addresses = cameras.map(({ camera }) => camera);
  return [
    namedCameras(addresses, known),
    ...(cameras.some(({ listen }) => listen === true) ? [t('shares.sound')] : []),
    ...(password ? [t('shares.password')] : []),
    ...(kiosk ? [t('shares.kiosk')] : []),
    ...capFacts(share.maxKbitPerS),
    usedText(seenS, nowS),
    endText(expiresS, nowS),
    ...(giver === undefined ? [] : [t('access.given-by', { name: giver })]),
  ];
}

export function signInFacts(
  { seenS, createdS, address, account }: SignInInfo,
  nowS: number,
): string[] {
  return [
    usedText(seenS, nowS),
    ...(account === undefined ? [] : [t('sign-ins.account', { account })]),
    ...(address === undefined ? [] : [t('sign-ins.from', { address })]),
    ...(createdS === undefined ? [] : [t('sign-ins.since', { time: format.dateTime(createdS) })]),
  ];
}

/** Returns a name for a claim code, which has none: the beginning of its id. */
export function codeName({ id }: ClaimInfo): string {
  return t('codes.code', { id: id.slice(0, 6) });
}

export function codeFacts(
  { createdS, expiresS, giver, replaces }: ClaimInfo,
  gateways: readonly Gateway[],
  nowS: number,
): string[] {
  const name = gateways.find(({ id }) => id === replaces)?.name ?? replaces;
  return [
    ...(name === undefined ? [] : [t('codes.replaces', { name })]),
    ...(createdS === undefined ? [] : [t('codes.created', { time: format.dateTime(createdS) })]),
    endText(expiresS, nowS),
    ...(giver === undefined ? [] : [t('access.given-by', { name: giver })]),
  ];
}

/** Returns the browser of the page first, then the others, the one that was used last first. */
export function inOrder(signIns: readonly SignInInfo[]): SignInInfo[] {
  return [...signIns].sort(
    (one, other) =>
      Number(other.current) - Number(one.current) || (other.seenS ?? 0) - (one.seenS ?? 0),
  );
}
