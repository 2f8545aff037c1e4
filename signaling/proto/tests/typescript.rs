//! Checks that `web/src/protocol/index.ts` holds the TypeScript of every message. If the file is
//! out of date, the test writes it and fails: run it again, and commit what it wrote.

#![expect(clippy::unwrap_used, reason = "only a test is in here")]

use std::fmt::Write as _;
use std::path::Path;

use porthole_signaling_proto::method::{Method, Notification};
use porthole_signaling_proto::rpc::code;
use porthole_signaling_proto::{
    Camera, CameraAddress, CameraId, CameraPermission, CameraReport, CameraState, ControlReport,
    GatewayId, IceCandidate, IceServer, MAX_CLIENT_MESSAGE_BYTES, MAX_MESSAGE_BYTES, MotionReport,
    SUBPROTOCOL, SessionId, SoundReport, StreamReport, StreamRole, WEBSOCKET_PATH, control, manage,
    method, rest, rpc,
};
use ts_rs::{Config, TS};

const HEADER: &str = "\
// Generated from signaling/proto by `cargo test -p porthole-signaling-proto`. Do not edit.
";

#[test]
fn the_dashboard_speaks_the_same_protocol() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/src/protocol/index.ts");
    let folder = file.parent().unwrap();
    std::fs::create_dir_all(folder).unwrap();
    let mut text = String::from(HEADER);
    types(&mut text);
    methods(&mut text);
    constants(&mut text);
    let text: String = text.lines().flat_map(|line| [line.trim_end(), "\n"]).collect();
    // Written only when it changed, so that nothing is rebuilt for its date.
    let is_current = std::fs::read_to_string(&file).ok().as_deref() == Some(&text);
    if !is_current {
        std::fs::write(&file, text).unwrap();
    }
    assert!(is_current, "web/src/protocol/index.ts was out of date; it is written now: commit it");
}

fn types(text: &mut String) {
    let config = Config::default();
    macro_rules! write_types {
        ($($name:ty),* $(,)?) => {
            $(
                text.push('\n');
                if let Some(docs) = <$name as TS>::docs() {
                    text.push_str(&docs);
                }
                writeln!(text, "export {}", <$name as TS>::decl(&config)).unwrap();
            )*
        };
    }
    write_types!(
        CameraId,
        GatewayId,
        CameraAddress,
        SessionId,
        CameraState,
        StreamRole,
        StreamReport,
        ControlReport,
        MotionReport,
        SoundReport,
        CameraReport,
        CameraPermission,
        Camera,
        IceServer,
        IceCandidate,
        rpc::RequestId,
        rpc::Fault,
        method::Empty,
        method::RegisterParams,
        method::RegisterResult,
        method::ConnectParams,
        method::ConnectResult,
        method::RateCap,
        method::ConnectDeviceParams,
        method::ConnectDeviceResult,
        method::InviteParams,
        method::InviteResult,
        method::TrickleParams,
        method::ExtendParams,
        method::ExtendResult,
        method::ChallengeResult,
        method::EnrollParams,
        method::EnrollResult,
        method::ReportParams,
        method::ReportResult,
        method::RefusedCamera,
        method::CamerasParams,
        method::IceServersParams,
        method::ShownPicture,
        method::ShownReason,
        method::ShownParams,
        method::SessionParams,
        method::OfferParams,
        method::OfferResult,
        method::RestartParams,
        method::RestartResult,
        manage::GatewayParams,
        manage::SealingKeyResult,
        manage::Sealed,
        manage::Login,
        manage::DiscoverParams,
        manage::DiscoverResult,
        manage::FoundDevice,
        manage::ProbeParams,
        manage::ProbeProgress,
        manage::ImportChoice,
        manage::ReadConfigurationParams,
        manage::ReadConfigurationResult,
        manage::ImportEntry,
        manage::ImportLogin,
        manage::ImportNote,
        manage::ProbedDevice,
        manage::ProbeFinding,
        manage::ProbedCamera,
        manage::ProbedStream,
        manage::ProbeResult,
        manage::StoredCamerasResult,
        manage::CameraOrigin,
        manage::StoredCamera,
        manage::AddCameraParams,
        manage::ChangeCameraParams,
        manage::RemoveCameraParams,
        manage::ChangedResult,
        manage::RemovedResult,
        manage::ProgressParams,
        manage::CancelParams,
        control::CameraParams,
        control::MoveParams,
        control::PresetParams,
        control::SavePresetParams,
        control::Preset,
        control::PresetsResult,
        control::SettingChange,
        control::CheckSettingsResult,
        control::ApplySettingsParams,
        control::ApplySettingsResult,
        rest::Role,
        rest::Setup,
        rest::SignIn,
        rest::Me,
        rest::ChangePassword,
        rest::SecondFactor,
        rest::OwnPassword,
        rest::OwnProof,
        rest::TotpSecret,
        rest::OneCode,
        rest::PasswordAndCode,
        rest::RecoveryCodes,
        rest::SignInProvider,
        rest::SignInWays,
        rest::ProviderSignIn,
        rest::ProviderInvitation,
        rest::ProviderRequest,
        rest::ProviderAnswer,
        rest::IdentityInfo,
        rest::IdentityList,
        rest::PasskeyRequest,
        rest::PasskeySignIn,
        rest::PasskeyCreation,
        rest::NewPasskey,
        rest::PasskeyInfo,
        rest::PasskeyList,
        rest::CameraList,
        rest::IceServerList,
        rest::Age,
        rest::Gateway,
        rest::GatewayList,
        rest::RenameGateway,
        rest::NewClaim,
        rest::Claim,
        rest::Scope,
        rest::NewToken,
        rest::Token,
        rest::TokenInfo,
        rest::TokenList,
        rest::CameraGrant,
        rest::UserAccess,
        rest::UserInfo,
        rest::UserList,
        rest::NewInvitation,
        rest::Invitation,
        rest::InvitationInfo,
        rest::InvitationList,
        rest::ReadInvitation,
        rest::InvitationOffer,
        rest::AcceptInvitation,
        rest::SharedCamera,
        rest::NewShare,
        rest::ShareLink,
        rest::ShareInfo,
        rest::ShareList,
        rest::OpenShare,
        rest::OpenedShare,
        rest::SignInInfo,
        rest::SignInList,
        rest::ClaimInfo,
        rest::ClaimList,
        rest::Removed,
        rest::RemovedNames,
        rest::Foreseen,
        rest::AuditKind,
        rest::AuditEvent,
        rest::AuditList,
        rest::Error,
    );
}

/// Writes the requests and notifications of clients. The dashboard does not use those of gateways.
fn methods(text: &mut String) {
    let clients = [
        request::<method::Register>(),
        request::<method::Unregister>(),
        request::<method::Ping>(),
        request::<method::Connect>(),
        request::<method::Extend>(),
        request::<method::SealingKey>(),
        request::<method::Discover>(),
        request::<method::Probe>(),
        request::<method::ReadConfiguration>(),
        request::<method::StoredCameras>(),
        request::<method::AddCamera>(),
        request::<method::ChangeCamera>(),
        request::<method::RemoveCamera>(),
        request::<method::Move>(),
        request::<method::Presets>(),
        request::<method::GoToPreset>(),
        request::<method::SavePreset>(),
        request::<method::RemovePreset>(),
        request::<method::CheckSettings>(),
        request::<method::ApplySettings>(),
    ];
    map(text, "ClientRequests", "The requests that a client sends to the server.", &clients);
    let invite = [request::<method::Invite>()];
    map(text, "ServerRequests", "The requests that the server sends to a client.", &invite);
    let notifications = [
        notification::<method::Trickle>(),
        notification::<method::Close>(),
        notification::<method::Cancel>(),
    ];
    map(
        text,
        "ClientNotifications",
        "The notifications that a client sends to the server.",
        &notifications,
    );
    let [trickle, close, _] = notifications;
    let notifications = [
        trickle,
        notification::<method::Cameras>(),
        notification::<method::IceServers>(),
        notification::<method::Progress>(),
        notification::<method::Shown>(),
        close,
    ];
    map(
        text,
        "ServerNotifications",
        "The notifications that the server sends to a client.",
        &notifications,
    );
}

fn request<M: Method<Params: TS, Result: TS>>() -> String {
    let config = Config::default();
    let (params, result) = (M::Params::name(&config), M::Result::name(&config));
    format!("{}: {{ params: {params}; result: {result} }};", M::NAME)
}

fn notification<N: Notification<Params: TS>>() -> String {
    format!("{}: {{ params: {} }};", N::NAME, N::Params::name(&Config::default()))
}

fn map(text: &mut String, name: &str, docs: &str, lines: &[String]) {
    writeln!(text, "\n/** {docs} */\nexport type {name} = {{").unwrap();
    for line in lines {
        writeln!(text, "  {line}").unwrap();
    }
    writeln!(text, "}};").unwrap();
}

fn constants(text: &mut String) {
    writeln!(text, "\n/** The WebSocket sub-protocol of the signaling. */").unwrap();
    writeln!(text, "export const SUBPROTOCOL = \"{SUBPROTOCOL}\";").unwrap();
    writeln!(text, "\n/** The path at which the server accepts WebSockets. */").unwrap();
    writeln!(text, "export const WEBSOCKET_PATH = \"{WEBSOCKET_PATH}\";").unwrap();
    writeln!(text, "\n/** The longest WebSocket message that a server accepts, in bytes. */")
        .unwrap();
    writeln!(text, "export const MAX_MESSAGE_BYTES = {MAX_MESSAGE_BYTES};").unwrap();
    writeln!(text, "\n/** The longest WebSocket message that a client accepts, in bytes. */")
        .unwrap();
    writeln!(text, "export const MAX_CLIENT_MESSAGE_BYTES = {MAX_CLIENT_MESSAGE_BYTES};").unwrap();
    writeln!(text, "\n/** The time in milliseconds for which a movement goes on by itself. */")
        .unwrap();
    writeln!(text, "export const MOVE_LEASE_MS = {};", control::MOVE_LEASE_MS).unwrap();
    writeln!(text, "\n/** The numbers that faults and errors carry. */").unwrap();
    writeln!(text, "export const code = {{").unwrap();
    macro_rules! codes {
        ($($name:ident),* $(,)?) => {
            $(writeln!(text, "  {}: {},", stringify!($name), code::$name).unwrap();)*
        };
    }
    codes!(
        PARSE_ERROR,
        INVALID_REQUEST,
        METHOD_NOT_FOUND,
        INVALID_PARAMS,
        BAD_REQUEST,
        UNAUTHORIZED,
        FORBIDDEN,
        NOT_FOUND,
        REQUEST_TIMEOUT,
        CONFLICT,
        GONE,
        TOO_MANY_REQUESTS,
        UNAVAILABLE,
        NO_VIDEO,
        INTERNAL_ERROR,
        STORAGE_FULL,
        INSUFFICIENT_RESOURCES,
        PEER_DISCONNECTED,
        MALFORMED_CANDIDATE,
    );
    text.push_str("} as const;\n");
}
