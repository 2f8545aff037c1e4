//! Tests of access rights: a row for every route, with a column for every kind of caller. The
//! expectations are written by hand. They say what must be, whatever the table of rights says.

mod giving;
mod scene;

use std::collections::BTreeSet;

use http::HeaderMap;

use super::*;
use scene::{CALLERS, Scene, named};

/// A status for each of [`CALLERS`].
type Statuses = [u16; CALLERS.len()];

struct Row {
    method: &'static str,
    /// The path, with `{camera}`, `{session}` and other ids as in the table of routes.
    path: &'static str,
    /// The address of the camera, or the id of another object, in the path, with `FIRST` and
    /// `SECOND` for the gateways.
    camera: &'static str,
    body: &'static str,
    media_type: &'static str,
    /// A status for each of [`CALLERS`].
    statuses: Statuses,
}

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const JSON: &str = "application/json";
const OFFER: &str = "a=ice-ufrag:abcd\r\n";
const TRICKLE: &str = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n";
const SIGN_IN: &str = r#"{"name": "nobody", "password": "0123456789"}"#;
const SETUP: &str = r#"{"token": "wrong", "name": "nobody", "password": "0123456789"}"#;
const NAME: &str = r#"{"name": "Barn"}"#;
const VIEWER: &str = r#"{"role": "viewer", "limited": true, "cameras": []}"#;
const OWNERSHIP: &str = r#"{"role": "owner", "limited": false}"#;
const INVITE: &str = r#"{"name": "n", "role": "viewer", "limited": false}"#;
const INVITE_TO_OTHER: &str = r#"{"name": "n", "role": "viewer", "limited": true,
    "cameras": [{"camera": "other@FIRST", "control": true}]}"#;
const INVITE_TO_NOTHING: &str =
    r#"{"name": "n", "role": "viewer", "limited": true, "cameras": []}"#;
const INVITE_OWNER: &str = r#"{"name": "n", "role": "owner", "limited": false}"#;
const LINK: &str = r#"{"token": "wrong", "password": "0123456789"}"#;
const WEAK: &str = r#"{"token": "wrong", "password": "012345678"}"#;
const SHARE_CAM: &str = r#"{"name": "n", "cameras": [{"camera": "cam@FIRST", "listen": true}]}"#;
const SHARE_OTHER: &str = r#"{"name": "n", "cameras": [{"camera": "other@FIRST"}]}"#;
const SHARE_NONE: &str = r#"{"name": "n", "cameras": [{"camera": "none"}]}"#;
const SHARE_NOTHING: &str = r#"{"name": "n", "cameras": []}"#;
const SHARE_TOO_FAST: &str = r#"{"name": "n", "cameras": [{"camera": "other@FIRST"}],
    "maxKbitPerS": 1000001}"#;
const SHARE_WEAK: &str = r#"{"name": "n", "cameras": [{"camera": "other@FIRST"}],
    "password": "012345678"}"#;
const PASSWORDS: &str = r#"{"old": "0123456789", "new": "9876543210"}"#;
const OWN: &str = r#"{"password": "0123456789", "code": "123456"}"#;
const CODE: &str = r#"{"code": "123456"}"#;
const PASSKEY: &str = r#"{"credential": "AAAA", "userHandle": "AAAA", "clientData": "AAAA",
    "authenticatorData": "AAAA", "signature": "AAAA"}"#;
const NEW_PASSKEY: &str = r#"{"name": "n", "clientData": "AAAA", "attestation": "AAAA"}"#;
const AWAY: &str = "{}";
const BACK: &str = r#"{"state": "AAAA", "code": "AAAA"}"#;
const TOKEN: &str = r#"{"name": "n", "role": "admin"}"#;
const TOKEN_TOO_SLOW: &str = r#"{"name": "n", "role": "viewer", "maxKbitPerS": 63}"#;
const TOKEN_FOR_NONE: &str = r#"{"name": "n", "role": "viewer", "cameras": ["none"]}"#;
const TOKEN_FOR_OTHER: &str = r#"{"name": "n", "role": "admin", "cameras": ["other@FIRST"]}"#;

/// Access for all, except that a token that is sent must be valid.
const OPEN: Statuses = [
    200, 401, 401, 401, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 401, 200, 401,
    401, 401, 200, 200, 200, 200, 200, 200, 200, 200, 200,
];
/// Access for everyone who is signed in.
const SIGNED_IN: Statuses = [
    401, 401, 401, 401, 200, 200, 200, 200, 401, 200, 200, 200, 200, 200, 200, 200, 401, 200, 401,
    401, 401, 200, 200, 200, 200, 200, 200, 401, 401, 200,
];
/// Access for admins of the whole server only.
const ADMINS: Statuses = [
    401, 401, 401, 401, 403, 403, 403, 403, 401, 403, 200, 403, 200, 403, 200, 403, 401, 403, 401,
    401, 401, 403, 403, 403, 403, 403, 403, 401, 401, 403,
];
/// Access for owners only.
const FOR_OWNERS: Statuses = [
    401, 401, 401, 401, 403, 403, 403, 403, 401, 403, 403, 403, 403, 403, 200, 403, 401, 403, 401,
    401, 401, 403, 403, 403, 403, 403, 403, 401, 401, 403,
];
/// Access for admins of the whole server, of whom the first removes the object.
const ONCE: Statuses = [
    401, 401, 401, 401, 403, 403, 403, 403, 401, 403, 200, 403, 404, 403, 404, 403, 401, 403, 401,
    401, 401, 403, 403, 403, 403, 403, 403, 401, 401, 403,
];
/// Access for those who have signed in with name and password.
const USERS: Statuses = [
    401, 401, 401, 401, 403, 403, 403, 403, 401, 200, 403, 403, 200, 403, 200, 200, 401, 403, 401,
    401, 401, 403, 403, 403, 403, 403, 403, 401, 401, 200,
];
/// Access for these, and for all admins of the whole server.
const USERS_AND_ADMINS: Statuses = [
    401, 401, 401, 401, 403, 403, 403, 403, 401, 200, 200, 403, 200, 403, 200, 200, 401, 403, 401,
    401, 401, 403, 403, 200, 403, 200, 403, 401, 401, 200,
];
/// Access for admins who may do everything with `other`.
const ADMINS_OF_OTHER: Statuses = [
    401, 401, 401, 401, 403, 403, 403, 403, 401, 403, 200, 200, 200, 403, 200, 403, 401, 403, 401,
    401, 401, 403, 403, 403, 403, 403, 403, 401, 401, 403,
];
/// Access for those who may watch `cam`, which is that of the first gateway.
const CAM: Statuses = [
    401, 401, 401, 401, 200, 200, 403, 200, 401, 200, 200, 403, 200, 403, 200, 200, 401, 200, 401,
    401, 401, 200, 403, 403, 200, 403, 403, 401, 401, 403,
];
/// Access for those who may watch every camera, of which there is none with this name.
const NO_CAM: Statuses = [
    401, 401, 401, 401, 404, 403, 403, 403, 401, 404, 404, 403, 404, 403, 404, 403, 401, 403, 401,
    401, 401, 404, 403, 403, 404, 403, 403, 401, 401, 403,
];
/// Access for those who may watch `cam` of the second gateway.
const CAM2: Statuses = [
    401, 401, 401, 401, 200, 403, 403, 403, 401, 200, 200, 403, 200, 200, 200, 403, 401, 403, 401,
    401, 401, 200, 403, 403, 200, 403, 403, 401, 401, 403,
];
/// Access for the owner of the session.
const OWNER: Statuses = [
    401, 401, 401, 401, 404, 404, 404, 200, 401, 404, 404, 404, 404, 404, 404, 404, 401, 404, 401,
    401, 401, 404, 404, 404, 404, 404, 404, 401, 401, 404,
];

/// Access for admins of the whole server, of whom the first removes the gateway.
const REMOVED: Statuses = with(&[GATEWAYS], 404, ONCE);

/// The columns of a token and of a link for nothing but cameras of the first gateway.
const OTHER: usize = 11;
const SHARE: usize = 17;
/// The column of the admin's cookie.
const ADMIN: usize = 12;
/// The columns of the tokens with scopes.
const WATCH: usize = 21;
const GATEWAYS: usize = 22;
const PEOPLE: usize = 23;
const SHARES: usize = 24;
const READ: usize = 25;
const AUDIT: usize = 26;

/// Access for all admins of the server, and for tokens with these scopes.
const fn scopes(columns: &[usize]) -> Statuses {
    with(columns, 200, ADMINS)
}

const TABLE: [Row; 112] = [
    row("GET", "/healthz", "", JSON, [200; CALLERS.len()]),
    row("GET", "/readyz", "", JSON, [200; CALLERS.len()]),
    // This server has no authority of its own.
    row("GET", "/ca.crt", "", JSON, [404; CALLERS.len()]),
    row("GET", "/trust", "", JSON, [404; CALLERS.len()]),
    row("GET", "/ws", "", JSON, instead(200, 426, OPEN)),
    row("POST", "/api/v1/setup", SETUP, JSON, instead(200, 403, OPEN)),
    row("POST", "/api/v1/session", SIGN_IN, JSON, [401; CALLERS.len()]),
    row("GET", "/api/v1/session", "", JSON, SIGNED_IN),
    row("DELETE", "/api/v1/session", "", JSON, instead(200, 204, SIGNED_IN)),
    row("GET", "/api/v1/cameras", "", JSON, with(&[PEOPLE, AUDIT], 403, SIGNED_IN)),
    row(
        "GET",
        "/api/v1/ice-servers",
        "",
        JSON,
        with(&[GATEWAYS, PEOPLE, READ, AUDIT], 403, SIGNED_IN),
    ),
    row("GET", "/api/v1/gateways", "", JSON, scopes(&[GATEWAYS, READ])),
    Row {
        camera: "FIRST",
        ..row(
            "PATCH",
            "/api/v1/gateways/{gateway}",
            NAME,
            JSON,
            instead(200, 204, scopes(&[GATEWAYS])),
        )
    },
    Row {
        camera: "gw-none",
        ..row(
            "PATCH",
            "/api/v1/gateways/{gateway}",
            NAME,
            JSON,
            instead(200, 404, scopes(&[GATEWAYS])),
        )
    },
    of("none", "DELETE", "/api/v1/gateways/{gateway}", instead(200, 404, scopes(&[GATEWAYS]))),
    // The first admin removes it, and with it the token and the link for nothing but its cameras.
    of("FIRST", "DELETE", "/api/v1/gateways/{gateway}", with(&[OTHER, SHARE], 401, REMOVED)),
    Row {
        camera: "FIRST",
        ..row(
            "DELETE",
            "/api/v1/gateways/{gateway}/former-cameras/{camera}",
            "",
            JSON,
            instead(200, 404, scopes(&[GATEWAYS])),
        )
    },
    row("POST", "/api/v1/claims", "", JSON, scopes(&[GATEWAYS])),
    row("POST", "/api/v1/tokens", TOKEN, JSON, ADMINS),
    row("POST", "/api/v1/tokens", TOKEN_FOR_NONE, JSON, instead(200, 422, ADMINS)),
    row(
        "POST",
        "/api/v1/tokens",
        TOKEN_TOO_SLOW,
        JSON,
        with(&[PEOPLE], 422, instead(200, 422, ADMINS_OF_OTHER)),
    ),
    row("POST", "/api/v1/tokens", TOKEN_FOR_OTHER, JSON, ADMINS_OF_OTHER),
    row("GET", "/api/v1/claims", "", JSON, scopes(&[GATEWAYS, READ])),
    of("none", "DELETE", "/api/v1/claims/{claim}", instead(200, 404, scopes(&[GATEWAYS]))),
    row("GET", "/api/v1/tokens", "", JSON, scopes(&[PEOPLE, READ])),
    of("999", "DELETE", "/api/v1/tokens/{token}", instead(200, 404, scopes(&[PEOPLE]))),
    // The expired token is the first of all.
    of("1", "DELETE", "/api/v1/tokens/{token}", with(&[PEOPLE], 404, ONCE)),
    row("GET", "/api/v1/users", "", JSON, scopes(&[PEOPLE, READ])),
    row("GET", "/api/v1/audit", "", JSON, scopes(&[AUDIT])),
    row("GET", "/api/v1/audit?before=9", "", JSON, scopes(&[AUDIT])),
    of("999", "DELETE", "/api/v1/users/{user}", instead(200, 404, scopes(&[PEOPLE]))),
    of("1", "DELETE", "/api/v1/users/{user}", with(&[PEOPLE], 404, ONCE)),
    Row { camera: "1", ..row("PATCH", "/api/v1/users/{user}", VIEWER, JSON, scopes(&[PEOPLE])) },
    Row {
        camera: "999",
        ..row("PATCH", "/api/v1/users/{user}", VIEWER, JSON, instead(200, 404, scopes(&[PEOPLE])))
    },
    // Nobody gives more than they have.
    Row { camera: "1", ..row("PATCH", "/api/v1/users/{user}", OWNERSHIP, JSON, FOR_OWNERS) },
    of("1", "DELETE", "/api/v1/users/{user}/sign-ins", scopes(&[PEOPLE])),
    // The link is as good as what the user has: nobody makes one for somebody who has more.
    of("1", "POST", "/api/v1/users/{user}/reset", ADMINS),
    // The third user is the only owner, whom only owners touch, and who stays.
    Row {
        camera: "3",
        ..row("PATCH", "/api/v1/users/{user}", VIEWER, JSON, instead(200, 409, FOR_OWNERS))
    },
    of("3", "DELETE", "/api/v1/users/{user}", instead(200, 409, FOR_OWNERS)),
    of("3", "DELETE", "/api/v1/users/{user}/sign-ins", FOR_OWNERS),
    // It is the user of the owner's cookie, too, and these two are for others.
    of("3", "DELETE", "/api/v1/users/{user}/second-factor", instead(200, 409, FOR_OWNERS)),
    of("3", "POST", "/api/v1/users/{user}/reset", instead(200, 409, FOR_OWNERS)),
    // The second user is the one of the admin's cookie.
    of("2", "POST", "/api/v1/users/{user}/reset", with(&[ADMIN], 409, ADMINS)),
    of(
        "2",
        "DELETE",
        "/api/v1/users/{user}/second-factor",
        with(&[ADMIN], 409, instead(200, 404, ADMINS)),
    ),
    of("999", "POST", "/api/v1/users/{user}/reset", instead(200, 404, scopes(&[PEOPLE]))),
    row("POST", "/api/v1/invitations", INVITE, JSON, ADMINS),
    row("POST", "/api/v1/invitations", INVITE_TO_OTHER, JSON, ADMINS_OF_OTHER),
    row("POST", "/api/v1/invitations", INVITE_TO_NOTHING, JSON, scopes(&[PEOPLE])),
    row("POST", "/api/v1/invitations", INVITE_OWNER, JSON, FOR_OWNERS),
    row("GET", "/api/v1/invitations", "", JSON, scopes(&[PEOPLE, READ])),
    of("999", "DELETE", "/api/v1/invitations/{invitation}", instead(200, 404, scopes(&[PEOPLE]))),
    row("POST", "/api/v1/invitations/read", LINK, JSON, instead(200, 403, OPEN)),
    row("POST", "/api/v1/invitations/accept", LINK, JSON, instead(200, 403, OPEN)),
    row("POST", "/api/v1/invitations/accept", WEAK, JSON, instead(200, 422, OPEN)),
    row("POST", "/api/v1/shares", SHARE_CAM, JSON, scopes(&[SHARES])),
    row("POST", "/api/v1/shares", SHARE_OTHER, JSON, with(&[SHARES], 200, ADMINS_OF_OTHER)),
    row("POST", "/api/v1/shares", SHARE_NONE, JSON, instead(200, 422, scopes(&[SHARES]))),
    row(
        "POST",
        "/api/v1/shares",
        SHARE_NOTHING,
        JSON,
        with(&[SHARES], 422, instead(200, 422, ADMINS_OF_OTHER)),
    ),
    row(
        "POST",
        "/api/v1/shares",
        SHARE_WEAK,
        JSON,
        with(&[SHARES], 422, instead(200, 422, ADMINS_OF_OTHER)),
    ),
    row(
        "POST",
        "/api/v1/shares",
        SHARE_TOO_FAST,
        JSON,
        with(&[SHARES], 422, instead(200, 422, ADMINS_OF_OTHER)),
    ),
    row("GET", "/api/v1/shares", "", JSON, scopes(&[SHARES, READ])),
    of("999", "DELETE", "/api/v1/shares/{share}", instead(200, 404, scopes(&[SHARES]))),
    // The one with a password is the first of all.
    of("1", "DELETE", "/api/v1/shares/{share}", with(&[SHARES], 404, ONCE)),
    row("POST", "/api/v1/shares/open", LINK, JSON, instead(200, 403, OPEN)),
    // Nobody of them has a second factor, and their password is not this one.
    row("PUT", "/api/v1/session/password", PASSWORDS, JSON, instead(200, 403, USERS)),
    row("GET", "/api/v1/session/second-factor", "", JSON, USERS),
    row("POST", "/api/v1/session/second-factor", OWN, JSON, instead(200, 403, USERS)),
    row("PUT", "/api/v1/session/second-factor", CODE, JSON, instead(200, 422, USERS)),
    row("DELETE", "/api/v1/session/second-factor", OWN, JSON, instead(200, 403, USERS)),
    row("GET", "/api/v1/session/ways", "", JSON, OPEN),
    row("POST", "/api/v1/session/passkey/request", "", JSON, OPEN),
    row("POST", "/api/v1/session/passkey", PASSKEY, JSON, [401; CALLERS.len()]),
    row("GET", "/api/v1/session/passkeys", "", JSON, USERS),
    row("POST", "/api/v1/session/passkeys/request", OWN, JSON, instead(200, 403, USERS)),
    row("POST", "/api/v1/session/passkeys", NEW_PASSKEY, JSON, instead(200, 422, USERS)),
    of("1", "DELETE", "/api/v1/session/passkeys/{passkey}", instead(200, 404, USERS)),
    of("none", "DELETE", "/api/v1/session/passkeys/{passkey}", instead(200, 404, USERS)),
    // Nobody of them has begun to sign in at the provider, which is not asked for that.
    row("POST", "/api/v1/session/provider/request", AWAY, JSON, instead(200, 502, OPEN)),
    row("POST", "/api/v1/session/provider", BACK, JSON, instead(200, 403, OPEN)),
    row("GET", "/api/v1/session/identities", "", JSON, USERS),
    row("POST", "/api/v1/session/identities/request", OWN, JSON, instead(200, 403, USERS)),
    of("1", "DELETE", "/api/v1/session/identities/{identity}", instead(200, 404, USERS)),
    of("none", "DELETE", "/api/v1/session/identities/{identity}", instead(200, 404, USERS)),
    // As with a new password: for those who have what the user has.
    of("1", "DELETE", "/api/v1/users/{user}/second-factor", instead(200, 404, ADMINS)),
    of("999", "DELETE", "/api/v1/users/{user}/second-factor", instead(200, 404, scopes(&[PEOPLE]))),
    // Whoever may remove something is told what goes with it.
    of("1", "GET", "/api/v1/tokens/{token}/removal", scopes(&[PEOPLE])),
    of("999", "GET", "/api/v1/tokens/{token}/removal", instead(200, 404, scopes(&[PEOPLE]))),
    of("1", "GET", "/api/v1/users/{user}/removal", scopes(&[PEOPLE])),
    of("999", "GET", "/api/v1/users/{user}/removal", instead(200, 404, scopes(&[PEOPLE]))),
    of("3", "GET", "/api/v1/users/{user}/removal", instead(200, 409, FOR_OWNERS)),
    of("FIRST", "GET", "/api/v1/gateways/{gateway}/removal", scopes(&[GATEWAYS])),
    of("none", "GET", "/api/v1/gateways/{gateway}/removal", instead(200, 404, scopes(&[GATEWAYS]))),
    of("FIRST", "GET", "/api/v1/gateways/{gateway}/cameras/{camera}/removal", scopes(&[GATEWAYS])),
    row("GET", "/api/v1/sign-ins", "", JSON, USERS_AND_ADMINS),
    row("DELETE", "/api/v1/sign-ins", "", JSON, USERS),
    of(
        "none",
        "DELETE",
        "/api/v1/sign-ins/{sign_in}",
        with(&[READ], 403, instead(200, 404, USERS_AND_ADMINS)),
    ),
    row("POST", "/whep/{camera}", OFFER, SDP, instead(200, 201, CAM)),
    Row { camera: "none", ..row("POST", "/whep/{camera}", OFFER, SDP, NO_CAM) },
    Row {
        camera: "cam@FIRST",
        ..row("POST", "/whep/{camera}", OFFER, SDP, instead(200, 201, CAM))
    },
    Row {
        camera: "cam@SECOND",
        ..row("POST", "/whep/{camera}", OFFER, SDP, instead(200, 201, CAM2))
    },
    Row { camera: "other@SECOND", ..row("POST", "/whep/{camera}", OFFER, SDP, NO_CAM) },
    Row { camera: "cam@gw-none", ..row("POST", "/whep/{camera}", OFFER, SDP, NO_CAM) },
    row("GET", "/whep/{camera}", "", SDP, CAM),
    Row { camera: "cam@FIRST", ..row("GET", "/whep/{camera}", "", SDP, CAM) },
    Row { camera: "cam@SECOND", ..row("GET", "/whep/{camera}", "", SDP, CAM2) },
    Row { camera: "other@SECOND", ..row("GET", "/whep/{camera}", "", SDP, NO_CAM) },
    Row { camera: "none", ..row("GET", "/whep/{camera}", "", SDP, NO_CAM) },
    row("OPTIONS", "/whep/{camera}", "", SDP, OPEN),
    row("PATCH", "/whep/{camera}/{session}", TRICKLE, FRAGMENT, instead(200, 204, OWNER)),
    row("DELETE", "/whep/{camera}/{session}", "", SDP, OWNER),
    row("GET", "/whep/{camera}/{session}", "", SDP, OWNER),
    row("OPTIONS", "/whep/{camera}/{session}", "", SDP, OPEN),
];

const fn row(
    method: &'static str,
    path: &'static str,
    body: &'static str,
    media_type: &'static str,
    statuses: Statuses,
) -> Row {
    Row { method, path, camera: "cam", body, media_type, statuses }
}

/// Returns a row about an object with this id.
const fn of(id: &'static str, method: &'static str, path: &'static str, statuses: Statuses) -> Row {
    Row { method, path, camera: id, body: "", media_type: JSON, statuses }
}

/// Returns the statuses with this one in some columns.
const fn with(columns: &[usize], status: u16, mut statuses: Statuses) -> Statuses {
    let mut index = 0;
    while index < columns.len() {
        statuses[columns[index]] = status;
        index += 1;
    }
    statuses
}

/// Returns the statuses with one of them replaced by another.
const fn instead(old: u16, new: u16, mut statuses: Statuses) -> Statuses {
    let mut index = 0;
    while index < statuses.len() {
        if statuses[index] == old {
            statuses[index] = new;
        }
        index += 1;
    }
    statuses
}

/// Sends the request of a row. A request about a session is about one that has just begun.
async fn send(scene: &Scene, row: &Row, caller: usize) -> Response {
    let session = match row.path.contains("{session}") {
        true => scene.start_session().await,
        false => String::new(),
    };
    let path = row.path.replace("{camera}", &named(row.camera)).replace("{session}", &session);
    let ids = [
        "{gateway}",
        "{token}",
        "{user}",
        "{claim}",
        "{sign_in}",
        "{invitation}",
        "{share}",
        "{passkey}",
        "{identity}",
    ];
    let path = ids.iter().fold(path, |path, id| path.replace(id, &named(row.camera)));
    scene.send(caller, row.method, &path, row.media_type, named(row.body)).await
}

/// Returns the path of a row as in the table of routes, without a query.
fn path_of(row: &Row) -> &'static str {
    row.path.split_once('?').map_or(row.path, |(path, _)| path)
}

#[tokio::test]
async fn a_server_without_its_database_is_alive_and_not_ready() {
    let scene = Scene::new().await;
    let statuses = async |path| scene.send(0, "GET", path, JSON, "").await.status().as_u16();
    assert_eq!((statuses("/healthz").await, statuses("/readyz").await), (200, 200));
    scene.store().close().await;
    assert_eq!((statuses("/healthz").await, statuses("/readyz").await), (200, 503));
    scene.end().await;
}

#[tokio::test]
async fn every_route_admits_the_callers_in_its_row() {
    let rows: BTreeSet<_> = TABLE.iter().map(|row| (row.method, path_of(row))).collect();
    let routes = routes();
    let routes: BTreeSet<_> =
        routes.iter().map(|route| (route.method.as_str(), route.path)).collect();
    assert_eq!(rows, routes, "a route has no row in the table of rights, or a row no route");
    assert!(TABLE.len() * CALLERS.len() >= 2900, "{} answers", TABLE.len() * CALLERS.len());
    for row in TABLE {
        let scene = Scene::new().await;
        for (caller, (name, expected)) in CALLERS.iter().zip(row.statuses).enumerate() {
            let status = send(&scene, &row, caller).await.status();
            assert_eq!(status, expected, "{name}: {} {} ({})", row.method, row.path, row.camera);
        }
        scene.end().await;
    }
}

#[tokio::test]
async fn a_list_has_the_cameras_of_its_reader_and_ice_servers_go_to_those_who_may_watch() {
    const ALL: &[&str] = &["cam", "cam@SECOND", "other"];
    // The addresses in the list, and if there are servers for each of the two cameras `cam`.
    type Case = (&'static [&'static str], [bool; 2]);
    let table: [Case; CALLERS.len()] = [
        (&[], [false, false]),
        (&[], [false, false]),
        (&[], [false, false]),
        (&[], [false, false]),
        (ALL, [true, true]),
        (&["cam"], [true, false]),
        (&["other"], [false, false]),
        (&["cam"], [true, false]),
        (&[], [false, false]),
        (ALL, [true, true]),
        (ALL, [true, true]),
        (&["other"], [false, false]),
        (ALL, [true, true]),
        (&["cam@SECOND"], [false, true]),
        (ALL, [true, true]),
        (&["cam"], [true, false]),
        (&[], [false, false]),
        (&["cam"], [true, false]),
        (&[], [false, false]),
        (&[], [false, false]),
        (&[], [false, false]),
        (ALL, [true, true]),
        (ALL, [false, false]),
        (&[], [false, false]),
        (ALL, [true, true]),
        (ALL, [false, false]),
        (&[], [false, false]),
        (&[], [false, false]),
        (&[], [false, false]),
        (&[], [false, false]),
    ];
    let scene = Scene::new().await;
    for (caller, (name, (cameras, has_servers))) in CALLERS.iter().zip(table).enumerate() {
        let response = scene.send(caller, "GET", "/api/v1/cameras", JSON, "").await;
        let body = axum::body::to_bytes(response.into_body(), MAX_BODY_BYTES).await.unwrap();
        let list: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let list = list["cameras"].as_array().cloned().unwrap_or_default();
        let found: Vec<_> = list.iter().filter_map(|camera| camera["address"].as_str()).collect();
        let cameras: Vec<_> = cameras.iter().map(|address| named(address)).collect();
        assert_eq!(found, cameras, "{name}");
        // Those of every camera are for whoever may watch one, be it `other`.
        let response = scene.send(caller, "GET", "/api/v1/ice-servers", JSON, "").await;
        let body = axum::body::to_bytes(response.into_body(), MAX_BODY_BYTES).await.unwrap();
        let list: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let watches = has_servers.contains(&true) || found == [named("other")];
        let named_servers = list["iceServers"].as_array().is_some_and(|list| !list.is_empty());
        assert_eq!(named_servers, watches, "{name}: {list}");
        assert_eq!(list["lifetimeS"].as_u64().is_some_and(|s| s > 0), watches, "{name}: {list}");
        for (camera, has_servers) in ["cam", "cam@SECOND"].into_iter().zip(has_servers) {
            let path = format!("/whep/{}", named(camera));
            let response = scene.send(caller, "OPTIONS", &path, SDP, "").await;
            let headers: &HeaderMap = response.headers();
            assert_eq!(headers.contains_key(header::LINK), has_servers, "{name} {camera}");
        }
    }
    scene.end().await;
}

#[tokio::test]
async fn a_missing_scope_is_refused_with_its_name() {
    let scene = Scene::new().await;
    // A request, and the scope that each of these tokens is told; `None` if it is answered.
    let table: [(&str, &str, &str, [Option<&str>; 6]); 6] = [
        ("GET", "/api/v1/cameras", "", [None, None, Some("read"), None, None, Some("read")]),
        (
            "GET",
            "/api/v1/users",
            "",
            [Some("read"), Some("read"), None, Some("read"), None, Some("read")],
        ),
        (
            "GET",
            "/api/v1/audit",
            "",
            [Some("audit"), Some("audit"), Some("audit"), Some("audit"), Some("audit"), None],
        ),
        (
            "POST",
            "/api/v1/claims",
            "",
            [
                Some("gateways"),
                None,
                Some("gateways"),
                Some("gateways"),
                Some("gateways"),
                Some("gateways"),
            ],
        ),
        // Nobody gives more than they have, so the one that may give is told what it lacks.
        (
            "POST",
            "/api/v1/invitations",
            INVITE,
            [
                Some("people"),
                Some("people"),
                Some("read"),
                Some("people"),
                Some("people"),
                Some("people"),
            ],
        ),
        (
            "POST",
            "/api/v1/shares",
            SHARE_CAM,
            [Some("shares"), Some("shares"), Some("shares"), None, Some("shares"), Some("shares")],
        ),
    ];
    for (method, path, body, expected) in table {
        for (caller, expected) in (WATCH..=AUDIT).zip(expected) {
            let response = scene.send(caller, method, path, JSON, named(body)).await;
            let (name, status) = (CALLERS[caller], response.status().as_u16());
            let text = axum::body::to_bytes(response.into_body(), MAX_BODY_BYTES).await.unwrap();
            let text = String::from_utf8(text.to_vec()).unwrap();
            match expected {
                Some(scope) => {
                    assert_eq!(status, 403, "{name} {method} {path}: {text}");
                    assert!(text.contains(&format!("scope `{scope}`")), "{name} {path}: {text}");
                }
                None => assert_eq!(status, 200, "{name} {method} {path}: {text}"),
            }
        }
    }
    scene.end().await;
}

#[tokio::test]
async fn scopes_are_for_tokens_of_admins_and_are_listed_and_written_down() {
    let scene = Scene::new().await;
    let admin = CALLERS.iter().position(|name| *name == "admin's cookie").unwrap();
    let text = async |method: &str, path: &str, body: &str| {
        let response = scene.send(admin, method, path, JSON, named(body)).await;
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), MAX_BODY_BYTES).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    for (fields, expected, part) in [
        (r#""role": "viewer", "scopes": ["read"]"#, 422, "the role admin"),
        (r#""role": "admin", "scopes": []"#, 422, "at least one scope"),
        (r#""role": "admin", "scopes": ["everything"]"#, 400, "unknown variant"),
        (
            r#""role": "admin", "scopes": ["audit"], "cameras": ["cam@FIRST"]"#,
            422,
            "the scope `audit` is for the whole server",
        ),
        (r#""role": "admin", "scopes": ["shares"], "cameras": ["cam@FIRST"]"#, 200, "ph_"),
        (r#""role": "admin", "scopes": ["audit", "read", "audit"]"#, 200, "ph_"),
        (r#""role": "admin", "scopes": null"#, 200, "ph_"),
    ] {
        let found = text("POST", "/api/v1/tokens", &format!(r#"{{"name": "n", {fields}}}"#)).await;
        assert_eq!(found.0, expected, "{fields}: {found:?}");
        assert!(found.1.contains(part), "{fields}: {found:?}");
    }
    let (_, list) = text("GET", "/api/v1/tokens", "").await;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let scopes = ["null", r#"["read","audit"]"#, r#"["shares"]"#];
    for (index, expected) in scopes.into_iter().enumerate() {
        assert_eq!(list["tokens"][index]["scopes"].to_string(), expected, "{list}");
    }
    let (_, log) = text("GET", "/api/v1/audit", "").await;
    let log: serde_json::Value = serde_json::from_str(&log).unwrap();
    let what = ["n (admin)", "n (admin: read audit)", "n (admin: shares, 1 camera)"];
    for (index, expected) in what.into_iter().enumerate() {
        assert_eq!(log["events"][index]["object"], expected, "{log}");
    }
    scene.end().await;
}
