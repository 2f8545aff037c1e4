// Generated from signaling/proto by `cargo test -p porthole-signaling-proto`. Do not edit.

/**
 * The id of a camera: the ONVIF profile token, on the device that its gateway is. It is unique
 * within its gateway.
 */
export type CameraId = string;

/**
 * The id of a gateway: the ONVIF peer id, derived from its public key.
 */
export type GatewayId = string;

/**
 * An address of a camera: `door`, which is the camera of the gateway that had one with this id
 * first, or `door@GATEWAY`, which is that of one gateway.
 */
export type CameraAddress = string;

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
 * The ways in which a camera can be moved ([`crate::control`]).
 */
export type ControlReport = {
/**
 * True if the camera turns left, right, up and down.
 */
panTilt: boolean,
/**
 * True if the camera has a zoom lens.
 */
zoom: boolean,
/**
 * True if the camera stores positions.
 */
presets: boolean,
/**
 * The name of who is moving it, and keeps others from it.
 */
heldBy?: string, };

/**
 * Motion in front of a camera, as the camera tells it.
 */
export type MotionReport = {
/**
 * True while something moves.
 */
active: boolean,
/**
 * The time at which the latest motion has begun, in seconds since 1970.
 */
lastS?: number, };

/**
 * The sound of a camera.
 */
export type SoundReport = {
/**
 * The codec in which the camera sends it, such as `PCMA` or `AAC`.
 */
codec: string,
/**
 * The reason why it cannot be heard, in one sentence; absent if it can.
 */
reason?: string, };

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
streams?: Array<StreamReport>,
/**
 * True for a camera that was probed and not added: only those who manage its gateway may watch
 * it, and it is in no list.
 */
provisional?: boolean,
/**
 * The ways in which the camera can be moved; absent if it cannot.
 */
control?: ControlReport,
/**
 * Motion in front of the camera; absent if it does not tell of any.
 */
motion?: MotionReport,
/**
 * The degrees by which its picture is to be turned clockwise: 0, 90, 180 or 270.
 */
rotation?: number,
/**
 * True if its picture is to be mirrored, left to right, before it is turned.
 */
mirrored?: boolean,
/**
 * The sound of the camera; absent if it sends none, or until that is known.
 */
sound?: SoundReport, };

/**
 * A way to use a camera that somebody may have.
 */
export type CameraPermission = "watch" | "listen" | "talk" | "control" | "manage";

/**
 * A camera as the server shows it to clients.
 */
export type Camera = {
/**
 * The gateway of the camera: the `peer` of `connect`.
 */
gateway: GatewayId,
/**
 * The shortest address that leads to the camera, in `/whep/ADDRESS` and in the dashboard: its
 * id, or `ID@GATEWAY` if another gateway had a camera with this id before.
 */
address: CameraAddress,
/**
 * The permissions on this camera of whoever gets the list. The server checks each request
 * whatever is in here.
 */
permissions: Array<CameraPermission>,
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
streams?: Array<StreamReport>,
/**
 * True for a camera that was probed and not added: only those who manage its gateway may watch
 * it, and it is in no list.
 */
provisional?: boolean,
/**
 * The ways in which the camera can be moved; absent if it cannot.
 */
control?: ControlReport,
/**
 * Motion in front of the camera; absent if it does not tell of any.
 */
motion?: MotionReport,
/**
 * The degrees by which its picture is to be turned clockwise: 0, 90, 180 or 270.
 */
rotation?: number,
/**
 * True if its picture is to be mirrored, left to right, before it is turned.
 */
mirrored?: boolean,
/**
 * The sound of the camera; absent if it sends none, or until that is known.
 */
sound?: SoundReport, };

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
 * `pgw2.SIGNATURE.ID@ORIGIN`.
 */
authorization?: string,
/**
 * The display name of the device.
 */
name?: string,
/**
 * The version of the gateway's program.
 */
version?: string,
/**
 * The number of the protocol that the gateway speaks, see [`PROTOCOL`].
 */
portholeProtocol?: number,
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
id: string,
/**
 * The number of the protocol that the server speaks, see [`PROTOCOL`]; for gateways only.
 */
portholeProtocol?: number, };

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
authorization?: string,
/**
 * False: the session is to carry no sound. A client that says nothing gets the sound that it
 * may hear.
 */
portholeAudio?: boolean, };

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
 * A limit on what a gateway sends for an access token or share link, with all of its sessions.
 */
export type RateCap = {
/**
 * A name that stands for the token or link: all sessions with the same one share the limit.
 */
of: string,
/**
 * The limit in kbit/s.
 */
maxKbitPerS: number, };

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
expiryTimeSeconds?: number,
/**
 * True: the client wants the sound of the camera, and may hear it.
 */
portholeAudio?: boolean,
/**
 * The limits of the access token or share link, [`RateCap::MAX`] at most. A gateway of an
 * earlier version ignores them.
 */
portholeCaps?: Array<RateCap>, };

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
 * The origin of the server that the gateway has dialled, such as `https://example.org`.
 */
origin?: string,
/**
 * The signature over the origin, the nonce and the claim code, in base64url without padding.
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
 * All cameras of the gateway, or some of them with [`Self::more`].
 */
cameras: Array<CameraReport>,
/**
 * True if further cameras follow with the next report: a message has a bounded length. They
 * count together once the last part has arrived.
 */
more?: boolean,
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
 * The picture that the gateway has chosen for a session.
 */
export type ShownPicture = "main" | "sub" | "keyFrames" | "still";

/**
 * The reason for which a viewer gets less than the main stream.
 */
export type ShownReason = "path" | "cap" | "limit";

/**
 * Parameters of `portholeShown`.
 */
export type ShownParams = {
/**
 * The id of the session.
 */
session: SessionId,
/**
 * The picture that is shown.
 */
picture: ShownPicture,
/**
 * The reason for which it is less than the main stream.
 */
reason?: ShownReason,
/**
 * The rate in kbit/s that the viewer's path was found to carry, or that the cap or the limit
 * leaves.
 */
kbitPerS?: number, };

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
expiryTimeSeconds?: number,
/**
 * True: the viewer may hear the camera, if its offer asks for sound.
 */
audio?: boolean,
/**
 * The limits of the access token or share link, [`RateCap::MAX`] at most.
 */
caps?: Array<RateCap>, };

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
 * Parameters of a request that names only its gateway: `portholeSealingKey` and
 * `portholeStoredCameras`.
 */
export type GatewayParams = {
/**
 * The gateway that is asked.
 */
peer: GatewayId,
/**
 * From server to gateway: the name of the user or token that asks.
 */
by?: string, };

/**
 * Result of `portholeSealingKey`. All texts are in base64url without padding.
 */
export type SealingKeyResult = {
/**
 * The gateway's Ed25519 public key, whose hash is its id.
 */
publicKey: string,
/**
 * The X25519 public key to seal with (RFC 9180, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
 * ChaCha20Poly1305).
 */
sealingKey: string,
/**
 * The nonce, which is valid for one password and ten minutes.
 */
nonce: string,
/**
 * The Ed25519 signature over [`sealing_key_message`].
 */
signature: string, };

/**
 * A user and a password, sealed with HPKE in base mode to a gateway's key. The plaintext is a
 * [`Login`] as JSON, the `info` is [`seal_info`], the additional data are empty. The texts are in
 * base64url without padding.
 */
export type Sealed = {
/**
 * The nonce that the gateway has handed out.
 */
nonce: string,
/**
 * The encapsulated key: 32 bytes.
 */
enc: string,
/**
 * The ciphertext with its tag.
 */
ciphertext: string, };

/**
 * A user and a password of a camera: the plaintext of [`Sealed`]. The password is overwritten when
 * it is dropped.
 */
export type Login = {
/**
 * The name of the user, at most 128 characters.
 */
user: string,
/**
 * The password, at most 256 characters.
 */
password: string, };

/**
 * Parameters of `portholeDiscover`.
 */
export type DiscoverParams = {
/**
 * The gateway that is asked.
 */
peer: GatewayId,
/**
 * Machines to ask one by one: addresses, names or ranges such as `192.168.1.0/24`. Without
 * any, the gateway asks all devices of its networks.
 */
addresses?: Array<string>,
/**
 * From server to gateway: the name of the user or token that asks.
 */
by?: string, };

/**
 * Result of `portholeDiscover`, after the last progress.
 */
export type DiscoverResult = {
/**
 * The networks that were searched, such as `192.168.1.0/24`.
 */
networks: Array<string>, };

/**
 * Progress of `portholeDiscover`: a device that has answered. One of the same number replaces the
 * one before.
 */
export type FoundDevice = {
/**
 * The number of the device in this search.
 */
number: number,
/**
 * The address to probe it at: a host, with the port of its service if that is known.
 */
address: string,
/**
 * The name of the vendor.
 */
vendor?: string,
/**
 * The model, as the device calls it.
 */
model?: string,
/**
 * The name of the device, as it calls itself.
 */
name?: string,
/**
 * The MAC address, as `aa:bb:cc:dd:ee:ff`.
 */
mac?: string,
/**
 * The cameras of the gateway that are at this device already.
 */
cameras: Array<CameraId>, };

/**
 * Parameters of `portholeProbe`.
 */
export type ProbeParams = {
/**
 * The gateway that is asked.
 */
peer: GatewayId,
/**
 * The address of the device: a host, a host and port, or an `rtsp://` URL without user and
 * password.
 */
address: string,
/**
 * User and password, if the device needs them.
 */
login?: Sealed,
/**
 * The person has agreed that the password may be sent to this device as readable text.
 */
allowsText: boolean,
/**
 * The camera whose address or password is changed, if one is.
 */
camera?: CameraId,
/**
 * The camera of a file whose streams and login are used. The address must be that of the
 * file, and the password goes to the device in no readable form unless `login` is given.
 */
import?: ImportChoice,
/**
 * The vendor whose RTSP paths are tried on a device without ONVIF; if absent, none are tried.
 * `any` stands for the most usual ones.
 */
vendor?: string,
/**
 * From server to gateway: the name of the user or token that asks.
 */
by?: string, };

/**
 * Progress of `portholeProbe`, in the order in which it is found out.
 */
export type ProbeProgress = { "device": ProbedDevice } | { "finding": ProbeFinding } | { "camera": ProbedCamera };

/**
 * A camera of a file that a gateway has read.
 */
export type ImportChoice = {
/**
 * The id of the file: [`ReadConfigurationResult::import`].
 */
import: string,
/**
 * The number of the camera: [`ImportEntry::number`].
 */
entry: number, };

/**
 * Parameters of `portholeReadConfiguration`: a piece of a sealed file. The plaintext is the file
 * itself, the `info` is [`file_info`]. The pieces are sent in order, each after the response to
 * the one before.
 */
export type ReadConfigurationParams = {
/**
 * The gateway that is asked.
 */
peer: GatewayId,
/**
 * The sealed file, with this piece of its ciphertext: at most [`MAX_PIECE_CHARS`] characters.
 */
sealed: Sealed,
/**
 * The number of the piece, from zero.
 */
piece: number,
/**
 * The number of pieces in all, at most [`MAX_PIECES`].
 */
pieces: number,
/**
 * From server to gateway: the name of the user or token that asks.
 */
by?: string, };

/**
 * Result of `portholeReadConfiguration`.
 */
export type ReadConfigurationResult = {
/**
 * The id of the file, with which its cameras are probed; absent before the last piece.
 */
import?: string,
/**
 * The name of the program that the file is for.
 */
program?: string,
/**
 * The number of cameras that were left out because there are too many.
 */
leftOut: number, };

/**
 * Progress of `portholeReadConfiguration`: a camera of the file.
 */
export type ImportEntry = {
/**
 * The number of the camera in the file, from zero.
 */
number: number,
/**
 * The name in the file.
 */
name: string,
/**
 * The address to probe it at, without passwords; absent if it cannot be taken.
 */
address?: string,
/**
 * The address of the sub stream, without passwords.
 */
sub?: string,
/**
 * The user and password in the file.
 */
login: ImportLogin,
/**
 * True if it is to be added unless the person decides otherwise.
 */
wanted: boolean,
/**
 * Notes about what cannot be taken over, and why.
 */
notes: Array<ImportNote>, };

/**
 * The user and password of a camera in a file.
 */
export type ImportLogin = "none" | "known" | "missing";

/**
 * A note about a camera of a file. `docs/ref/import.md` lists the keys.
 */
export type ImportNote = {
/**
 * The name of the note, which does not change.
 */
key: string,
/**
 * True if the camera cannot be taken because of it.
 */
failure: boolean,
/**
 * One sentence about it.
 */
text: string,
/**
 * The values in the sentence, by name.
 */
values: { [key in string]: string }, };

/**
 * The properties of a device, as it tells them.
 */
export type ProbedDevice = {
/**
 * The name of the vendor; empty if the device does not say.
 */
vendor: string,
/**
 * The model; empty if the device does not say.
 */
model: string,
/**
 * The version of the firmware; empty if the device does not say.
 */
firmware: string, };

/**
 * A fact that a probe has found out. `docs/ref/onvif.md` lists the keys.
 */
export type ProbeFinding = {
/**
 * The name of the fact, which does not change.
 */
key: string,
/**
 * True if there is no picture because of it.
 */
failure: boolean,
/**
 * One sentence that says what to do.
 */
text: string,
/**
 * The values in the sentence, by name.
 */
values: { [key in string]: string }, };

/**
 * A camera that was probed and can be watched and added.
 */
export type ProbedCamera = {
/**
 * The id of the provisional camera: the `profile` of `connect`, and the one to add.
 */
id: CameraId,
/**
 * The number of the camera in the device, from one.
 */
number: number,
/**
 * A name to begin with.
 */
name: string,
/**
 * The streams, the main stream first.
 */
streams: Array<ProbedStream>, };

/**
 * A stream of a camera that was probed.
 */
export type ProbedStream = {
/**
 * The `profile` of `connect`.
 */
id: CameraId,
/**
 * The role of the stream.
 */
role: StreamRole,
/**
 * The codec, such as `H264`.
 */
codec: string,
/**
 * The width of the picture in pixels; 0 until known.
 */
width: number,
/**
 * The height of the picture in pixels; 0 until known.
 */
height: number,
/**
 * The frames per second, once known.
 */
framesPerSecond?: number,
/**
 * The seconds from one key frame to the next, once measured.
 */
keyFrameDistanceS?: number,
/**
 * True once a picture has arrived.
 */
hasPicture: boolean, };

/**
 * Result of `portholeProbe`, after the last progress.
 */
export type ProbeResult = {
/**
 * The number of times that the device has refused the password. Some lock the account after
 * five.
 */
refused: number, };

/**
 * Result of `portholeStoredCameras`.
 */
export type StoredCamerasResult = {
/**
 * The number of the last change, for the next one.
 */
revision: number,
/**
 * The cameras, sorted by name.
 */
cameras: Array<StoredCamera>, };

/**
 * The place where a camera is configured.
 */
export type CameraOrigin = "configured" | "stored" | "hidden";

/**
 * A camera as its gateway keeps it, without the password.
 */
export type StoredCamera = {
/**
 * The id of the camera.
 */
id: CameraId,
/**
 * The display name.
 */
name: string,
/**
 * The place where it is configured.
 */
origin: CameraOrigin,
/**
 * The address of the main stream, without user and password; absent if it has none.
 */
address?: string,
/**
 * True if a user and a password are kept for it.
 */
hasPassword: boolean,
/**
 * The name of who changed it last, for stored cameras.
 */
changedBy?: string,
/**
 * The time of the last change in seconds since 1970, for stored cameras.
 */
changedS?: number,
/**
 * The degrees by which its picture is turned clockwise: 0, 90, 180 or 270.
 */
rotation: number,
/**
 * True if its picture is mirrored, left to right, before it is turned.
 */
mirrored: boolean,
/**
 * True if the gateway connects to it only while somebody watches.
 */
onDemand: boolean, };

/**
 * Parameters of `portholeAddCamera`.
 */
export type AddCameraParams = {
/**
 * The gateway that is asked.
 */
peer: GatewayId,
/**
 * The revision that the person has seen. The gateway refuses the change with 409 if there is a
 * later one.
 */
revision: number,
/**
 * The provisional camera to add.
 */
provisional: CameraId,
/**
 * The display name. The id of the camera is made of it.
 */
name: string,
/**
 * From server to gateway: the name of the user or token that asks.
 */
by?: string, };

/**
 * Parameters of `portholeChangeCamera`. What is absent stays.
 */
export type ChangeCameraParams = {
/**
 * The gateway that is asked.
 */
peer: GatewayId,
/**
 * The revision that the person has seen.
 */
revision: number,
/**
 * The camera to change.
 */
camera: CameraId,
/**
 * The new display name. The id stays.
 */
name?: string,
/**
 * The provisional camera whose addresses and password it gets.
 */
provisional?: CameraId,
/**
 * The degrees by which its picture is turned clockwise: 0, 90, 180 or 270.
 */
rotation?: number,
/**
 * True if its picture is mirrored, left to right, before it is turned.
 */
mirrored?: boolean,
/**
 * True if the gateway connects to it only while somebody watches.
 */
onDemand?: boolean,
/**
 * From server to gateway: the name of the user or token that asks.
 */
by?: string, };

/**
 * Parameters of `portholeRemoveCamera`.
 */
export type RemoveCameraParams = {
/**
 * The gateway that is asked.
 */
peer: GatewayId,
/**
 * The revision that the person has seen.
 */
revision: number,
/**
 * The camera to remove.
 */
camera: CameraId,
/**
 * From server to gateway: the name of the user or token that asks.
 */
by?: string, };

/**
 * Result of a change, once it is on the gateway's disk.
 */
export type ChangedResult = {
/**
 * The id of the camera.
 */
camera: CameraId,
/**
 * The number of this change, for the next one.
 */
revision: number, };

/**
 * Result of `portholeRemoveCamera`.
 */
export type RemovedResult = {
/**
 * The id of the camera.
 */
camera: CameraId,
/**
 * The number of this change, for the next one.
 */
revision: number,
/**
 * From server to client: what was removed with it.
 */
removed?: Removed, };

/**
 * Parameters of `portholeProgress`.
 */
export type ProgressParams = {
/**
 * The id of the request that it belongs to.
 */
request: RequestId,
/**
 * The progress, whose type depends on the method.
 */
value: unknown, };

/**
 * Parameters of `portholeCancel`.
 */
export type CancelParams = {
/**
 * The id of the request that nobody waits for any more. It gets no response.
 */
request: RequestId, };

/**
 * Parameters of a request that names only its camera: `portholePresets` and
 * `portholeCheckSettings`.
 */
export type CameraParams = {
/**
 * The gateway of the camera.
 */
peer: GatewayId,
/**
 * The camera itself, not one of its streams.
 */
camera: CameraId,
/**
 * From server to gateway: the name of the user or token that asks.
 */
by?: string, };

/**
 * Parameters of `portholeMove`: speeds from -100 to 100 percent of the fastest one. What is beyond
 * is taken as the fastest. The camera stops if all three are 0, and if no further `portholeMove`
 * arrives within [`MOVE_LEASE_MS`].
 */
export type MoveParams = {
/**
 * The gateway of the camera.
 */
peer: GatewayId,
/**
 * The camera to move.
 */
camera: CameraId,
/**
 * The speed to the right; to the left if it is negative.
 */
pan: number,
/**
 * The speed upwards; downwards if it is negative.
 */
tilt: number,
/**
 * The speed at which the picture grows; shrinks if it is negative.
 */
zoom: number,
/**
 * From server to gateway: the name of the user or token that asks.
 */
by?: string, };

/**
 * Parameters of `portholeGoToPreset` and `portholeRemovePreset`.
 */
export type PresetParams = {
/**
 * The gateway of the camera.
 */
peer: GatewayId,
/**
 * The camera of the preset.
 */
camera: CameraId,
/**
 * The token of the preset, as the camera names it.
 */
preset: string,
/**
 * From server to gateway: the name of the user or token that asks.
 */
by?: string, };

/**
 * Parameters of `portholeSavePreset`.
 */
export type SavePresetParams = {
/**
 * The gateway of the camera.
 */
peer: GatewayId,
/**
 * The camera whose position is stored.
 */
camera: CameraId,
/**
 * The name of the new preset.
 */
name: string,
/**
 * From server to gateway: the name of the user or token that asks.
 */
by?: string, };

/**
 * A position that a camera has stored (ONVIF PTZ Service Specification, 5.4).
 */
export type Preset = {
/**
 * The token, by which the camera knows it.
 */
token: string,
/**
 * The name; the token if it has none.
 */
name: string, };

/**
 * Result of `portholePresets`.
 */
export type PresetsResult = {
/**
 * The presets in the camera's order.
 */
presets: Array<Preset>, };

/**
 * A setting of a camera that spoils its picture in browsers, with the value that does not.
 */
export type SettingChange = {
/**
 * The name of the setting, which does not change. `docs/ref/onvif.md` lists them.
 */
key: string,
/**
 * The stream that it belongs to; absent for a setting of the device.
 */
stream?: StreamRole,
/**
 * The present value with its unit.
 */
before: string,
/**
 * The value to set, with its unit.
 */
after: string, };

/**
 * Result of `portholeCheckSettings`.
 */
export type CheckSettingsResult = {
/**
 * The name of exactly these changes from exactly the present settings.
 */
plan: string,
/**
 * The changes; empty if nothing is to be put right, or nothing can be.
 */
changes: Array<SettingChange>,
/**
 * The facts that spoil the picture and cannot be changed from here.
 */
left: Array<ProbeFinding>, };

/**
 * Parameters of `portholeApplySettings`.
 */
export type ApplySettingsParams = {
/**
 * The gateway of the camera.
 */
peer: GatewayId,
/**
 * The camera to change.
 */
camera: CameraId,
/**
 * The [`CheckSettingsResult::plan`] that the person has seen. The gateway refuses it with 409
 * if the camera's settings are others now.
 */
plan: string,
/**
 * From server to gateway: the name of the user or token that asks.
 */
by?: string, };

/**
 * Result of `portholeApplySettings`.
 */
export type ApplySettingsResult = {
/**
 * The changes, each with the value that the camera has now as `after`.
 */
changes: Array<SettingChange>, };

/**
 * The role of a user or token.
 */
export type Role = "owner" | "admin" | "viewer";

/**
 * A request to create the first owner.
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
password: string,
/**
 * The code of the second factor, or a recovery code, if the user has one. Without it the
 * refusal has `needsCode`.
 */
code?: string, };

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
 * A request to change the own password. All other browsers are signed out.
 */
export type ChangePassword = {
/**
 * The password so far.
 */
old: string,
/**
 * The new password: at least 10 characters.
 */
new: string, };

/**
 * The own second factor: codes of an app that change every 30 seconds (TOTP).
 */
export type SecondFactor = {
/**
 * True if a code is asked for at each sign-in.
 */
enrolled: boolean,
/**
 * The number of recovery codes that are left.
 */
recoveryCodes: number, };

/**
 * The own password, which some requests need again.
 */
export type OwnPassword = {
/**
 * The password as it is now.
 */
password: string, };

/**
 * The proof of who somebody is, which adding a way to sign in needs again.
 */
export type OwnProof = {
/**
 * The password as it is now.
 */
password: string,
/**
 * The code of the app, or a recovery code; needed by users with a second factor.
 */
code?: string, };

/**
 * The secret of a second factor. The server shows it only once, and it counts once it is
 * confirmed.
 */
export type TotpSecret = {
/**
 * The address for a QR code (`otpauth://totp/…`).
 */
url: string,
/**
 * The secret in base32, to be typed into an app.
 */
secret: string, };

/**
 * A code that the app shows.
 */
export type OneCode = {
/**
 * The code: six digits.
 */
code: string, };

/**
 * The own password and a code.
 */
export type PasswordAndCode = {
/**
 * The password as it is now.
 */
password: string,
/**
 * The code of the app, or a recovery code.
 */
code: string, };

/**
 * Codes for the loss of the app. The server shows them only once, and each can be used once.
 */
export type RecoveryCodes = {
/**
 * The codes themselves, for paper.
 */
codes: Array<string>, };

/**
 * The provider whose accounts sign in.
 */
export type SignInProvider = {
/**
 * The name of the provider, for people.
 */
name: string,
/**
 * The origin of the pages to which the provider sends browsers back: nobody signs in with it
 * elsewhere.
 */
origin: string, };

/**
 * The ways to sign in that the server offers beside name and password.
 */
export type SignInWays = {
/**
 * The origin whose pages may use passkeys; absent if the server has no domain with HTTPS.
 */
passkeyOrigin?: string,
/**
 * The provider whose accounts sign in, if there is one.
 */
provider?: SignInProvider, };

/**
 * A request to sign in at the provider.
 */
export type ProviderSignIn = {
/**
 * The invitation to accept with the account; without one, an account that is linked signs in.
 */
invitation?: ProviderInvitation, };

/**
 * An invitation that is accepted with an account of the provider, in place of a password.
 */
export type ProviderInvitation = {
/**
 * The token of the link.
 */
token: string,
/**
 * The name of the new user; without one, that of the invitation.
 */
name?: string, };

/**
 * The address at which a browser signs in. It has ten minutes to come back.
 */
export type ProviderRequest = {
/**
 * The address, which is of the provider.
 */
url: string, };

/**
 * The parameters with which the provider has sent the browser back.
 */
export type ProviderAnswer = {
/**
 * The value by which the request is known.
 */
state: string,
/**
 * The code, which counts once.
 */
code?: string,
/**
 * The issuer of the answer, if the provider names it.
 */
iss?: string,
/**
 * The reason why there is no code.
 */
error?: string, };

/**
 * An account that is linked to a user.
 */
export type IdentityInfo = {
/**
 * The number of the link, by which it is removed.
 */
id: number,
/**
 * The issuer of the account.
 */
issuer: string,
/**
 * The name of the account when it was used last.
 */
name: string,
/**
 * The time at which it was linked, in seconds since 1970.
 */
createdS: number,
/**
 * The time of the last sign-in with it; absent if there was none.
 */
seenS?: number, };

/**
 * The accounts that are linked to the own user, the oldest first.
 */
export type IdentityList = {
/**
 * The list itself, the oldest first.
 */
identities: Array<IdentityInfo>,
/**
 * The provider whose accounts can be linked, if there is one.
 */
provider?: SignInProvider, };

/**
 * A request of the server to sign in with a passkey.
 */
export type PasskeyRequest = {
/**
 * The challenge, which can be answered once and for five minutes.
 */
challenge: string,
/**
 * The domain that passkeys belong to (the RP ID).
 */
site: string, };

/**
 * A request to sign in with a passkey: what the browser returned.
 */
export type PasskeySignIn = {
/**
 * The id of the passkey.
 */
credential: string,
/**
 * The handle of the user (`userHandle`).
 */
userHandle: string,
/**
 * The data that the browser has written about the request (`clientDataJSON`).
 */
clientData: string,
/**
 * The data of the authenticator.
 */
authenticatorData: string,
/**
 * The signature over both.
 */
signature: string, };

/**
 * A request of the server to make a passkey.
 */
export type PasskeyCreation = {
/**
 * The challenge, which can be answered once and for five minutes.
 */
challenge: string,
/**
 * The domain that the passkey will belong to (the RP ID).
 */
site: string,
/**
 * The handle of the user.
 */
userHandle: string,
/**
 * The name of the user.
 */
userName: string,
/**
 * The algorithms that count (COSE), the best first.
 */
algorithms: Array<number>,
/**
 * The passkeys that the user has. A device with one of them makes no other.
 */
exclude: Array<string>, };

/**
 * A request to store a new passkey: what the browser returned.
 */
export type NewPasskey = {
/**
 * The name by which the user knows it.
 */
name: string,
/**
 * The data that the browser has written about the request (`clientDataJSON`).
 */
clientData: string,
/**
 * The attestation object with the public key.
 */
attestation: string, };

/**
 * A passkey in the list of a user.
 */
export type PasskeyInfo = {
/**
 * The number of the passkey, by which it is removed.
 */
id: number,
/**
 * The name that its user gave it.
 */
name: string,
/**
 * The time of its creation, in seconds since 1970.
 */
createdS: number,
/**
 * The time of the last sign-in with it; absent if there was none.
 */
seenS?: number,
/**
 * True if it may be on several devices of the user; false if it stays on one.
 */
synced: boolean, };

/**
 * The own passkeys, the oldest first.
 */
export type PasskeyList = {
/**
 * The list itself, the oldest first.
 */
passkeys: Array<PasskeyInfo>,
/**
 * The origin whose pages may make passkeys, if there is one.
 */
origin?: string,
/**
 * One sentence that says why no passkeys can be made, if there is no such origin.
 */
unavailable?: string, };

/**
 * The cameras that the sender of the request may see.
 */
export type CameraList = {
/**
 * The cameras, sorted by name.
 */
cameras: Array<Camera>, };

/**
 * The ICE servers of a viewer that will choose its camera later.
 */
export type IceServerList = {
/**
 * The servers, with credentials of the sender; empty if the sender may watch no camera.
 */
iceServers: Array<IceServer>,
/**
 * The time for which the credentials begin an allocation, in seconds; 0 without a TURN server.
 */
lifetimeS: number, };

/**
 * Age of a gateway's program, compared with the server's.
 */
export type Age = "older" | "newer";

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
online: boolean,
/**
 * The version of its program, once it has connected since the server started.
 */
version?: string,
/**
 * The age of its program, if that is not the server's.
 */
age?: Age,
/**
 * The time at which it has connected or was disconnected last, in seconds since 1970.
 */
seenS?: number, };

/**
 * All gateways that have enrolled.
 */
export type GatewayList = {
/**
 * The gateways, sorted by name.
 */
gateways: Array<Gateway>, };

/**
 * A request to name a gateway.
 */
export type RenameGateway = {
/**
 * The new display name.
 */
name: string, };

/**
 * A request for a claim code. The body may be absent.
 */
export type NewClaim = {
/**
 * The gateway whose place the new one takes: its name, and the rights to its cameras.
 */
replaces?: GatewayId, };

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
expiresInSeconds: number,
/**
 * The fingerprint of the server's own certificate authority, if it has one: for
 * `porthole gateway --ca-fingerprint`.
 */
caFingerprint?: string, };

/**
 * A part of what an administrator may do, to which an API token can be limited.
 */
export type Scope = "watch" | "gateways" | "people" | "shares" | "read" | "audit";

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
 * The cameras that the token is limited to; if empty, it is for all. Each is bound to one
 * gateway when the token is created. A camera that no gateway has yet must name its gateway,
 * unless there is only one.
 */
cameras: Array<CameraAddress>,
/**
 * True: the token may also turn these cameras, and zoom. Admins may anyway.
 */
control?: boolean,
/**
 * False: the token may not hear the cameras.
 */
listen?: boolean,
/**
 * The parts of what an administrator may do, to which the token is limited; if absent, it may
 * do everything. Not for a viewer's token.
 */
scopes?: Array<Scope>,
/**
 * The most that each gateway sends for the token at a time, in kbit/s, 64 to 1 000 000; if
 * absent, there is no limit.
 */
maxKbitPerS?: number,
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
 * An API token in the list of all. The token itself is not stored.
 */
export type TokenInfo = {
/**
 * The number of the token, by which it is revoked.
 */
id: number,
/**
 * The display name.
 */
name: string,
/**
 * The role that the token has.
 */
role: Role,
/**
 * True: the token is for its `cameras` only; false: for all.
 */
limited: boolean,
/**
 * The cameras that the token is limited to, each with its gateway.
 */
cameras: Array<CameraAddress>,
/**
 * True if the token may turn cameras; admins may anyway.
 */
control: boolean,
/**
 * True if the token may hear cameras.
 */
listen: boolean,
/**
 * The scopes to which an administrator's token is limited; absent if it has all.
 */
scopes?: Array<Scope>,
/**
 * The most that each gateway sends for the token at a time, in kbit/s; absent if there is no
 * limit.
 */
maxKbitPerS?: number,
/**
 * The name of the user or token that created it; absent if it is not known.
 */
giver?: string,
/**
 * The user or token that created it, as `user:3` or `token:7`: it is removed with that one.
 */
giverSubject?: string,
/**
 * The time of its creation, in seconds since 1970.
 */
createdS: number,
/**
 * The time at which it ends; absent if it does not.
 */
expiresS?: number,
/**
 * The time at which it was used last, to the minute; absent if it never was.
 */
seenS?: number, };

/**
 * All API tokens, the newest first.
 */
export type TokenList = {
/**
 * The list itself, the newest first.
 */
tokens: Array<TokenInfo>, };

/**
 * A camera that a viewer may watch, and what else it may do with it.
 */
export type CameraGrant = {
/**
 * The address of the camera. It is bound to one gateway when it is given; in a list it names
 * its gateway.
 */
camera: CameraAddress,
/**
 * False: the viewer may not hear the camera.
 */
listen?: boolean,
/**
 * True: the viewer may also turn the camera, and zoom.
 */
control?: boolean, };

/**
 * The rights of a user. Owners and admins have all cameras with everything.
 */
export type UserAccess = {
/**
 * The role of the user.
 */
role: Role,
/**
 * True: a viewer may watch its `cameras` only; false: all, including ones added later.
 */
limited: boolean,
/**
 * The cameras of a viewer that is limited to them; none if it is empty.
 */
cameras: Array<CameraGrant>,
/**
 * False: a viewer of all cameras may not hear them.
 */
listen?: boolean,
/**
 * True: a viewer of all cameras may also turn them, and zoom.
 */
control?: boolean, };

/**
 * A user in the list of all.
 */
export type UserInfo = {
/**
 * The number of the user.
 */
id: number,
/**
 * The name of the user.
 */
name: string,
/**
 * The time of its creation, in seconds since 1970.
 */
createdS: number,
/**
 * The time at which it was here last, to the minute; absent if it is not known.
 */
seenS?: number,
/**
 * The number of browsers that are signed in.
 */
signIns: number,
/**
 * True if the user has a second factor.
 */
secondFactor: boolean,
/**
 * The role of the user.
 */
role: Role,
/**
 * True: a viewer may watch its `cameras` only; false: all, including ones added later.
 */
limited: boolean,
/**
 * The cameras of a viewer that is limited to them; none if it is empty.
 */
cameras: Array<CameraGrant>,
/**
 * False: a viewer of all cameras may not hear them.
 */
listen?: boolean,
/**
 * True: a viewer of all cameras may also turn them, and zoom.
 */
control?: boolean, };

/**
 * All users, sorted by name.
 */
export type UserList = {
/**
 * The list itself, sorted by name.
 */
users: Array<UserInfo>, };

/**
 * A request to invite a person.
 */
export type NewInvitation = {
/**
 * The person that it is for. It is proposed as the name of the user.
 */
name: string,
/**
 * The lifetime of the link in seconds, at most 30 days; 7 days if it is absent.
 */
expiresInSeconds?: number,
/**
 * The role of the user.
 */
role: Role,
/**
 * True: a viewer may watch its `cameras` only; false: all, including ones added later.
 */
limited: boolean,
/**
 * The cameras of a viewer that is limited to them; none if it is empty.
 */
cameras: Array<CameraGrant>,
/**
 * False: a viewer of all cameras may not hear them.
 */
listen?: boolean,
/**
 * True: a viewer of all cameras may also turn them, and zoom.
 */
control?: boolean, };

/**
 * A link that can be used once. The server shows it only now.
 */
export type Invitation = {
/**
 * The secret token in the link.
 */
token: string,
/**
 * The link, from the root of the dashboard: a path, and the token in the fragment, which
 * browsers send to no server.
 */
path: string,
/**
 * The time in seconds within which the link can be used.
 */
expiresInSeconds: number, };

/**
 * An invitation in the list of all. The link itself is not stored.
 */
export type InvitationInfo = {
/**
 * The number of the invitation, by which it is revoked.
 */
id: number,
/**
 * The person that it is for.
 */
name: string,
/**
 * True if it is for a user that exists, who sets a new password with it.
 */
reset: boolean,
/**
 * The name of the user or token that created it; absent if it is not known.
 */
giver?: string,
/**
 * The user or token that created it, as `user:3` or `token:7`: it is removed with that one.
 */
giverSubject?: string,
/**
 * The time of its creation, in seconds since 1970.
 */
createdS: number,
/**
 * The time at which it ends.
 */
expiresS: number,
/**
 * The role of the user.
 */
role: Role,
/**
 * True: a viewer may watch its `cameras` only; false: all, including ones added later.
 */
limited: boolean,
/**
 * The cameras of a viewer that is limited to them; none if it is empty.
 */
cameras: Array<CameraGrant>,
/**
 * False: a viewer of all cameras may not hear them.
 */
listen?: boolean,
/**
 * True: a viewer of all cameras may also turn them, and zoom.
 */
control?: boolean, };

/**
 * The invitations that can be accepted, the newest first.
 */
export type InvitationList = {
/**
 * The list itself, the newest first.
 */
invitations: Array<InvitationInfo>, };

/**
 * A request to read what an invitation offers.
 */
export type ReadInvitation = {
/**
 * The token in the link.
 */
token: string, };

/**
 * The offer to the holder of a link.
 */
export type InvitationOffer = {
/**
 * The name that is proposed, or that of the user whose password is reset.
 */
name: string,
/**
 * The role of the user.
 */
role: Role,
/**
 * True if the user exists and sets a new password.
 */
reset: boolean, };

/**
 * A request to accept an invitation.
 */
export type AcceptInvitation = {
/**
 * The token in the link.
 */
token: string,
/**
 * The name of the new user; absent for the one that is proposed. A reset does not change it.
 */
name?: string,
/**
 * The password: at least 10 characters.
 */
password: string, };

/**
 * A camera that a link shows.
 */
export type SharedCamera = {
/**
 * The address of the camera. It is bound to one gateway when the link is made; in a list it
 * names its gateway.
 */
camera: CameraAddress,
/**
 * True: the holder of the link also hears the camera.
 */
listen?: boolean, };

/**
 * A request to make a link.
 */
export type NewShare = {
/**
 * The display name, which the holder of the link sees, too.
 */
name: string,
/**
 * The cameras that it shows, 1 to 16.
 */
cameras: Array<SharedCamera>,
/**
 * The lifetime of the link in seconds, at most a year; a day if it is absent.
 */
expiresInSeconds?: number,
/**
 * The password without which the link shows nothing: at least 10 characters.
 */
password?: string,
/**
 * The most that each gateway sends at a time to all who use the link, in kbit/s, 64 to
 * 1 000 000; if absent, there is no limit.
 */
maxKbitPerS?: number,
/**
 * True: the page is for a screen on a wall. It shows pictures without controls, and asks for
 * the password once.
 */
kiosk?: boolean, };

/**
 * A link that shows cameras. The server shows it only now.
 */
export type ShareLink = {
/**
 * The secret token in the link.
 */
token: string,
/**
 * The link, from the root of the dashboard: a path, and the token in the fragment, which
 * browsers send to no server.
 */
path: string,
/**
 * The time in seconds for which the link works.
 */
expiresInSeconds: number, };

/**
 * A share in the list of all. The link itself is not stored.
 */
export type ShareInfo = {
/**
 * The number of the share, by which it is revoked.
 */
id: number,
/**
 * The display name.
 */
name: string,
/**
 * The cameras that it shows, each with its gateway.
 */
cameras: Array<SharedCamera>,
/**
 * True if it has a password.
 */
password: boolean,
/**
 * True if its page is for a screen on a wall.
 */
kiosk: boolean,
/**
 * The most that each gateway sends at a time to all who use it, in kbit/s; absent if there is
 * no limit.
 */
maxKbitPerS?: number,
/**
 * The name of the user or token that created it; absent if it is not known.
 */
giver?: string,
/**
 * The user or token that created it, such as `user:1`; absent if it is not known.
 */
giverSubject?: string,
/**
 * The time of its creation, in seconds since 1970.
 */
createdS: number,
/**
 * The time at which it ends.
 */
expiresS: number,
/**
 * The time at which it was used last, to the minute; absent if it never was.
 */
seenS?: number, };

/**
 * The shares whose links work, the newest first.
 */
export type ShareList = {
/**
 * The list itself, the newest first.
 */
shares: Array<ShareInfo>, };

/**
 * A request of the holder of a link to use it.
 */
export type OpenShare = {
/**
 * The token in the link, or the one of an [`OpenedShare`] that is used again.
 */
token: string,
/**
 * The password. Without it, the refusal has `needsPassword` if there is one.
 */
password?: string, };

/**
 * A share that can be watched.
 */
export type OpenedShare = {
/**
 * The access token with which to watch, as with any other. With a password it says that the
 * password was right, and does so for a day, for a screen on a wall as long as the link works.
 */
token: string,
/**
 * The display name.
 */
name: string,
/**
 * True if the page is for a screen on a wall.
 */
kiosk: boolean,
/**
 * The time in seconds for which the link still works.
 */
expiresInSeconds: number, };

/**
 * A browser that is signed in.
 */
export type SignInInfo = {
/**
 * The id of the sign-in, by which it is revoked.
 */
id: string,
/**
 * The name of the user.
 */
user: string,
/**
 * True if it is the one of this request.
 */
current: boolean,
/**
 * The time of the sign-in, in seconds since 1970; absent if it is not known.
 */
createdS?: number,
/**
 * The time at which it ends.
 */
expiresS: number,
/**
 * The time at which it was used last, to the minute; absent if it is not known.
 */
seenS?: number,
/**
 * The address from which the user has signed in.
 */
address?: string,
/**
 * The name that the browser gives itself.
 */
browser?: string,
/**
 * The name of the account at the provider with which the user has signed in; absent without.
 */
account?: string, };

/**
 * The browsers that are signed in, the latest first: all for an admin, else one's own.
 */
export type SignInList = {
/**
 * The sign-ins.
 */
signIns: Array<SignInInfo>, };

/**
 * A claim code that no gateway has used yet. The code itself is not stored.
 */
export type ClaimInfo = {
/**
 * The id of the claim code, by which it is revoked.
 */
id: string,
/**
 * The name of the user or token that created it; absent if it is not known.
 */
giver?: string,
/**
 * The user or token that created it, as `user:3` or `token:7`: it is removed with that one.
 */
giverSubject?: string,
/**
 * The time of its creation, in seconds since 1970; absent if it is not known.
 */
createdS?: number,
/**
 * The time at which it ends.
 */
expiresS: number,
/**
 * The gateway whose place the new one takes.
 */
replaces?: GatewayId, };

/**
 * The claim codes that can be used, the latest first.
 */
export type ClaimList = {
/**
 * The claim codes.
 */
claims: Array<ClaimInfo>, };

/**
 * Counts of everything that one request has removed, the object itself included.
 */
export type Removed = {
/**
 * The number of users.
 */
users: number,
/**
 * The number of browsers that were signed in.
 */
signIns: number,
/**
 * The number of tokens: those that it has given, and those that they have given, too.
 */
tokens: number,
/**
 * The number of claim codes.
 */
claims: number,
/**
 * The number of invitations that nobody has accepted.
 */
invitations: number,
/**
 * The number of links that show cameras.
 */
shares: number,
/**
 * The number of gateways.
 */
gateways: number,
/**
 * The number of cameras.
 */
cameras: number,
/**
 * The number of rights of users and tokens to single cameras.
 */
grants: number,
/**
 * The number of sessions: pictures that somebody was watching.
 */
sessions: number, };

/**
 * Names of access tokens, invitations and share links that a removal takes with it; of each kind
 * [`RemovedNames::MAX`] at most.
 */
export type RemovedNames = {
/**
 * Names of access tokens.
 */
tokens: Array<string>,
/**
 * Names of people who were invited.
 */
invitations: Array<string>,
/**
 * Names of share links.
 */
shares: Array<string>, };

/**
 * The things that a removal would take, if it were made now.
 */
export type Foreseen = {
/**
 * The counts, the object itself included.
 */
removed: Removed,
/**
 * Names of those that go with the object, some of each kind.
 */
names: RemovedNames, };

/**
 * A kind of event in the audit log.
 */
export type AuditKind = "setUp" | "signedIn" | "signInFailed" | "codeMissing" | "signedOut" | "giftRefused" | "tokenCreated" | "tokenRevoked" | "claimCreated" | "claimRevoked" | "gatewayEnrolled" | "enrolmentRefused" | "gatewayRemoved" | "userRemoved" | "userReset" | "userChanged" | "invitationCreated" | "invitationRevoked" | "invitationAccepted" | "passwordChanged" | "secondFactorAdded" | "secondFactorRemoved" | "shareCreated" | "shareRevoked" | "shareOpened" | "shareRefused" | "passkeyAdded" | "passkeyRemoved" | "passkeyRefused" | "passkeyCopied" | "identityAdded" | "identityRemoved" | "identityRefused" | "userJoined" | "cameraRemoved" | "cameraRightsEnded" | "cameraReleased" | "cameraAdded" | "cameraChanged" | "cameraReaddressed" | "gatewayRenamed";

/**
 * An event in the audit log, or several of one kind in a row.
 */
export type AuditEvent = {
/**
 * The number of the event; later ones have higher numbers.
 */
id: number,
/**
 * The kind of event.
 */
kind: AuditKind,
/**
 * The time of the first, in seconds since 1970.
 */
firstS: number,
/**
 * The time of the last.
 */
lastS: number,
/**
 * The number of events: equal ones of an hour that change nothing are counted together.
 */
count: number,
/**
 * The name of the user or token that has done it; `operator` for a command on the host.
 */
actor?: string,
/**
 * The user or token whose name that is, such as `user:1` or `token:12`: a token may have the
 * name of a user. Unknown for events that an earlier version has written.
 */
actorSubject?: string,
/**
 * The name of the object that it was done to.
 */
object?: string,
/**
 * The address from which it was done, if it is known; of several, that of the last.
 */
address?: string, };

/**
 * A page of the audit log, the newest events first.
 */
export type AuditList = {
/**
 * The events of the page. If there are none, the log is at its end.
 */
events: Array<AuditEvent>, };

/**
 * The body of a refused request.
 */
export type ErrorBody = {
/**
 * One sentence that says what to do.
 */
error: string,
/**
 * True if the same request with the code of the second factor may succeed.
 */
needsCode?: boolean,
/**
 * True if the same request with the password of the link may succeed.
 */
needsPassword?: boolean, };

/** The requests that a client sends to the server. */
export type ClientRequests = {
  register: { params: RegisterParams; result: RegisterResult };
  unregister: { params: Empty; result: Empty };
  portholePing: { params: Empty; result: Empty };
  connect: { params: ConnectParams; result: ConnectResult };
  extend: { params: ExtendParams; result: ExtendResult };
  portholeSealingKey: { params: GatewayParams; result: SealingKeyResult };
  portholeDiscover: { params: DiscoverParams; result: DiscoverResult };
  portholeProbe: { params: ProbeParams; result: ProbeResult };
  portholeReadConfiguration: { params: ReadConfigurationParams; result: ReadConfigurationResult };
  portholeStoredCameras: { params: GatewayParams; result: StoredCamerasResult };
  portholeAddCamera: { params: AddCameraParams; result: ChangedResult };
  portholeChangeCamera: { params: ChangeCameraParams; result: ChangedResult };
  portholeRemoveCamera: { params: RemoveCameraParams; result: RemovedResult };
  portholeMove: { params: MoveParams; result: Empty };
  portholePresets: { params: CameraParams; result: PresetsResult };
  portholeGoToPreset: { params: PresetParams; result: Empty };
  portholeSavePreset: { params: SavePresetParams; result: Preset };
  portholeRemovePreset: { params: PresetParams; result: Empty };
  portholeCheckSettings: { params: CameraParams; result: CheckSettingsResult };
  portholeApplySettings: { params: ApplySettingsParams; result: ApplySettingsResult };
};

/** The requests that the server sends to a client. */
export type ServerRequests = {
  invite: { params: InviteParams; result: InviteResult };
};

/** The notifications that a client sends to the server. */
export type ClientNotifications = {
  trickle: { params: TrickleParams };
  portholeClose: { params: SessionParams };
  portholeCancel: { params: CancelParams };
};

/** The notifications that the server sends to a client. */
export type ServerNotifications = {
  trickle: { params: TrickleParams };
  portholeCameras: { params: CamerasParams };
  portholeIceServers: { params: IceServersParams };
  portholeProgress: { params: ProgressParams };
  portholeShown: { params: ShownParams };
  portholeClose: { params: SessionParams };
};

/** The WebSocket sub-protocol of the signaling. */
export const SUBPROTOCOL = "webrtc.onvif.org";

/** The path at which the server accepts WebSockets. */
export const WEBSOCKET_PATH = "/ws";

/** The longest WebSocket message that a server accepts, in bytes. */
export const MAX_MESSAGE_BYTES = 65536;

/** The longest WebSocket message that a client accepts, in bytes. */
export const MAX_CLIENT_MESSAGE_BYTES = 4194304;

/** The time in milliseconds for which a movement goes on by itself. */
export const MOVE_LEASE_MS = 1000;

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
