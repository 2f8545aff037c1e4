//! A server for the tests of rights, with a credential for each kind of caller and a gateway that
//! answers every offer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use http::header;
use porthole_signaling_core::{Action, ConnId, Principal, TurnConfig, TurnServer};
use porthole_signaling_proto::identity::{
    GatewayToken, enroll_message, gateway_id, register_message,
};
use porthole_signaling_proto::method::{
    Challenge, Empty, Enroll, EnrollParams, Method, Offer, OfferResult, Register, RegisterParams,
    Report, ReportParams,
};
use porthole_signaling_proto::rest::{
    CameraGrant, NewInvitation, NewShare, NewToken, Role, Scope, SharedCamera, UserAccess,
};
use porthole_signaling_proto::rpc::{Message, RequestId};
use porthole_signaling_proto::{CameraReport, CameraState, rpc};
use tower::ServiceExt as _;

use super::super::{App, router};
use crate::admin::{by_operator, enrolment_by_operator, operator};
use crate::caller::{COOKIE, Caller};
use crate::config::{Config, Join, OpenidConnect};
use crate::driver::Socket;
use crate::listener::ClientAddress;
use crate::outbox::{Outbox, OutboxReader};
use crate::secret;
use crate::server::Server;
use crate::store::{Acceptance, Entry, Store};

/// The kinds of callers, in the order of the columns. The first gateway has the cameras `cam` and
/// `other`, the second has a `cam` of its own. A token for cameras is limited to them; they are
/// those of the first gateway unless its name says more.
pub(super) const CALLERS: [&str; 30] = [
    "nobody",
    "unknown token",
    "expired token",
    "gateway",
    "token",
    "token for cam",
    "token for other",
    "owner of the session, for cam",
    "expired cookie",
    "viewer's cookie",
    "admin token",
    "admin token for other",
    "admin's cookie",
    "token for cam of the second gateway",
    "owner's cookie",
    "cookie of a viewer of cam",
    "revoked token",
    "share of cam",
    "expired share",
    "revoked share",
    "share without its password",
    // Tokens of admins, each with one scope, and one that shares what it watches.
    "scope watch",
    "scope gateways",
    "scope people",
    "scopes shares and watch",
    "scope read",
    "scope audit",
    "cookie that was signed out",
    "cookie of a user who was removed",
    "invited viewer without cameras",
];
/// The index of the owner in [`CALLERS`].
const OWNER: usize = 7;

pub(super) struct Scene {
    app: Arc<App>,
    _server: Server,
    _data: tempfile::TempDir,
    /// A header for each of [`CALLERS`].
    credentials: [Option<(&'static str, String)>; CALLERS.len()],
}

impl Scene {
    pub(super) async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut config = Config::new(([127, 0, 0, 1], 0).into(), data.path());
        let turn_server = TurnServer {
            name: "main".to_owned(),
            urls: vec!["turn:127.0.0.1:3478?transport=udp".to_owned()],
            secret: b"secret".to_vec(),
            weight: TurnServer::USUAL_WEIGHT,
            region: None,
        };
        let (servers, lifetime) = (vec![turn_server], Duration::from_secs(600));
        config.turn = Some(TurnConfig { servers, lifetime });
        config.openid_connect = Some(absent_provider());
        let server = Server::bind(config).await.unwrap();
        let app = server.app();
        let token = connect_gateway(&app, 1, &["cam", "other"]).await;
        connect_gateway(&app, 2, &["cam"]).await;
        let credentials = credentials(&app, token).await;
        Self { app, _server: server, _data: data, credentials }
    }

    /// Sends a request as one of [`CALLERS`].
    pub(super) async fn send(
        &self,
        caller: usize,
        method: &str,
        path: &str,
        media_type: &str,
        body: impl Into<Body>,
    ) -> Response {
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", media_type)
            .header("if-match", "*")
            // Each caller has an address of its own, as the attempts to sign in are counted by it.
            .extension(ClientAddress([10, 0, 0, u8::try_from(caller).unwrap()].into()));
        if let Some((name, value)) = &self.credentials[caller] {
            request = request.header(*name, value);
        }
        router(&self.app).oneshot(request.body(body.into()).unwrap()).await.unwrap()
    }

    /// Returns the principal of one of [`CALLERS`]; `None` if its credential is none.
    pub(super) async fn principal(&self, caller: usize) -> Option<Principal> {
        let (name, value) = self.credentials[caller].as_ref()?;
        let headers = [(name.parse().unwrap(), value.parse().unwrap())].into_iter().collect();
        let uri = "/".parse().unwrap();
        let found = Caller::identify(&self.app.driver, &headers, &uri, false, COOKIE);
        found.await.ok().and_then(|caller| caller.principal)
    }

    pub(super) fn store(&self) -> &Store {
        &self.app.driver.store
    }

    /// Returns the principal of a token.
    pub(super) async fn owner_of(&self, token: &str) -> Principal {
        self.app.driver.authenticate_token(token).await.unwrap()
    }

    /// Starts a session of the owner with `cam`. Returns its id.
    pub(super) async fn start_session(&self) -> String {
        let response = self.send(OWNER, "POST", "/whep/cam", super::SDP, super::OFFER).await;
        let location = response.headers()[header::LOCATION].to_str().unwrap();
        location.rsplit_once('/').unwrap().1.to_owned()
    }

    pub(super) async fn end(self) {
        self.app.driver.with(|hub, _| hub.close());
        self.app.driver.store.close().await;
    }
}

/// Returns the settings of a provider that is not there: a port at which nothing listens.
fn absent_provider() -> OpenidConnect {
    OpenidConnect {
        issuer: "http://127.0.0.1:1".to_owned(),
        client_id: "porthole".to_owned(),
        client_secret: None,
        name: "Provider".to_owned(),
        scopes: Vec::new(),
        name_claim: "name".to_owned(),
        join: Join::Viewer,
        email_domains: Vec::new(),
        groups: Vec::new(),
        groups_claim: "groups".to_owned(),
        authorities: Vec::new(),
    }
}

async fn credentials(
    app: &App,
    gateway: String,
) -> [Option<(&'static str, String)>; CALLERS.len()] {
    let store = &app.driver.store;
    let granted = operator(Action::CreateToken).unwrap();
    let bearer = |token: String| Some(("authorization", format!("Bearer {token}")));
    let token = async |role, cameras: &[&str], expires_in_seconds| {
        let cameras = cameras.iter().map(|address| named(address).parse().unwrap()).collect();
        let new = NewToken {
            name: "t".into(),
            role,
            cameras,
            control: false,
            listen: true,
            scopes: None,
            max_kbit_per_s: None,
            expires_in_seconds,
        };
        bearer(store.create_token(&granted, &new).await.unwrap().token)
    };
    let scoped = async |scopes: &[Scope]| bearer(limited_to(store, scopes).await);
    // The first of all, and the expired one the last, because a new one clears those away.
    let locked = share(store, Some("hash"), 3600).await;
    let [live, gone] = [share(store, None, 3600).await, revoked_share(store).await];
    let ended = share(store, None, 0).await;
    let [viewer, admin, owner, limited, expired, signed_out, removed, invited] =
        cookies(store).await.map(|cookie| Some(("cookie", format!("{COOKIE}={cookie}"))));
    [
        None,
        bearer(secret::new_token()),
        token(Role::Admin, &[], Some(0)).await,
        bearer(gateway),
        token(Role::Viewer, &[], None).await,
        token(Role::Viewer, &["cam@FIRST"], None).await,
        token(Role::Viewer, &["other@FIRST"], None).await,
        token(Role::Viewer, &["cam@FIRST"], None).await,
        expired,
        viewer,
        token(Role::Admin, &[], None).await,
        token(Role::Admin, &["other@FIRST"], None).await,
        admin,
        token(Role::Viewer, &["cam@SECOND"], None).await,
        owner,
        limited,
        revoked(store).await,
        live,
        ended,
        gone,
        locked,
        scoped(&[Scope::Watch]).await,
        scoped(&[Scope::Gateways]).await,
        scoped(&[Scope::People]).await,
        scoped(&[Scope::Shares, Scope::Watch]).await,
        scoped(&[Scope::Read]).await,
        scoped(&[Scope::Audit]).await,
        signed_out,
        removed,
        invited,
    ]
}

/// Returns the cookies of a viewer, an admin, an owner, a viewer of `cam`, an expired one, one that
/// was signed out, one whose user was removed, and one of a viewer who sees nothing.
async fn cookies(store: &Store) -> [String; 8] {
    let cookie = async |name: &str, role| store.create_user_for_test(name, role).await;
    let viewer = cookie("bob", Role::Viewer).await;
    let admin = cookie("ann", Role::Admin).await;
    let owner = cookie("eve", Role::Owner).await;
    let limited = cookie("dan", Role::Viewer).await;
    limit_to_cam(store, "dan").await;
    let signed_out = cookie("fay", Role::Admin).await;
    store.delete_cookie(&signed_out).await.unwrap().unwrap();
    let removed = cookie("gus", Role::Owner).await;
    let gone = store.find_user("gus").await.unwrap().unwrap().id;
    let granted = by_operator(Action::RemoveUser).unwrap();
    store.remove_user(&granted, gone).await.unwrap().unwrap();
    let invited = invited(store).await;
    // The last, because a new cookie clears away expired ones.
    let expired = cookie("cid", Role::Admin).await;
    store.expire_cookies_for_test("cid").await;
    [viewer, admin, owner, limited, expired, signed_out, removed, invited]
}

/// Returns the cookie of somebody who has accepted an invitation to see no camera.
async fn invited(store: &Store) -> String {
    let access = UserAccess {
        role: Role::Viewer,
        limited: true,
        cameras: Vec::new(),
        listen: false,
        control: false,
    };
    let new = NewInvitation { name: "hal".into(), access, expires_in_seconds: None };
    let giver = operator(Action::InvitePerson).unwrap();
    let link = store.create_invitation(&giver, &new).await.unwrap();
    let (here, no_password) = ([127, 0, 0, 1].into(), Entry::Password(""));
    let accepted = store.accept_invitation(&link.token, "hal", no_password, here).await.unwrap();
    let Acceptance::Joined(user, means) = accepted else { panic!("{accepted:?}") };
    store.create_cookie(&user, means, here, None).await.unwrap().unwrap()
}

/// Creates a token of an admin with these scopes.
async fn limited_to(store: &Store, scopes: &[Scope]) -> String {
    let new = NewToken {
        name: "t".into(),
        role: Role::Admin,
        cameras: Vec::new(),
        control: false,
        listen: true,
        scopes: Some(scopes.to_vec()),
        max_kbit_per_s: None,
        expires_in_seconds: None,
    };
    store.create_token(&operator(Action::CreateToken).unwrap(), &new).await.unwrap().token
}

/// Limits a user to `cam` of the first gateway.
async fn limit_to_cam(store: &Store, name: &str) {
    let user = store.find_user(name).await.unwrap().unwrap().id;
    let camera =
        CameraGrant { camera: named("cam@FIRST").parse().unwrap(), listen: true, control: false };
    let (listen, control) = (false, false);
    let cameras = vec![camera];
    let access = UserAccess { role: Role::Viewer, limited: true, cameras, listen, control };
    let (granted, giver) = (by_operator(Action::ChangeUser), operator(Action::InvitePerson));
    let changed = store.change_user(&granted.unwrap(), &giver.unwrap(), user, &access).await;
    changed.unwrap().unwrap();
}

/// Returns the header with the token of an admin that was revoked.
async fn revoked(store: &Store) -> Option<(&'static str, String)> {
    let new = NewToken {
        name: "revoked".into(),
        role: Role::Admin,
        cameras: Vec::new(),
        control: false,
        listen: true,
        scopes: None,
        max_kbit_per_s: None,
        expires_in_seconds: None,
    };
    let token = store.create_token(&operator(Action::CreateToken).unwrap(), &new).await.unwrap();
    let granted = by_operator(Action::RevokeToken).unwrap();
    let newest = store.tokens(&granted).await.unwrap()[0].id;
    store.remove_token(&granted, newest).await.unwrap().unwrap();
    Some(("authorization", format!("Bearer {}", token.token)))
}

/// Returns the header with the token in a link that shows `cam` of the first gateway.
async fn share(
    store: &Store,
    password: Option<&str>,
    lifetime_s: u32,
) -> Option<(&'static str, String)> {
    let new = NewShare {
        name: "s".into(),
        cameras: vec![SharedCamera { camera: named("cam@FIRST").parse().unwrap(), listen: true }],
        expires_in_seconds: Some(lifetime_s),
        password: None,
        max_kbit_per_s: None,
        kiosk: false,
    };
    let giver = operator(Action::CreateShare).unwrap();
    let token = store.create_share(&giver, &new, password).await.unwrap().token;
    Some(("authorization", format!("Bearer {token}")))
}

/// Returns the header with the token of such a link that was revoked.
async fn revoked_share(store: &Store) -> Option<(&'static str, String)> {
    let header = share(store, None, 3600).await;
    let granted = by_operator(Action::RevokeShare).unwrap();
    let newest = store.shares(&granted).await.unwrap()[0].id;
    store.remove_share(&granted, newest).await.unwrap().unwrap();
    header
}

/// Returns an address in which the ids of the gateways stand for `FIRST` and `SECOND`.
pub(super) fn named(address: &str) -> String {
    let id = |seed| gateway_id(&SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes());
    address.replace("FIRST", id(1).as_str()).replace("SECOND", id(2).as_str())
}

/// Connects a gateway with this key and these cameras, which answers every offer. Returns the token
/// that it has registered with.
async fn connect_gateway(app: &Arc<App>, seed: u8, cameras: &[&str]) -> String {
    let (outbox, mut reader) = Outbox::new();
    let conn = app.driver.open(Socket { outbox, place: None }, None);
    let key = SigningKey::from_bytes(&[seed; 32]);
    let sign = |message: &[u8]| URL_SAFE_NO_PAD.encode(key.sign(message).to_bytes());
    let public_key = key.verifying_key().to_bytes();
    let granted = enrolment_by_operator().unwrap();
    let claim = app.driver.store.create_claim(&granted, None).await.unwrap().code;

    let nonce = call::<Challenge>(app, conn, &mut reader, &Empty {}).await.nonce;
    let signature = sign(&enroll_message(None, &nonce, &claim));
    let name = "Barn".to_owned();
    let public = URL_SAFE_NO_PAD.encode(public_key);
    let params = EnrollParams { claim, public_key: public, origin: None, signature, name };
    call::<Enroll>(app, conn, &mut reader, &params).await;
    let nonce = call::<Challenge>(app, conn, &mut reader, &Empty {}).await.nonce;
    let id = gateway_id(&public_key);
    let signature = sign(&register_message(None, &nonce, &id));
    let token = GatewayToken { id, origin: None, signature }.to_string();
    let params = RegisterParams { authorization: Some(token.clone()), ..Default::default() };
    call::<Register>(app, conn, &mut reader, &params).await;
    let cameras = cameras.iter().map(|id| camera(id)).collect();
    let params = ReportParams { cameras, ..Default::default() };
    call::<Report>(app, conn, &mut reader, &params).await;
    tokio::spawn(answer_offers(Arc::clone(app), conn, reader));
    token
}

fn camera(id: &str) -> CameraReport {
    CameraReport::new(id.parse().unwrap(), id.to_owned(), CameraState::Idle)
}

/// Sends a request of the gateway and returns the result.
async fn call<M: Method>(
    app: &Arc<App>,
    conn: ConnId,
    reader: &mut OutboxReader,
    params: &M::Params,
) -> M::Result {
    let request = Message::request::<M>(1, params);
    app.driver.with(|hub, now| hub.handle_message(now, conn, Ok(request)));
    loop {
        let message = Message::from_json(&reader.next().await.unwrap()).unwrap();
        if let Message::Response { id: Some(RequestId::Number(1)), outcome } = message {
            return rpc::read(outcome.unwrap()).unwrap();
        }
    }
}

async fn answer_offers(app: Arc<App>, conn: ConnId, mut reader: OutboxReader) {
    while let Ok(json) = reader.next().await {
        if let Ok(Message::Request { id, .. }) = Message::from_json(&json) {
            let answer = Message::result::<Offer>(id, &OfferResult { answer: "a".to_owned() });
            app.driver.with(|hub, now| hub.handle_message(now, conn, Ok(answer)));
        }
    }
}
