// Generated from signaling/proto by `cargo test -p porthole-signaling-proto`. Do not edit.

/**
 * A camera: the ONVIF profile token of the device its gateway is. Unique within a server.
 */
export type CameraId = string;

/**
 * A gateway: the ONVIF peer id, derived from its public key ([`crate::identity`]).
 */
export type GatewayId = string;

/**
 * One viewer watching one camera, named by the signaling server.
 */
export type SessionId = string;

/**
 * What a camera is doing.
 */
export type CameraState = "idle" | "connecting" | "live" | "failed" | "offline";

/**
 * A camera as its gateway reports it.
 */
export type CameraReport = {
/**
 * Its token; the `profile` of [`crate::method::Connect`].
 */
id: CameraId,
/**
 * What people call it.
 */
name: string,
/**
 * What it is doing.
 */
state: CameraState,
/**
 * Why it failed, as one sentence; absent unless `state` is `failed`.
 */
reason?: string,
/**
 * `H264` or `H265`, once known.
 */
codec?: string,
/**
 * Width of the picture in pixels, once known.
 */
width?: number,
/**
 * Height of the picture in pixels, once known.
 */
height?: number,
/**
 * How many sessions are watching it.
 */
viewers: number, };

/**
 * A camera as the server tells people about it.
 */
export type Camera = {
/**
 * The gateway it is behind; the `peer` of [`crate::method::Connect`].
 */
gateway: GatewayId,
/**
 * Its token; the `profile` of [`crate::method::Connect`].
 */
id: CameraId,
/**
 * What people call it.
 */
name: string,
/**
 * What it is doing.
 */
state: CameraState,
/**
 * Why it failed, as one sentence; absent unless `state` is `failed`.
 */
reason?: string,
/**
 * `H264` or `H265`, once known.
 */
codec?: string,
/**
 * Width of the picture in pixels, once known.
 */
width?: number,
/**
 * Height of the picture in pixels, once known.
 */
height?: number,
/**
 * How many sessions are watching it.
 */
viewers: number, };

/**
 * A STUN or TURN server, as W3C WebRTC's `RTCIceServer`; `urls` is always an array
 * (ONVIF WebRTC 26.06 §5.4).
 */
export type IceServer = {
/**
 * `stun:`, `turn:` and `turns:` URIs (RFC 7064, RFC 7065).
 */
urls: Array<string>,
/**
 * The TURN user name, for `turn:` and `turns:`.
 */
username?: string,
/**
 * The TURN password, for `turn:` and `turns:`.
 */
credential?: string, };

/**
 * An ICE candidate, as W3C WebRTC's `RTCIceCandidateInit`. An empty `candidate` ends the
 * candidates (RFC 8838 §13).
 */
export type IceCandidate = {
/**
 * The `candidate-attribute` of RFC 8839 §5.1, or empty.
 */
candidate: string,
/**
 * The media section it belongs to, by name.
 */
sdpMid?: string,
/**
 * The media section it belongs to, by place.
 */
sdpMLineIndex?: number,
/**
 * The user name fragment of the ICE generation it belongs to.
 */
usernameFragment?: string, };

/**
 * What pairs a response with its request. JSON-RPC allows numbers and strings.
 */
export type RequestId = number | string;

/**
 * A fault: why a request was refused (JSON-RPC 2.0 §5.1).
 */
export type Fault = {
/**
 * One of [`code`].
 */
code: number,
/**
 * One sentence that says what to do.
 */
message: string,
/**
 * The session it is about, in an `error` notification (ONVIF WebRTC 26.06 §5.8).
 */
session?: SessionId, };

/**
 * No parameters, or nothing to return.
 */
export type Empty = Record<symbol, never>;

/**
 * See [`Register`].
 */
export type RegisterParams = {
/**
 * Access token, unless the WebSocket came with one. A gateway's is built by
 * [`crate::identity::GatewayToken`].
 */
authorization?: string,
/**
 * What people call the device.
 */
name?: string,
/**
 * What the device can do: `extend`, `subProtocols` (ONVIF §5.2.1).
 */
capabilities?: Array<string>, };

/**
 * See [`Register`].
 */
export type RegisterResult = {
/**
 * What the server calls this endpoint: a device's [`GatewayId`], or a name for this
 * connection of a client.
 */
id: string, };

/**
 * See [`Connect`].
 */
export type ConnectParams = {
/**
 * The device.
 */
peer: GatewayId,
/**
 * The camera; the device's first one if absent.
 */
profile?: CameraId,
/**
 * Access token, if it is another than the one registered with.
 */
authorization?: string, };

/**
 * See [`Connect`].
 */
export type ConnectResult = {
/**
 * The session that begins.
 */
session: SessionId,
/**
 * The STUN and TURN servers to use in it.
 */
iceServers: Array<IceServer>,
/**
 * When the session ends unless extended.
 */
expiryTimeSeconds?: number,
/**
 * What the session can do.
 */
capabilities?: Array<string>, };

/**
 * See [`ConnectDevice`].
 */
export type ConnectDeviceParams = {
/**
 * The session that begins.
 */
session: SessionId,
/**
 * The camera; the device's first one if absent.
 */
profile?: CameraId,
/**
 * The STUN and TURN servers to use in it.
 */
iceServers: Array<IceServer>,
/**
 * When the session ends unless extended.
 */
expiryTimeSeconds?: number, };

/**
 * See [`ConnectDevice`].
 */
export type ConnectDeviceResult = {
/**
 * What the session can do; as registered.
 */
capabilities?: Array<string>, };

/**
 * See [`Invite`].
 */
export type InviteParams = {
/**
 * The session.
 */
session: SessionId,
/**
 * SDP offer (RFC 9429 §5.2), with `a=ice-options:trickle`.
 */
offer: string,
/**
 * Data channels to be allowed.
 */
subprotocols?: Array<string>, };

/**
 * See [`Invite`].
 */
export type InviteResult = {
/**
 * SDP answer (RFC 9429 §5.3).
 */
answer: string,
/**
 * Data channels to be allowed.
 */
subprotocols?: Array<string>, };

/**
 * See [`Trickle`].
 */
export type TrickleParams = {
/**
 * The session.
 */
session: SessionId,
/**
 * The candidate; empty after the last.
 */
candidate: IceCandidate, };

/**
 * See [`Extend`].
 */
export type ExtendParams = {
/**
 * The session.
 */
session: SessionId,
/**
 * Client to server: an access token, if it is another than the one registered with.
 */
authorization?: string,
/**
 * Server to device: the new time.
 */
expiryTimeSeconds?: number, };

/**
 * See [`Extend`].
 */
export type ExtendResult = {
/**
 * Seconds until the session ends.
 */
expiryTimeSeconds: number, };

/**
 * See [`Challenge`].
 */
export type ChallengeResult = {
/**
 * Good once, on this WebSocket.
 */
nonce: string, };

/**
 * See [`Enroll`].
 */
export type EnrollParams = {
/**
 * The single-use claim code a person gave.
 */
claim: string,
/**
 * The gateway's Ed25519 public key, base64url without padding.
 */
publicKey: string,
/**
 * Signature over [`crate::identity::enroll_message`], base64url without padding.
 */
signature: string,
/**
 * What people call the gateway.
 */
name: string, };

/**
 * See [`Enroll`].
 */
export type EnrollResult = {
/**
 * The gateway's id, the hash of its key.
 */
id: GatewayId, };

/**
 * See [`Report`].
 */
export type ReportParams = {
/**
 * All cameras of the gateway.
 */
cameras: Array<CameraReport>,
/**
 * The sessions it has: the server forgets others of it. Absent if it does not say.
 */
sessions?: Array<SessionId>, };

/**
 * See [`Report`].
 */
export type ReportResult = {
/**
 * Cameras the server does not take, such as one whose id is another gateway's.
 */
refused: Array<RefusedCamera>, };

/**
 * A camera that the server does not take.
 */
export type RefusedCamera = {
/**
 * Which.
 */
id: CameraId,
/**
 * Why, and what to do.
 */
reason: string, };

/**
 * See [`Cameras`].
 */
export type CamerasParams = {
/**
 * All cameras the client may see.
 */
cameras: Array<Camera>, };

/**
 * See [`IceServers`].
 */
export type IceServersParams = {
/**
 * The session.
 */
session: SessionId,
/**
 * Instead of those it had.
 */
iceServers: Array<IceServer>, };

/**
 * Names a session.
 */
export type SessionParams = {
/**
 * The session.
 */
session: SessionId, };

/**
 * See [`Offer`].
 */
export type OfferParams = {
/**
 * The session that begins.
 */
session: SessionId,
/**
 * The camera.
 */
profile: CameraId,
/**
 * The viewer's SDP offer.
 */
offer: string,
/**
 * The STUN and TURN servers to use.
 */
iceServers: Array<IceServer>,
/**
 * When the session ends unless extended.
 */
expiryTimeSeconds?: number, };

/**
 * See [`Offer`].
 */
export type OfferResult = {
/**
 * The SDP answer, with every candidate that was found in time.
 */
answer: string, };

/**
 * See [`Restart`].
 */
export type RestartParams = {
/**
 * The session.
 */
session: SessionId,
/**
 * The viewer's new ICE user name fragment, password and candidates as
 * `application/trickle-ice-sdpfrag` (RFC 8840 §9).
 */
fragment: string, };

/**
 * See [`Restart`].
 */
export type RestartResult = {
/**
 * The gateway's, likewise.
 */
fragment: string, };

/**
 * What somebody may do.
 */
export type Role = "admin" | "viewer";

/**
 * Makes the first admin.
 */
export type Setup = {
/**
 * The single-use token that the server printed when it first started.
 */
token: string,
/**
 * A user name.
 */
name: string,
/**
 * A password of at least 10 characters.
 */
password: string, };

/**
 * Signs in.
 */
export type SignIn = {
/**
 * A user name.
 */
name: string,
/**
 * Its password.
 */
password: string, };

/**
 * Who is signed in.
 */
export type Me = {
/**
 * A user name.
 */
name: string,
/**
 * What they may do.
 */
role: Role, };

/**
 * The cameras that whoever asks may see.
 */
export type CameraList = {
/**
 * Sorted by name.
 */
cameras: Array<Camera>, };

/**
 * A gateway as the server knows it.
 */
export type Gateway = {
/**
 * The hash of its key.
 */
id: GatewayId,
/**
 * What people call it.
 */
name: string,
/**
 * Whether it is connected now.
 */
online: boolean, };

/**
 * All gateways.
 */
export type GatewayList = {
/**
 * Sorted by name.
 */
gateways: Array<Gateway>, };

/**
 * A claim code, by which one gateway can become known.
 */
export type Claim = {
/**
 * To be given to `porthole gateway --claim`.
 */
code: string,
/**
 * How long it can be used.
 */
expiresInSeconds: number, };

/**
 * Asks for an API token.
 */
export type NewToken = {
/**
 * What people call it.
 */
name: string,
/**
 * What it allows.
 */
role: Role,
/**
 * The only cameras it is for; empty means all.
 */
cameras: Array<CameraId>,
/**
 * When it ends; never if absent.
 */
expiresInSeconds?: number, };

/**
 * An API token, shown once.
 */
export type Token = {
/**
 * For `Authorization: Bearer`.
 */
token: string, };

/**
 * Why a request was refused.
 */
export type ErrorBody = {
/**
 * One sentence that says what to do.
 */
error: string, };

/** What a client asks of the server. */
export type ClientRequests = {
  register: { params: RegisterParams; result: RegisterResult };
  unregister: { params: Empty; result: Empty };
  connect: { params: ConnectParams; result: ConnectResult };
  extend: { params: ExtendParams; result: ExtendResult };
};

/** What the server asks of a client. */
export type ServerRequests = {
  invite: { params: InviteParams; result: InviteResult };
};

/** What a client tells the server. */
export type ClientNotices = {
  trickle: { params: TrickleParams };
  portholeClose: { params: SessionParams };
};

/** What the server tells a client. */
export type ServerNotices = {
  trickle: { params: TrickleParams };
  portholeCameras: { params: CamerasParams };
  portholeIceServers: { params: IceServersParams };
  portholeClose: { params: SessionParams };
};

/** The WebSocket sub-protocol. */
export const SUBPROTOCOL = "webrtc.onvif.org";

/** Where the server takes WebSockets. */
export const WEBSOCKET_PATH = "/ws";

/** The longest WebSocket message either side accepts, in bytes. */
export const MAX_MESSAGE_BYTES = 65536;

/** The numbers that faults and errors carry. */
export const code = {
  PARSE_ERROR: -32700,
  INVALID_REQUEST: -32600,
  METHOD_NOT_FOUND: -32601,
  INVALID_PARAMS: -32602,
  BAD_REQUEST: 400,
  UNAUTHORIZED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  REQUEST_TIMEOUT: 408,
  CONFLICT: 409,
  GONE: 410,
  TOO_MANY_REQUESTS: 429,
  UNAVAILABLE: 480,
  INTERNAL_ERROR: 500,
  STORAGE_FULL: 507,
  INSUFFICIENT_RESOURCES: 1001,
  PEER_DISCONNECTED: 1002,
  MALFORMED_CANDIDATE: 1003,
} as const;
