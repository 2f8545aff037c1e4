//! Tests of passkeys, with an authenticator in software.

mod support;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use porthole_signaling::admin;
use porthole_signaling::admin::Given;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use support::{HttpResponse, Peer, Running, config, http, totp};

const JSON: (&str, &str) = ("content-type", "application/json");
const PASSWORD: &str = "0123456789";
/// Time within which the removal of a passkey has ended everything.
const PROMPT: Duration = Duration::from_secs(2);
/// The most passkeys of a user.
const MAX_PASSKEYS: u8 = 16;
/// The flags of an authenticator: somebody is there, and has shown who it is.
const VERIFIED: u8 = 0b101;
const HAS_CREDENTIAL: u8 = 0b100_0000;

/// A server with the owner `ann`.
struct Scene {
    data: tempfile::TempDir,
    server: Running,
    /// The cookie of the owner.
    ann: String,
}

impl Scene {
    async fn new(public_url: Option<&str>) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let mut config = config(data.path());
        config.public_url = public_url.map(|url| Url::parse(url).expect("a URL"));
        let server = Running::with(config).await;
        let link = server.setup_link.clone().expect("a setup link");
        let token = link.split_once("#t=").expect("a token").1;
        let body = json!({"token": token, "name": "ann", "password": PASSWORD}).to_string();
        let set_up = http(server.address, "POST", "/api/v1/setup", &[JSON], &body).await;
        let ann = cookie(&set_up);
        Self { data, server, ann }
    }

    async fn send(&self, who: &str, method: &str, path: &str, body: Value) -> HttpResponse {
        self.send_from("10.0.0.1", who, method, path, body).await
    }

    /// Sends a request from an address, as a proxy on this machine says.
    async fn send_from(
        &self,
        address: &str,
        who: &str,
        method: &str,
        path: &str,
        body: Value,
    ) -> HttpResponse {
        let headers = [("cookie", who), ("x-forwarded-for", address), JSON];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http(self.server.address, method, &format!("/api/v1{path}"), &headers, &body).await
    }

    /// Invites a viewer, who accepts. Returns its cookie.
    async fn invite(&self, name: &str) -> String {
        let body = json!({"name": name, "role": "viewer", "limited": false});
        let link = self.send(&self.ann, "POST", "/invitations", body).await.json();
        let body = json!({"token": link["token"], "password": PASSWORD});
        cookie(&self.send("", "POST", "/invitations/accept", body).await)
    }

    /// Gives the owner a second factor. Returns its recovery codes.
    async fn enrol(&self) -> Vec<String> {
        let path = "/session/second-factor";
        let send = async |method, body| self.send(&self.ann, method, path, body).await;
        totp::enrol(PASSWORD, send).await
    }

    fn device(&self, seed: u8) -> Device {
        let origin = format!("http://localhost:{}", self.server.address.port());
        let key = SigningKey::from_bytes(&[seed; 32]);
        Device { key, id: vec![seed; 20], origin, site: "localhost", handle: None, counter: 1 }
    }

    /// Makes a passkey for the user of a cookie.
    async fn add(&self, who: &str, device: &mut Device) -> HttpResponse {
        let (address, path) = (format!("10.0.1.{}", device.id[0]), "/session/passkeys/request");
        let password = json!({"password": PASSWORD});
        let begun = self.send_from(&address, who, "POST", path, password).await;
        assert_eq!(begun.status, 200, "{begun:?}");
        let body = device.make(&begun.json(), "phone");
        self.send(who, "POST", "/session/passkeys", body).await
    }

    async fn challenge(&self) -> String {
        let request = self.send("", "POST", "/session/passkey/request", Value::Null).await.json();
        request["challenge"].as_str().expect("a challenge").to_owned()
    }

    async fn sign_in(&self, device: &mut Device) -> HttpResponse {
        let body = device.answer(&self.challenge().await);
        self.send("", "POST", "/session/passkey", body).await
    }

    /// Returns the kinds of the newest events in the audit log.
    async fn audit(&self, count: usize) -> Vec<String> {
        let list = self.send(&self.ann, "GET", "/audit", Value::Null).await.json();
        let events = list["events"].as_array().expect("a list").clone();
        let kind = |event: &Value| event["kind"].as_str().expect("a kind").to_owned();
        events.iter().take(count).map(kind).collect()
    }
}

/// An authenticator with one passkey.
struct Device {
    key: SigningKey,
    id: Vec<u8>,
    origin: String,
    site: &'static str,
    handle: Option<Value>,
    counter: u32,
}

impl Device {
    fn data(&self, flags: u8) -> Vec<u8> {
        let hash = Sha256::digest(self.site.as_bytes());
        [&hash[..], &[flags], &self.counter.to_be_bytes()].concat()
    }

    fn client_data(&self, kind: &str, challenge: &str) -> Vec<u8> {
        json!({"type": kind, "challenge": challenge, "origin": self.origin}).to_string().into()
    }

    fn make(&mut self, request: &Value, name: &str) -> Value {
        self.handle = Some(request["userHandle"].clone());
        let key = self.key.verifying_key().to_bytes();
        let cose = [&[0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21, 0x58, 32], &key[..]].concat();
        let length = [0, u8::try_from(self.id.len()).expect("a short id")];
        let data = self.data(VERIFIED | HAS_CREDENTIAL);
        let data = [&data, &[0; 16][..], &length, &self.id, &cose].concat();
        let length = [u8::try_from(data.len()).expect("short data")];
        let start = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58";
        let attestation = [&start[..], &length, &data].concat();
        let challenge = request["challenge"].as_str().expect("a challenge");
        let client_data = self.client_data("webauthn.create", challenge);
        json!({
            "name": name,
            "clientData": URL_SAFE_NO_PAD.encode(client_data),
            "attestation": URL_SAFE_NO_PAD.encode(attestation),
        })
    }

    fn answer(&mut self, challenge: &str) -> Value {
        self.counter += 1;
        let data = self.data(VERIFIED);
        let client_data = self.client_data("webauthn.get", challenge);
        let signature = self.key.sign(&[&data, &Sha256::digest(&client_data)[..]].concat());
        json!({
            "credential": URL_SAFE_NO_PAD.encode(&self.id),
            "userHandle": self.handle,
            "clientData": URL_SAFE_NO_PAD.encode(client_data),
            "authenticatorData": URL_SAFE_NO_PAD.encode(data),
            "signature": URL_SAFE_NO_PAD.encode(signature.to_bytes()),
        })
    }
}

fn cookie(response: &HttpResponse) -> String {
    let cookie = response.header("set-cookie").unwrap_or_else(|| panic!("{response:?}"));
    cookie.split(';').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_passkey_signs_in_without_a_password_and_without_a_code() {
    let scene = Scene::new(None).await;
    let mut phone = scene.device(1);
    let ways = scene.send("", "GET", "/session/ways", Value::Null).await.json();
    assert_eq!(ways, json!({"passkeyOrigin": phone.origin}));
    let added = scene.add(&scene.ann, &mut phone).await;
    assert_eq!((added.status, &added.json()["name"]), (200, &json!("phone")), "{added:?}");

    scene.enrol().await;

    let found = scene.sign_in(&mut phone).await;
    assert_eq!((found.status, found.json()), (200, json!({"name": "ann", "role": "owner"})));
    let me = scene.send(&cookie(&found), "GET", "/session", Value::Null).await;
    assert_eq!(me.json(), json!({"name": "ann", "role": "owner"}));
    let list = scene.send(&scene.ann, "GET", "/session/passkeys", Value::Null).await.json();
    assert_eq!(list["origin"], phone.origin);
    assert!(list["passkeys"][0]["seenS"].is_u64(), "{list}");
    scene.server.stop().await;
}

#[tokio::test]
async fn a_passkey_is_added_with_a_code_by_a_user_with_a_second_factor() {
    let scene = Scene::new(None).await;
    let codes = scene.enrol().await;
    let path = "/session/passkeys/request";
    let begin = async |password: &str, code: Option<&str>| {
        let body = json!({"password": password, "code": code});
        scene.send(&scene.ann, "POST", path, body).await
    };
    for (password, code, expected, needs_code) in totp::tries(PASSWORD, &codes) {
        let found = begin(password, code).await;
        assert_eq!(found.status, expected, "{code:?}: {found:?}");
        assert_eq!(found.json()["needsCode"] == true, needs_code, "{code:?}: {found:?}");
    }
    let begun = begin(PASSWORD, Some(&codes[1])).await;
    let body = scene.device(1).make(&begun.json(), "phone");
    assert_eq!(scene.send(&scene.ann, "POST", "/session/passkeys", body).await.status, 200);
    assert_eq!(scene.audit(2).await, ["passkeyAdded", "signInFailed"]);
    // Only a code ends the count of tries, not the right password without one.
    for attempt in 0.. {
        let found = begin(PASSWORD, None).await;
        match found.status {
            403 => assert!(attempt < 10, "passwords can be guessed for ever"),
            status => {
                assert_eq!(status, 429, "{found:?}");
                break;
            }
        }
    }
    scene.server.stop().await;
}

#[tokio::test]
async fn a_response_counts_once_and_a_counter_that_goes_back_is_refused_and_written_down() {
    let scene = Scene::new(None).await;
    let (mut phone, mut stranger) = (scene.device(1), scene.device(2));
    scene.add(&scene.ann, &mut phone).await;
    stranger.handle.clone_from(&phone.handle);
    let body = phone.answer(&scene.challenge().await);
    let path = "/session/passkey";
    for expected in [200, 401] {
        assert_eq!(scene.send("", "POST", path, body.clone()).await.status, expected);
    }
    assert_eq!(scene.audit(1).await, ["passkeyRefused"]);
    let again = phone.answer(body["clientData"].as_str().expect("text"));
    let unknown = stranger.answer(&scene.challenge().await);
    for (what, body) in [("no challenge", again), ("unknown passkey", unknown)] {
        let found = scene.send("", "POST", path, body).await;
        assert_eq!(found.status, 401, "{what}: {found:?}");
    }
    phone.counter = 0;
    let copied = scene.sign_in(&mut phone).await;
    assert_eq!(copied.status, 401, "{copied:?}");
    assert!(copied.error().contains("copied"), "{copied:?}");
    assert_eq!(scene.audit(1).await, ["passkeyCopied"]);
    phone.counter = 10;
    assert_eq!(scene.sign_in(&mut phone).await.status, 200);
    phone.origin = "http://localhost:1".to_owned();
    for attempt in 0.. {
        let found = scene.sign_in(&mut phone).await;
        match found.status {
            401 => assert!(attempt < 20, "wrong responses are taken for ever"),
            status => {
                assert_eq!(status, 429);
                break;
            }
        }
    }
    scene.server.stop().await;
}

#[tokio::test]
async fn a_removed_passkey_ends_what_was_started_with_it_within_two_seconds() {
    let scene = Scene::new(None).await;
    let (mut phone, mut key) = (scene.device(1), scene.device(2));
    let number = scene.add(&scene.ann, &mut phone).await.json()["id"].clone();
    scene.add(&scene.ann, &mut key).await;
    let (by_phone, by_key) =
        (cookie(&scene.sign_in(&mut phone).await), cookie(&scene.sign_in(&mut key).await));
    let to = scene.server.address;
    let mut socket = Peer::open(to, &[("cookie", &by_phone)]).await.expect("a WebSocket");
    socket.register(None).await.expect("the cookie counts");
    let since = Instant::now();
    let path = format!("/session/passkeys/{number}");
    let removed = scene.send(&by_key, "DELETE", &path, Value::Null).await.json();
    assert_eq!(removed["signIns"], 1, "{removed}");
    assert_eq!(u16::from(socket.close_frame().await.expect("a reason").code), 4401);
    assert!(since.elapsed() < PROMPT);
    for (who, expected) in [(&scene.ann, 200), (&by_key, 200), (&by_phone, 401)] {
        assert_eq!(scene.send(who, "GET", "/session", Value::Null).await.status, expected);
    }
    assert_eq!(scene.sign_in(&mut phone).await.status, 401);
    assert_eq!(scene.audit(1).await, ["passkeyRemoved"]);
    // A password that is reset on the host takes all with it.
    admin::reset_user(scene.data.path(), "ann", PASSWORD.to_owned(), Given::Kept)
        .await
        .expect("a reset");
    assert_eq!(scene.sign_in(&mut key).await.status, 401);
    assert_eq!(scene.send(&by_key, "GET", "/session", Value::Null).await.status, 401);
    scene.server.stop().await;
}

#[tokio::test]
async fn a_passkey_is_added_with_the_password_by_its_user_and_in_the_same_browser() {
    let scene = Scene::new(None).await;
    let bob = scene.invite("bob").await;
    let path = "/session/passkeys/request";
    let wrong = scene.send(&bob, "POST", path, json!({"password": "wrong password"})).await;
    assert_eq!(wrong.status, 403, "{wrong:?}");
    let begun = scene.send(&bob, "POST", path, json!({"password": PASSWORD})).await.json();
    let mut phone = scene.device(1);
    let body = phone.make(&begun, "phone");
    let elsewhere = json!({"name": "bob", "password": PASSWORD});
    let elsewhere = cookie(&scene.send("", "POST", "/session", elsewhere).await);
    for (what, who, expected) in [
        ("another user", &scene.ann, 422),
        ("another browser", &elsewhere, 422),
        ("its own", &bob, 200),
        ("once", &bob, 422),
    ] {
        let found = scene.send(who, "POST", "/session/passkeys", body.clone()).await;
        assert_eq!(found.status, expected, "{what}: {found:?}");
    }
    let known = scene.add(&scene.ann, &mut scene.device(1)).await;
    assert_eq!(known.status, 409, "{known:?}");
    // The authenticator says for whom the passkey is.
    let ours = phone.handle.clone();
    let mut of_ann = scene.device(2);
    scene.add(&scene.ann, &mut of_ann).await;
    phone.handle.clone_from(&of_ann.handle);
    assert_eq!(scene.sign_in(&mut phone).await.status, 401);
    phone.handle = ours;
    let found = scene.sign_in(&mut phone).await.json();
    assert_eq!(found, json!({"name": "bob", "role": "viewer"}));
    for seed in 0..MAX_PASSKEYS {
        let found = scene.add(&bob, &mut scene.device(100 + seed)).await;
        let expected = if seed < MAX_PASSKEYS - 1 { 200 } else { 409 };
        assert_eq!(found.status, expected, "{seed}: {found:?}");
    }
    // Nobody touches those of others.
    let list = scene.send(&bob, "GET", "/session/passkeys", Value::Null).await.json();
    let path = format!("/session/passkeys/{}", list["passkeys"][0]["id"]);
    assert_eq!(scene.send(&scene.ann, "DELETE", &path, Value::Null).await.status, 404);
    // A link for a new password takes them all: a password that is lost may have added one.
    let user = scene.send(&scene.ann, "GET", "/users", Value::Null).await.json();
    let user = &user["users"][1]["id"];
    let link = scene.send(&scene.ann, "POST", &format!("/users/{user}/reset"), Value::Null).await;
    let body = json!({"token": link.json()["token"], "password": PASSWORD});
    assert_eq!(scene.send("", "POST", "/invitations/accept", body).await.status, 200);
    assert_eq!(scene.sign_in(&mut phone).await.status, 401);
    scene.server.stop().await;
}

#[tokio::test]
async fn a_server_without_a_domain_says_what_passkeys_need() {
    for (url, expected) in [
        ("http://cams.example", false),
        ("https://192.0.2.1", false),
        ("https://cams.example/cams", true),
    ] {
        let scene = Scene::new(Some(url)).await;
        let ways = scene.send("", "GET", "/session/ways", Value::Null).await.json();
        assert_eq!(ways["passkeyOrigin"] == "https://cams.example", expected, "{url}: {ways}");
        let list = scene.send(&scene.ann, "GET", "/session/passkeys", Value::Null).await.json();
        assert_eq!(list["unavailable"].is_null(), expected, "{url}: {list}");
        let begun = scene.send("", "POST", "/session/passkey/request", Value::Null).await;
        assert_eq!(begun.status, if expected { 200 } else { 409 }, "{url}");
        if !expected {
            assert!(begun.error().contains("a domain with HTTPS"), "{begun:?}");
        }
        scene.server.stop().await;
    }
}
