// Generated from signaling/proto by `cargo test -p porthole-signaling-proto`. Do not edit.

/**
 * The id of a camera: the ONVIF profile token, on the device that its gateway is. It is unique
 * within a signaling server.
 */
export type CameraId = string;

/**
 * The id of a gateway: the ONVIF peer id, derived from its public key.
 */
export type GatewayId = string;

/**
 * The id of a session, one viewer watching one camera; assigned by the signaling server.
 */
export type SessionId = string;

/**
 * The state of a camera.
 */
export type CameraState = "idle" | "connecting" | "live" | "failed" | "offline";

/**
 * The role of a stream of a camera.
 */
export type StreamRole = "main" | "sub";

/**
 * A stream of a camera as its gateway reports it.
 */
export type StreamReport = {
/**
 * The ONVIF profile token of the stream, the `profile` of `connect`: the camera's id for the
 * main stream, `ID.sub` for the sub stream.
 */
id: CameraId,
/**
 * The role of the stream.
 */
role: StreamRole,
/**
 * The current state of the stream, which is connected on its own.
 */
state: CameraState,
/**
 * The reason of the failure in one sentence if `state` is `failed`; what spoils the picture if
 * it is `live`; otherwise absent.
 */
reason?: string,
/**
 * The codec; absent until known.
 */
codec?: string,
/**
 * The width of the picture in pixels; absent until known.
 */
width?: number,
/**
 * The height of the picture in pixels; absent until known.
 */
height?: number, };

/**
 * A camera as its gateway reports it.
 */
export type CameraReport = {
/**
 * The camera's id: the ONVIF profile token, and the `profile` of `connect`.
 */
id: CameraId,
/**
 * The display name.
 */
name: string,
/**
 * The current state.
 */
state: CameraState,
/**
 * The reason of the failure in one sentence if `state` is `failed`; what spoils the picture if
 * it is `live`; otherwise absent.
 */
reason?: string,
/**
 * The codec, `H264` or `H265`; absent until known.
 */
codec?: string,
/**
 * The width of the picture in pixels; absent until known.
 */
width?: number,
/**
 * The height of the picture in pixels; absent until known.
 */
height?: number,
/**
 * The number of sessions that are watching it, on all of its streams.
 */
viewers: number,
/**
 * The streams of the camera, the main stream first; empty if there is only that one, which the
 * fields above describe.
 */
streams?: Array<StreamReport>, };

/**
 * A camera as the server shows it to clients.
 */
export type Camera = {
/**
 * The gateway of the camera: the `peer` of `connect`.
 */
gateway: GatewayId,
/**
 * The camera's id: the ONVIF profile token, and the `profile` of `connect`.
 */
id: CameraId,
/**
 * The display name.
 */
name: string,
/**
 * The current state.
 */
state: CameraState,
/**
 * The reason of the failure in one sentence if `state` is `failed`; what spoils the picture if
 * it is `live`; otherwise absent.
 */
reason?: string,
/**
 * The codec, `H264` or `H265`; absent until known.
 */
codec?: string,
/**
 * The width of the picture in pixels; absent until known.
 */
width?: number,
/**
 * The height of the picture in pixels; absent until known.
 */
height?: number,
/**
 * The number of sessions that are watching it, on all of its streams.
 */
viewers: number,
/**
 * The streams of the camera, the main stream first; empty if there is only that one, which the
 * fields above describe.
 */
streams?: Array<StreamReport>, };

/**
 * A STUN or TURN server in the form of W3C WebRTC's `RTCIceServer`; `urls` is always an array
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
 * An ICE candidate in the form of W3C WebRTC's `RTCIceCandidateInit`. An empty `candidate` marks
 * the end of candidates (RFC 8838 §13).
 */
export type IceCandidate = {
/**
 * The `candidate-attribute` of RFC 8839 §5.1, or empty after the last candidate.
 */
candidate: string,
/**
 * The name (mid) of the media section that it belongs to.
 */
sdpMid?: string,
/**
 * The index of the media section that it belongs to.
 */
sdpMLineIndex?: number,
/**
 * The user name fragment of the ICE generation that it belongs to.
 */
usernameFragment?: string, };

/**
 * The id that pairs a response with its request. JSON-RPC allows numbers and strings.
 */
export type RequestId = number | string;

/**
 * A fault: the reason why a request was refused (JSON-RPC 2.0 §5.1).
 */
export type Fault = {
/**
 * The number of the fault, one of `code`.
 */
code: number,
/**
 * One sentence that says what to do.
 */
message: string,
/**
 * The session that an `error` notification is about (ONVIF WebRTC 26.06 §5.8).
 */
session?: SessionId, };

/**
 * Parameters or a result without fields.
 */
export type Empty = Record<symbol, never>;

/**
 * Parameters of `register`.
 */
export type RegisterParams = {
/**
 * The access token, unless the HTTP request of the WebSocket carried one. A gateway's is
 * `pgw1.ID.SIGNATURE`.
 */
authorization?: string,
/**
 * The display name of the device.
 */
name?: string,
/**
 * The capabilities of the device: `extend`, `subProtocols` (ONVIF WebRTC 26.06 §5.2.1).
 */
capabilities?: Array<string>, };

/**
 * Result of `register`.
 */
export type RegisterResult = {
/**
 * The server's name for this endpoint: the id of a gateway, or a name for this connection of a
 * client.
 */
id: string, };

/**
 * Parameters of `connect`.
 */
export type ConnectParams = {
/**
 * The device to connect to.
 */
peer: GatewayId,
/**
 * The camera to watch; if absent, the device's first one.
 */
profile?: CameraId,
/**
 * The access token, if it is not the one registered with.
 */
authorization?: string, };

/**
 * Result of `connect`.
 */
export type ConnectResult = {
/**
 * The new session.
 */
session: SessionId,
/**
 * The STUN and TURN servers to use in the session.
 */
iceServers: Array<IceServer>,
/**
 * The seconds until the session ends, unless it is extended.
 */
expiryTimeSeconds?: number,
/**
 * The capabilities of the device in this session.
 */
capabilities?: Array<string>, };

/**
 * Parameters of `connect` from server to device.
 */
export type ConnectDeviceParams = {
/**
 * The new session.
 */
session: SessionId,
/**
 * The camera to watch; if absent, the device's first one.
 */
profile?: CameraId,
/**
 * The STUN and TURN servers to use in the session.
 */
iceServers: Array<IceServer>,
/**
 * The seconds until the session ends, unless it is extended.
 */
expiryTimeSeconds?: number, };

/**
 * Result of `connect` from server to device.
 */
export type ConnectDeviceResult = {
/**
 * The capabilities of the device in this session; if absent, the registered ones.
 */
capabilities?: Array<string>, };

/**
 * Parameters of `invite`.
 */
export type InviteParams = {
/**
 * The id of the session.
 */
session: SessionId,
/**
 * The SDP offer (RFC 9429 §5.2), with `a=ice-options:trickle`.
 */
offer: string,
/**
 * The sub-protocols of data channels to allow.
 */
subprotocols?: Array<string>, };

/**
 * Result of `invite`.
 */
export type InviteResult = {
/**
 * The SDP answer (RFC 9429 §5.3).
 */
answer: string,
/**
 * The sub-protocols of data channels to allow.
 */
subprotocols?: Array<string>, };

/**
 * Parameters of `trickle`.
 */
export type TrickleParams = {
/**
 * The id of the session.
 */
session: SessionId,
/**
 * The candidate; an empty one follows the last.
 */
candidate: IceCandidate, };

/**
 * Parameters of `extend`.
 */
export type ExtendParams = {
/**
 * The id of the session.
 */
session: SessionId,
/**
 * From client to server: the access token, if it is not the one registered with.
 */
authorization?: string,
/**
 * From server to device: the seconds until the session ends.
 */
expiryTimeSeconds?: number, };

/**
 * Result of `extend`.
 */
export type ExtendResult = {
/**
 * The seconds until the session ends.
 */
expiryTimeSeconds: number, };

/**
 * Result of `portholeChallenge`.
 */
export type ChallengeResult = {
/**
 * The nonce, which is valid once, on this WebSocket.
 */
nonce: string, };

/**
 * Parameters of `portholeEnroll`.
 */
export type EnrollParams = {
/**
 * The single-use claim code, as it was typed.
 */
claim: string,
/**
 * The gateway's Ed25519 public key, in base64url without padding.
 */
publicKey: string,
/**
 * The signature over the nonce and the claim code, in base64url without padding.
 */
signature: string,
/**
 * The display name of the gateway.
 */
name: string, };

/**
 * Result of `portholeEnroll`.
 */
export type EnrollResult = {
/**
 * The gateway's id, a hash of its key.
 */
id: GatewayId, };

/**
 * Parameters of `portholeReport`.
 */
export type ReportParams = {
/**
 * All cameras of the gateway.
 */
cameras: Array<CameraReport>,
/**
 * All sessions of the gateway; the server removes any others. Absent if not reported.
 */
sessions?: Array<SessionId>,
/**
 * Those of `sessions` in which nothing has been sent yet, because no path was found so far.
 * Absent if not reported.
 */
starting?: Array<SessionId>, };

/**
 * Result of `portholeReport`.
 */
export type ReportResult = {
/**
 * The cameras that the server refuses, such as one whose id belongs to another gateway.
 */
refused: Array<RefusedCamera>, };

/**
 * A camera that the server refuses.
 */
export type RefusedCamera = {
/**
 * The id of the camera.
 */
id: CameraId,
/**
 * The reason, and what to do about it.
 */
reason: string, };

/**
 * Parameters of `portholeCameras`.
 */
export type CamerasParams = {
/**
 * All cameras that the client may see.
 */
cameras: Array<Camera>, };

/**
 * Parameters of `portholeIceServers`.
 */
export type IceServersParams = {
/**
 * The id of the session.
 */
session: SessionId,
/**
 * The ICE servers that replace the previous ones.
 */
iceServers: Array<IceServer>, };

/**
 * A reference to a session.
 */
export type SessionParams = {
/**
 * The id of the session.
 */
session: SessionId, };

/**
 * Parameters of `portholeOffer`.
 */
export type OfferParams = {
/**
 * The new session.
 */
session: SessionId,
/**
 * The camera to watch.
 */
profile: CameraId,
/**
 * The viewer's SDP offer.
 */
offer: string,
/**
 * The IP address from which the viewer's offer came, for a viewer that gathers no candidate
 * with its public address. Absent if the server does not know it.
 */
viewerAddress?: string,
/**
 * The STUN and TURN servers to use in the session.
 */
iceServers: Array<IceServer>,
/**
 * The seconds until the session ends, unless it is extended.
 */
expiryTimeSeconds?: number, };

/**
 * Result of `portholeOffer`.
 */
export type OfferResult = {
/**
 * The SDP answer, with all candidates that were found in time.
 */
answer: string, };

/**
 * Parameters of `portholeRestart`.
 */
export type RestartParams = {
/**
 * The id of the session.
 */
session: SessionId,
/**
 * The viewer's new ICE user name fragment, password and candidates as
 * `application/trickle-ice-sdpfrag` (RFC 8840 §9).
 */
fragment: string, };

/**
 * Result of `portholeRestart`.
 */
export type RestartResult = {
/**
 * The gateway's new ICE user name fragment, password and candidates, in the same form.
 */
fragment: string, };

/**
 * The role of a user or token.
 */
export type Role = "admin" | "viewer";

/**
 * A request to create the first admin.
 */
export type Setup = {
/**
 * The single-use token in the setup link that the server prints when it starts.
 */
token: string,
/**
 * The name of the new user.
 */
name: string,
/**
 * The password of the new user: at least 10 characters.
 */
password: string, };

/**
 * A request to sign in.
 */
export type SignIn = {
/**
 * The name of the user.
 */
name: string,
/**
 * The password of the user.
 */
password: string, };

/**
 * The user that is signed in.
 */
export type Me = {
/**
 * The name of the user.
 */
name: string,
/**
 * The role of the user.
 */
role: Role, };

/**
 * The cameras that the sender of the request may see.
 */
export type CameraList = {
/**
 * The cameras, sorted by name.
 */
cameras: Array<Camera>, };

/**
 * A gateway as the server knows it.
 */
export type Gateway = {
/**
 * The id, a hash of the gateway's key.
 */
id: GatewayId,
/**
 * The display name.
 */
name: string,
/**
 * True while the gateway is connected.
 */
online: boolean, };

/**
 * All gateways that have enrolled.
 */
export type GatewayList = {
/**
 * The gateways, sorted by name.
 */
gateways: Array<Gateway>, };

/**
 * A claim code, with which one gateway can enrol.
 */
export type Claim = {
/**
 * The code for `porthole gateway --claim`.
 */
code: string,
/**
 * The time in seconds within which the code can be used.
 */
expiresInSeconds: number, };

/**
 * A request to create an API token.
 */
export type NewToken = {
/**
 * The display name of the token.
 */
name: string,
/**
 * The role that the token has.
 */
role: Role,
/**
 * The cameras that the token is limited to; if empty, it is for all.
 */
cameras: Array<CameraId>,
/**
 * The lifetime in seconds; if absent, the token does not expire.
 */
expiresInSeconds?: number, };

/**
 * A new API token. The server shows it only once.
 */
export type Token = {
/**
 * The token for `Authorization: Bearer`.
 */
token: string, };

/**
 * The body of a refused request.
 */
export type ErrorBody = {
/**
 * One sentence that says what to do.
 */
error: string, };

/** The requests that a client sends to the server. */
export type ClientRequests = {
  register: { params: RegisterParams; result: RegisterResult };
  unregister: { params: Empty; result: Empty };
  connect: { params: ConnectParams; result: ConnectResult };
  extend: { params: ExtendParams; result: ExtendResult };
};

/** The requests that the server sends to a client. */
export type ServerRequests = {
  invite: { params: InviteParams; result: InviteResult };
};

/** The notifications that a client sends to the server. */
export type ClientNotifications = {
  trickle: { params: TrickleParams };
  portholeClose: { params: SessionParams };
};

/** The notifications that the server sends to a client. */
export type ServerNotifications = {
  trickle: { params: TrickleParams };
  portholeCameras: { params: CamerasParams };
  portholeIceServers: { params: IceServersParams };
  portholeClose: { params: SessionParams };
};

/** The WebSocket sub-protocol of the signaling. */
export const SUBPROTOCOL = "webrtc.onvif.org";

/** The path at which the server accepts WebSockets. */
export const WEBSOCKET_PATH = "/ws";

/** The longest WebSocket message that either side accepts, in bytes. */
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
  NO_VIDEO: 503,
  INTERNAL_ERROR: 500,
  STORAGE_FULL: 507,
  INSUFFICIENT_RESOURCES: 1001,
  PEER_DISCONNECTED: 1002,
  MALFORMED_CANDIDATE: 1003,
} as const;
