/** The REST interface under `/api/v1`. */

import { sentence } from '../core/reasons';
import { t } from '../core/text';
import type { AuditList, CameraId } from '../protocol';
import type { ChangePassword, OneCode, OwnPassword, OwnProof, PasswordAndCode } from '../protocol';
import type { RecoveryCodes, SecondFactor, TotpSecret } from '../protocol';
import type { Claim, ClaimInfo, ClaimList, ErrorBody, Foreseen } from '../protocol';
import type { GatewayId, GatewayList } from '../protocol';
import type { Me, NewClaim, NewToken, Removed, RenameGateway, Setup, SignIn } from '../protocol';
import type { NewShare, OpenedShare, OpenShare, ShareInfo, ShareLink } from '../protocol';
import type { ShareList } from '../protocol';
import type { IdentityInfo, IdentityList, ProviderAnswer } from '../protocol';
import type { ProviderRequest, ProviderSignIn } from '../protocol';
import type { NewPasskey, PasskeyCreation, PasskeyInfo } from '../protocol';
import type { PasskeyList, PasskeyRequest, PasskeySignIn, SignInWays } from '../protocol';
import type { SignInInfo, SignInList, Token, TokenInfo, TokenList } from '../protocol';
import type { AcceptInvitation, InvitationOffer, ReadInvitation } from '../protocol';
import type { Invitation, InvitationInfo, InvitationList, NewInvitation } from '../protocol';
import type { UserAccess, UserInfo, UserList } from '../protocol';
import { root } from './root';

/** A failed call; the message is for people. `status` is 0 if the server was not reached. */
export class ApiError extends Error {
  readonly status: number;
  /** True if the same request with the code of the second factor may succeed. */
  readonly needsCode: boolean;
  /** True if the same request with the password of the share link may succeed. */
  readonly needsPassword: boolean;

  constructor(status: number, message: string, body: Partial<ErrorBody> = {}) {
    super(message);
    this.status = status;
    this.needsCode = body.needsCode ?? false;
    this.needsPassword = body.needsPassword ?? false;
  }
}

/** Long enough for a slow phone network and a deliberately slow password hash. */
const TIMEOUT_MS = 15_000;

export const api = {
  setUp: (body: Setup) => call<Me>('POST', 'setup', body),
  signIn: (body: SignIn) => call<Me>('POST', 'session', body),
  /** Returns the signed-in user, or `null` if nobody is signed in. */
  async me(): Promise<Me | null> {
    try {
      return await call<Me>('GET', 'session');
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return null;
      throw error;
    }
  },
  signInWays: () => call<SignInWays>('GET', 'session/ways'),
  requestPasskey: () => call<PasskeyRequest>('POST', 'session/passkey/request'),
  signInWithPasskey: (body: PasskeySignIn) => call<Me>('POST', 'session/passkey', body),
  passkeys: () => call<PasskeyList>('GET', 'session/passkeys'),
  beginPasskey: (body: OwnProof) => call<PasskeyCreation>('POST', 'session/passkeys/request', body),
  addPasskey: (body: NewPasskey) => call<PasskeyInfo>('POST', 'session/passkeys', body),
  removePasskey: ({ id }: PasskeyInfo) => call<Removed>('DELETE', `session/passkeys/${id}`),
  requestProvider: (body: ProviderSignIn) =>
    call<ProviderRequest>('POST', 'session/provider/request', body),
  /** Returns `null` if an account was linked to the user who is signed in. */
  answerProvider: (body: ProviderAnswer) => call<Me | null>('POST', 'session/provider', body),
  identities: () => call<IdentityList>('GET', 'session/identities'),
  beginIdentity: (body: OwnProof) =>
    call<ProviderRequest>('POST', 'session/identities/request', body),
  removeIdentity: ({ id }: IdentityInfo) => call<Removed>('DELETE', `session/identities/${id}`),
  signOut: () => call<null>('DELETE', 'session'),
  changePassword: (body: ChangePassword) => call<Removed>('PUT', 'session/password', body),
  secondFactor: () => call<SecondFactor>('GET', 'session/second-factor'),
  startSecondFactor: (body: OwnPassword) => call<TotpSecret>('POST', 'session/second-factor', body),
  confirmSecondFactor: (body: OneCode) => call<RecoveryCodes>('PUT', 'session/second-factor', body),
  endSecondFactor: (body: PasswordAndCode) => call<null>('DELETE', 'session/second-factor', body),
  gateways: () => call<GatewayList>('GET', 'gateways'),
  renameGateway: (id: GatewayId, body: RenameGateway) =>
    call<null>('PATCH', `gateways/${id}`, body),
  removeGateway: (id: GatewayId) => call<Removed>('DELETE', `gateways/${id}`),
  removalOfGateway: (id: GatewayId) => call<Foreseen>('GET', `gateways/${id}/removal`),
  removalOfCamera: (gateway: GatewayId, id: CameraId) =>
    call<Foreseen>('GET', `gateways/${gateway}/cameras/${id}/removal`),
  createClaim: (body: NewClaim) => call<Claim>('POST', 'claims', body),
  /** Returns the newest events, or those before one. */
  audit: (before?: number) =>
    call<AuditList>('GET', before === undefined ? 'audit' : `audit?before=${before}`),
  claims: () => call<ClaimList>('GET', 'claims'),
  revokeClaim: ({ id }: ClaimInfo) => call<Removed>('DELETE', `claims/${id}`),
  tokens: () => call<TokenList>('GET', 'tokens'),
  createToken: (body: NewToken) => call<Token>('POST', 'tokens', body),
  removalOfToken: ({ id }: TokenInfo) => call<Foreseen>('GET', `tokens/${id}/removal`),
  revokeToken: ({ id }: TokenInfo) => call<Removed>('DELETE', `tokens/${id}`),
  shares: () => call<ShareList>('GET', 'shares'),
  createShare: (body: NewShare) => call<ShareLink>('POST', 'shares', body),
  revokeShare: ({ id }: ShareInfo) => call<Removed>('DELETE', `shares/${id}`),
  openShare: (body: OpenShare) => call<OpenedShare>('POST', 'shares/open', body),
  users: () => call<UserList>('GET', 'users'),
  removalOfUser: ({ id }: UserInfo) => call<Foreseen>('GET', `users/${id}/removal`),
  removeUser: ({ id }: UserInfo) => call<Removed>('DELETE', `users/${id}`),
  signUserOut: ({ id }: UserInfo) => call<Removed>('DELETE', `users/${id}/sign-ins`),
  changeUser: ({ id }: UserInfo, body: UserAccess) => call<Removed>('PATCH', `users/${id}`, body),
  resetPassword: ({ id }: UserInfo) => call<Invitation>('POST', `users/${id}/reset`),
  takeFactorOff: ({ id }: UserInfo) => call<null>('DELETE', `users/${id}/second-factor`),
  invitations: () => call<InvitationList>('GET', 'invitations'),
  invite: (body: NewInvitation) => call<Invitation>('POST', 'invitations', body),
  revokeInvitation: ({ id }: InvitationInfo) => call<Removed>('DELETE', `invitations/${id}`),
  readInvitation: (body: ReadInvitation) => call<InvitationOffer>('POST', 'invitations/read', body),
  /** Returns `null` if the user has a second factor, and has to sign in. */
  accept: (body: AcceptInvitation) => call<Me | null>('POST', 'invitations/accept', body),
  signIns: () => call<SignInList>('GET', 'sign-ins'),
  signOutBrowser: ({ id }: SignInInfo) => call<Removed>('DELETE', `sign-ins/${id}`),
  signOutEverywhere: () => call<Removed>('DELETE', 'sign-ins'),
};

/** Calls a route. The body is not checked: client and server types come from one definition. */
async function call<T>(method: string, route: string, body?: unknown): Promise<T> {
  const init: RequestInit = { method, signal: AbortSignal.timeout(TIMEOUT_MS) };
  if (body !== undefined) {
    init.headers = { 'content-type': 'application/json' };
    init.body = JSON.stringify(body);
  }
  const response = await send(`${root}/api/v1/${route}`, init);
  const result: unknown = await response.json().catch(() => null);
  if (!response.ok) {
    const refusal = (result ?? {}) as Partial<ErrorBody>;
    throw new ApiError(response.status, errorText(response, refusal), refusal);
  }
  return result as T;
}

async function send(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch {
    throw new ApiError(0, t('api.unreachable'));
  }
}

function errorText({ status, statusText }: Response, { error }: Partial<ErrorBody>): string {
  if (error !== undefined) return sentence(error);
  return t('api.error', { status: `${status} ${statusText}`.trim() });
}
