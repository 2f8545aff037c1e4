//! Tests of access rights: a row for every route, with a column for every role.

use std::collections::BTreeSet;

use axum::body::Body;
use porthole_signaling_proto::rest::{NewToken, Role};
use tower::ServiceExt as _;

use super::*;
use crate::admin::by_operator;
use crate::config::Config;
use crate::secret;
use crate::server::Server;

/// The senders of requests, in the order of the columns.
const ROLES: [&str; 6] =
    ["anyone", "wrong token", "viewer token", "limited token", "viewer cookie", "admin token"];

struct Row {
    method: &'static str,
    path: &'static str,
    body: &'static str,
    media_type: &'static str,
    /// A status for each of [`ROLES`].
    statuses: [u16; 6],
}

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const JSON: &str = "application/json";
const OFFER: &str = "a=ice-ufrag:abcd\r\n";
const TRICKLE: &str = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n";
const SIGN_IN: &str = r#"{"name": "nobody", "password": "0123456789"}"#;
const SETUP: &str = r#"{"token": "wrong", "name": "nobody", "password": "0123456789"}"#;
const TOKEN: &str = r#"{"name": "n", "role": "admin"}"#;

/// The statuses 401 and 403 mean that access was refused; anything else means that it was granted.
const TABLE: [Row; 17] = [
    row("GET", "/healthz", "", JSON, [200, 401, 200, 200, 200, 200]),
    row("GET", "/ws", "", JSON, [426, 401, 426, 426, 426, 426]),
    row("POST", "/api/v1/setup", SETUP, JSON, [403, 401, 403, 403, 403, 403]),
    row("POST", "/api/v1/session", SIGN_IN, JSON, [401, 401, 401, 401, 401, 401]),
    row("GET", "/api/v1/session", "", JSON, [401, 401, 200, 200, 200, 200]),
    row("DELETE", "/api/v1/session", "", JSON, [401, 401, 204, 204, 204, 204]),
    row("GET", "/api/v1/cameras", "", JSON, [401, 401, 200, 200, 200, 200]),
    row("GET", "/api/v1/gateways", "", JSON, [401, 401, 403, 403, 403, 200]),
    row("POST", "/api/v1/claims", "", JSON, [401, 401, 403, 403, 403, 200]),
    row("POST", "/api/v1/tokens", TOKEN, JSON, [401, 401, 403, 403, 403, 200]),
    row("POST", "/whep/{camera}", OFFER, SDP, [401, 401, 404, 403, 404, 404]),
    row("GET", "/whep/{camera}", "", SDP, [401, 401, 404, 403, 404, 404]),
    row("OPTIONS", "/whep/{camera}", "", SDP, [200, 401, 200, 200, 200, 200]),
    row("PATCH", "/whep/{camera}/{session}", TRICKLE, FRAGMENT, [401, 401, 404, 404, 404, 404]),
    row("DELETE", "/whep/{camera}/{session}", "", SDP, [401, 401, 404, 404, 404, 404]),
    row("GET", "/whep/{camera}/{session}", "", SDP, [401, 401, 404, 404, 404, 404]),
    row("OPTIONS", "/whep/{camera}/{session}", "", SDP, [200, 401, 200, 200, 200, 200]),
];

const fn row(
    method: &'static str,
    path: &'static str,
    body: &'static str,
    media_type: &'static str,
    statuses: [u16; 6],
) -> Row {
    Row { method, path, body, media_type, statuses }
}

/// A credential for each of [`ROLES`], as a header.
async fn credentials(app: &App) -> [Option<(&'static str, String)>; 6] {
    let store = &app.driver.store;
    let granted = by_operator(Action::CreateToken).unwrap();
    let token = async |role, cameras: &[&str]| {
        let cameras = cameras.iter().map(|id| id.parse().unwrap()).collect();
        let new = NewToken { name: "t".into(), role, cameras, expires_in_seconds: None };
        (
            "authorization",
            format!("Bearer {}", store.create_token(&granted, &new).await.unwrap().token),
        )
    };
    let cookie = store.create_viewer_for_test("bob").await;
    let cookie = ("cookie", format!("{}={cookie}", crate::caller::COOKIE));
    [
        None,
        Some(("authorization", format!("Bearer {}", secret::new_token()))),
        Some(token(Role::Viewer, &[]).await),
        Some(token(Role::Viewer, &["other"]).await),
        Some(cookie),
        Some(token(Role::Admin, &[]).await),
    ]
}

#[tokio::test]
async fn every_route_admits_the_roles_in_its_row() {
    let rows: BTreeSet<_> = TABLE.iter().map(|row| (row.method, row.path)).collect();
    assert_eq!(rows.len(), TABLE.len(), "a row is in the table twice");
    let routes = routes();
    for route in &routes {
        let named = (route.method.as_str(), route.path);
        assert!(rows.contains(&named), "{named:?} has no row in the table of rights");
    }
    assert_eq!(rows.len(), routes.len(), "a row has no route");

    let data = tempfile::tempdir().unwrap();
    let config = Config::new(([127, 0, 0, 1], 0).into(), data.path());
    let server = Server::bind(config).await.unwrap();
    let app = server.app();
    for row in TABLE {
        for ((role, expected), credential) in
            ROLES.iter().zip(row.statuses).zip(credentials(&app).await)
        {
            let path = row.path.replace("{camera}", "cam").replace("{session}", "s1");
            let mut request = http::Request::builder()
                .method(row.method)
                .uri(path)
                .header("host", "localhost")
                .header("content-type", row.media_type)
                .header("if-match", "*")
                .extension(crate::listener::ClientAddress([127, 0, 0, 1].into()));
            if let Some((name, value)) = credential {
                request = request.header(name, value);
            }
            let request = request.body(Body::from(row.body)).unwrap();
            let response = router(&app).oneshot(request).await.unwrap();
            assert_eq!(response.status(), expected, "{role}: {} {}", row.method, row.path);
        }
    }
}
