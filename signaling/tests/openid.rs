//! Tests of signing in with an account at a provider of OpenID Connect.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use porthole_signaling::admin::Given;
use porthole_signaling::{Config, Join, admin};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use support::provider::Provider;
use support::{HttpResponse, Installation, Peer, Running, config, cookie, rest, totp};

const PASSWORD: &str = "a password of ann";
/// Time within which a revocation has ended everything.
const PROMPT: Duration = Duration::from_secs(2);

/// A server with the owner `ann`, and the provider that it trusts.
struct Scene {
    installation: Installation,
    provider: Provider,
    /// The cookie of the owner.
    ann: String,
}

impl Scene {
    async fn new(join: Join) -> Self {
        Self::with(Provider::start().await, join, |_| {}).await
    }

    async fn with(provider: Provider, join: Join, change: impl FnOnce(&mut Config)) -> Self {
        let openid = provider.config(join);
        let installation = Installation::with(&["demo", "barn"], |config| {
            config.openid_connect = Some(openid);
            change(config);
        });
        let installation = installation.await;
        let ann = installation.set_up("ann", PASSWORD).await;
        Self { installation, provider, ann }
    }

    async fn send(&self, who: &str, method: &str, path: &str, body: Value) -> HttpResponse {
        self.installation.send(who, method, path, body).await
    }

    /// Begins to sign in. Returns the address at the provider, and the cookie.
    async fn begin(&self, who: &str, path: &str, body: Value) -> (String, String) {
        let begun = self.send(who, "POST", path, body).await;
        assert_eq!(begun.status, 200, "{begun:?}");
        let set = begun.header("set-cookie").expect("a cookie");
        assert!(set.contains("HttpOnly; SameSite=Strict") && set.contains("Max-Age=600"), "{set}");
        (begun.json()["url"].as_str().expect("an address").to_owned(), cookie(&begun))
    }

    /// Signs in with an account of which the ID token says this.
    async fn sign_in(&self, claims: Value) -> HttpResponse {
        let (url, flow) = self.begin("", "/session/provider/request", json!({})).await;
        let answer = self.provider.sign_in(&url, claims, json!({}));
        self.send(&flow, "POST", "/session/provider", answer).await
    }

    /// Links an account to a user, who is signed in with a cookie.
    async fn link(&self, who: &str, claims: Value) -> HttpResponse {
        let body = json!({"password": PASSWORD});
        let (url, flow) = self.begin(who, "/session/identities/request", body).await;
        let answer = self.provider.sign_in(&url, claims, json!({}));
        self.send(&format!("{who}; {flow}"), "POST", "/session/provider", answer).await
    }

    /// Makes a link that invites a viewer. Returns the token in it.
    async fn invite(&self, name: &str) -> Value {
        let body = json!({"name": name, "role": "viewer", "limited": false});
        self.send(&self.ann, "POST", "/invitations", body).await.json()["token"].clone()
    }

    /// Returns the kinds of the newest events in the audit log.
    async fn audit(&self, count: usize) -> Vec<String> {
        let list = self.send(&self.ann, "GET", "/audit", Value::Null).await.json();
        let events = list["events"].as_array().expect("a list").clone();
        let kind = |event: &Value| event["kind"].as_str().expect("a kind").to_owned();
        events.iter().take(count).map(kind).collect()
    }
}

fn account(subject: &str, name: &str) -> Value {
    json!({"sub": subject, "preferred_username": name})
}

#[tokio::test]
async fn an_account_that_is_linked_signs_in_until_it_is_unlinked() {
    let scene = Scene::new(Join::Nobody).await;
    let to = scene.installation.to();
    let ways = scene.send("", "GET", "/session/ways", Value::Null).await.json();
    let origin = format!("http://localhost:{}", to.port());
    assert_eq!(ways["provider"], json!({"name": "Example", "origin": origin}));
    let unknown = scene.sign_in(account("7", "ann.a")).await;
    assert_eq!(unknown.status, 403, "{unknown:?}");
    assert!(unknown.error().contains("nobody here has linked"), "{unknown:?}");
    assert_eq!(scene.audit(1).await, ["identityRefused"]);

    let path = "/session/identities/request";
    let wrong = scene.send(&scene.ann, "POST", path, json!({"password": "wrong"})).await;
    assert_eq!(wrong.status, 403, "{wrong:?}");
    let linked = scene.link(&scene.ann, account("7", "ann.a")).await;
    assert_eq!((linked.status, scene.audit(1).await), (204, vec!["identityAdded".to_owned()]));
    let again = scene.link(&scene.ann, account("7", "ann.a")).await;
    assert_eq!(again.status, 409, "{again:?}");

    let found = scene.sign_in(account("7", "ann.b")).await;
    assert_eq!((found.status, found.json()), (200, json!({"name": "ann", "role": "owner"})));
    assert_eq!(found.all("set-cookie").len(), 3, "the cookie of the request ends: {found:?}");
    let by_account = cookie(&found);
    let list = scene.send(&scene.ann, "GET", "/sign-ins", Value::Null).await.json();
    let accounts: Vec<_> =
        list["signIns"].as_array().expect("a list").iter().map(|one| &one["account"]).collect();
    assert!(accounts.contains(&&json!("ann.b")) && accounts.contains(&&Value::Null), "{list}");
    let list = scene.send(&scene.ann, "GET", "/session/identities", Value::Null).await.json();
    let identity = &list["identities"][0];
    assert_eq!(
        (&identity["name"], &identity["issuer"]),
        (&json!("ann.b"), &scene.provider.issuer.into())
    );
    assert!(identity["seenS"].is_u64(), "{list}");

    let mut socket = Peer::open(to, &[("cookie", &by_account)]).await.expect("a WebSocket");
    socket.register(None).await.expect("the cookie counts");
    let since = Instant::now();
    let path = format!("/session/identities/{}", identity["id"]);
    let removed = scene.installation.send(&scene.ann, "DELETE", &path, Value::Null).await.json();
    assert_eq!(removed["signIns"], 1, "{removed}");
    assert_eq!(u16::from(socket.close_frame().await.expect("a reason").code), 4401);
    assert!(since.elapsed() < PROMPT);
    for (who, expected) in [(&scene.ann, 200), (&by_account, 401)] {
        let me = scene.installation.send(who, "GET", "/session", Value::Null).await;
        assert_eq!(me.status, expected, "{me:?}");
    }
    scene.installation.server.stop().await;
}

#[tokio::test]
async fn an_account_is_linked_with_a_code_by_a_user_with_a_second_factor() {
    let scene = Scene::new(Join::Nobody).await;
    let send =
        async |method, body| scene.send(&scene.ann, method, "/session/second-factor", body).await;
    let codes = totp::enrol(PASSWORD, send).await;
    let path = "/session/identities/request";
    for (password, code, expected, needs_code) in totp::tries(PASSWORD, &codes) {
        let body = json!({"password": password, "code": code});
        let found = scene.send(&scene.ann, "POST", path, body).await;
        assert_eq!(found.status, expected, "{code:?}: {found:?}");
        assert_eq!(found.header("set-cookie").is_some(), expected == 200, "{found:?}");
        assert_eq!(found.json()["needsCode"] == true, needs_code, "{code:?}: {found:?}");
    }
    assert_eq!(scene.audit(1).await, ["signInFailed"]);
    let body = json!({"password": PASSWORD, "code": codes[1]});
    let (url, flow) = scene.begin(&scene.ann, path, body).await;
    let answer = scene.provider.sign_in(&url, account("7", "ann.a"), json!({}));
    let who = format!("{}; {flow}", scene.ann);
    assert_eq!(scene.send(&who, "POST", "/session/provider", answer).await.status, 204);
    scene.installation.server.stop().await;
}

#[tokio::test]
async fn an_answer_counts_once_in_the_browser_that_has_begun() {
    let scene = Scene::new(Join::Viewer).await;
    let request = "/session/provider/request";
    let (url, flow) = scene.begin("", request, json!({})).await;
    let (_, other_flow) = scene.begin("", request, json!({})).await;
    let answer = scene.provider.sign_in(&url, account("7", "bob"), json!({}));
    let mut foreign = answer.clone();
    foreign["state"] = json!("AAAA");
    for (what, who, answer, expected) in [
        ("no cookie", "", &answer, 403),
        ("the cookie of another request", other_flow.as_str(), &answer, 403),
        ("a forged cookie", "porthole_provider=AAAA", &answer, 403),
        ("another state", &flow, &foreign, 403),
        ("as it is", &flow, &answer, 200),
        ("once more", &flow, &answer, 401),
    ] {
        let found = scene.send(who, "POST", "/session/provider", answer.clone()).await;
        assert_eq!(found.status, expected, "{what}: {found:?}");
    }
    // The code of one request does not go with the state of another.
    let (url, flow) = scene.begin("", request, json!({})).await;
    let (other, other_flow) = scene.begin("", request, json!({})).await;
    let mut mixed = scene.provider.sign_in(&url, account("7", "bob"), json!({}));
    let unused = scene.provider.sign_in(&other, account("8", "eve"), json!({}));
    mixed["state"] = unused["state"].clone();
    let found = scene.send(&other_flow, "POST", "/session/provider", mixed).await;
    assert_eq!(found.status, 401, "{found:?}");
    // A link is for the user and the browser that have begun it.
    let body = json!({"password": PASSWORD});
    let bob = cookie(&scene.sign_in(account("7", "bob")).await);
    let elsewhere = json!({"name": "ann", "password": PASSWORD});
    let elsewhere = cookie(&scene.send("", "POST", "/session", elsewhere).await);
    for (what, who) in
        [("nobody", String::new()), ("somebody else", bob), ("another browser", elsewhere)]
    {
        let path = "/session/identities/request";
        let (url, link) = scene.begin(&scene.ann, path, body.clone()).await;
        let answer = scene.provider.sign_in(&url, account("9", "ann.a"), json!({}));
        let found =
            scene.send(&format!("{who}; {link}"), "POST", "/session/provider", answer).await;
        assert!([401, 403].contains(&found.status), "{what}: {found:?}");
        let list = scene.send(&scene.ann, "GET", "/session/identities", Value::Null).await.json();
        assert_eq!(list["identities"], json!([]), "{what}");
    }
    // A person who does not want to comes back without a code.
    let refused = json!({"error": "access_denied", "iss": scene.provider.issuer});
    for (reason, shown) in [("access_denied", "(access_denied)"), ("<b>", "cannot be shown")] {
        let (url, flow) = scene.begin("", request, json!({})).await;
        let mut answer = refused.clone();
        answer["error"] = json!(reason);
        answer["state"] = scene.provider.sign_in(&url, json!({}), json!({}))["state"].clone();
        let found = scene.send(&flow, "POST", "/session/provider", answer).await;
        assert_eq!(found.status, 401);
        assert!(found.error().contains(shown), "{found:?}");
    }
    drop(flow);
    scene.installation.server.stop().await;
}

#[tokio::test]
async fn s3_wrong_answers_from_an_address_keep_nobody_else_there_from_signing_in() {
    let scene = Scene::new(Join::Viewer).await;
    let path = "/session/provider";
    // What is not sealed by this server is no try.
    for _ in 0..80 {
        let junk = json!({"state": "AAAA", "code": "AAAA"});
        let found = scene.send("porthole_provider=AAAA", "POST", path, junk).await;
        assert_eq!(found.status, 403, "{found:?}");
    }
    // A whole office signs in from one address.
    for number in 0..70 {
        let found = scene.sign_in(account(&number.to_string(), &format!("user{number}"))).await;
        assert_eq!(found.status, 200, "{number}: {found:?}");
    }
    let body = json!({"name": "ann", "password": PASSWORD});
    let known = scene.send("", "POST", "/session", body).await;
    let known: Vec<_> = known.all("set-cookie");
    let known: Vec<_> = known.iter().filter_map(|cookie| cookie.split(';').next()).collect();
    let mut refused = None;
    for _ in 0..100 {
        let (url, flow) = scene.begin("", "/session/provider/request", json!({})).await;
        let mut answer = scene.provider.sign_in(&url, account("666", "eve"), json!({}));
        answer["code"] = json!("wrong");
        let found = scene.send(&flow, "POST", path, answer).await;
        if found.status == 429 {
            refused = Some(found);
            break;
        }
        assert_eq!(found.status, 401, "{found:?}");
    }
    let refused = refused.expect("wrong answers are taken for ever");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    // Whoever has signed in before in this browser does not notice, whatever the account.
    let (url, flow) = scene.begin("", "/session/provider/request", json!({})).await;
    let answer = scene.provider.sign_in(&url, account("7", "user7"), json!({}));
    let who = format!("{flow}; {}", known.join("; "));
    let found = scene.send(&who, "POST", path, answer).await;
    assert_eq!(found.status, 200, "{found:?}");
    scene.installation.server.stop().await;
}

#[tokio::test]
async fn s15_the_cookie_of_a_request_counts_under_the_name_that_it_was_set_with() {
    for (public, prefix) in [(Some("https://cams.example"), "__Host-"), (None, "")] {
        let scene = Scene::with(Provider::start().await, Join::Viewer, |config| {
            config.public_url = public.map(|url| url.parse().expect("a URL"));
        });
        let scene = scene.await;
        let (url, flow) = scene.begin("", "/session/provider/request", json!({})).await;
        let (name, value) = flow.split_once('=').expect("a cookie");
        assert_eq!(name, format!("{prefix}porthole_provider"));
        let answer = scene.provider.sign_in(&url, account("7", "bob"), json!({}));
        let others = ["", "__Secure-", "__Host-"].into_iter().filter(|other| *other != prefix);
        for (prefix, expected) in others.map(|other| (other, 403)).chain([(prefix, 200)]) {
            // Beside one that somebody else may have set.
            let who = format!("{prefix}porthole_provider=x; {prefix}porthole_provider={value}");
            let found = scene.send(&who, "POST", "/session/provider", answer.clone()).await;
            assert_eq!(found.status, expected, "{public:?} {prefix}: {found:?}");
        }
        scene.installation.server.stop().await;
    }
}

/// A change of the provider, or of the answer that the browser brings.
type Change = fn(&Provider, &mut Value);

#[tokio::test]
async fn an_answer_that_is_not_from_the_provider_signs_nobody_in() {
    const MOVED: &str =
        "HTTP/1.1 302 Found\r\nLocation: /realm/elsewhere\r\nContent-Length: 0\r\n\r\n";
    let table: &[(&str, Change, u16)] = &[
        ("as it is", |_, _| {}, 200),
        ("another issuer", |_, answer| answer["iss"] = json!("https://evil.example"), 401),
        ("no issuer", |_, answer| answer["iss"] = Value::Null, 401),
        ("no code", |_, answer| answer["code"] = Value::Null, 401),
        ("a wrong code", |_, answer| answer["code"] = json!("other"), 401),
        ("a long code", |_, answer| answer["code"] = json!("c".repeat(5000)), 401),
        ("a redirect for the code", |provider, _| provider.respond("/token", MOVED), 401),
        ("a redirect for the keys", |provider, _| provider.respond("/keys", MOVED), 502),
        (
            "no tokens",
            |provider, _| provider.respond("/token", "HTTP/1.1 200 OK\r\n\r\n<html>"),
            502,
        ),
        ("nothing", |provider, _| provider.respond("/token", ""), 502),
        ("no keys", |provider, _| provider.respond("/keys", "HTTP/1.1 200 OK\r\n\r\n{}"), 502),
        ("an unknown key", |provider, _| provider.name_key("k2"), 401),
    ];
    let path = "/session/provider";
    let request = "/session/provider/request";
    for (what, change, expected) in table {
        let (provider, server, _data) = bare().await;
        let begun = rest(server.address, "", "POST", request, json!({})).await;
        let url = begun.json()["url"].as_str().expect("an address").to_owned();
        let mut answer = provider.sign_in(&url, account("7", "bob"), json!({}));
        change(&provider, &mut answer);
        let found = rest(server.address, &cookie(&begun), "POST", path, answer).await;
        assert_eq!(found.status, *expected, "{what}: {found:?}");
        assert_eq!(provider.asked("/elsewhere"), 0, "{what}");
        assert!(provider.asked("/keys") <= 1, "{what}: keys are asked for seldom");
        server.stop().await;
    }
    for (what, document) in [
        ("another issuer", json!({"issuer": "https://evil.example"})),
        ("an address without TLS", json!({"token_endpoint": "http://192.0.2.1/token"})),
        ("no algorithm that counts", json!({"id_token_signing_alg_values_supported": ["HS256"]})),
    ] {
        let (provider, server, _data) = bare().await;
        provider.describe(document);
        for _ in 0..3 {
            let found = rest(server.address, "", "POST", request, json!({})).await;
            assert_eq!(found.status, 502, "{what}: {found:?}");
        }
        let asked = provider.asked("/.well-known/openid-configuration");
        assert_eq!(asked, 1, "a failure is not repeated at once");
        server.stop().await;
    }
}

/// Starts a provider, and a server on which everybody joins, without a user or gateway.
async fn bare() -> (Provider, Running, tempfile::TempDir) {
    let data = tempfile::tempdir().expect("a temporary folder");
    let provider = Provider::start().await;
    let mut config = config(data.path());
    config.openid_connect = Some(provider.config(Join::Viewer));
    let server = Running::with(config).await;
    (provider, server, data)
}

#[tokio::test]
async fn somebody_who_is_not_known_joins_as_configured_and_never_as_more_than_a_viewer() {
    for (join, expected, cameras) in
        [(Join::Nobody, 403, 0), (Join::WithoutCameras, 200, 0), (Join::Viewer, 200, 2)]
    {
        let provider = Provider::start().await;
        let scene = Scene::with(provider, join, |config| {
            let openid = config.openid_connect.as_mut().expect("a provider");
            openid.groups = vec!["family".to_owned()];
        });
        let scene = scene.await;
        let path = "/session/provider/request";
        let sign_in = async |subject: &str, name: &str, userinfo: Value| {
            let (url, flow) = scene.begin("", path, json!({})).await;
            let answer = scene.provider.sign_in(&url, account(subject, name), userinfo);
            scene.send(&flow, "POST", "/session/provider", answer).await
        };
        // The groups are not in the token.
        let member = json!({"sub": "7", "roles": ["family", "owner", "admin"], "role": "admin"});
        let found = sign_in("7", "bob", member.clone()).await;
        assert_eq!(found.status, expected, "{join:?}: {found:?}");
        for (what, subject, name, userinfo, expected) in [
            ("a stranger", "8", "cid", json!({"sub": "8", "roles": ["other"]}), 403),
            ("without groups", "8", "cid", json!({"sub": "8"}), 403),
            ("the groups of another", "8", "cid", member.clone(), 401),
        ] {
            let found = sign_in(subject, name, userinfo).await;
            assert_eq!(found.status, expected, "{what}: {found:?}");
        }
        if expected == 200 {
            let bob = cookie(&found);
            assert_eq!(found.json(), json!({"name": "bob", "role": "viewer"}));
            let list = scene.send(&bob, "GET", "/cameras", Value::Null).await.json();
            assert_eq!(list["cameras"].as_array().map(Vec::len), Some(cameras), "{list}");
            // Nobody takes the place of a user by its name.
            let owner = json!({"sub": "9", "roles": ["family"]});
            let taken = sign_in("9", "Ann", owner).await;
            assert_eq!(taken.status, 409, "{taken:?}");
            // There is no password, not even the empty one.
            let body = json!({"name": "bob", "password": ""});
            assert_eq!(scene.send("", "POST", "/session", body).await.status, 401);
            let path = "/session/identities";
            let list = scene.send(&bob, "GET", path, Value::Null).await.json();
            let path = format!("{path}/{}", list["identities"][0]["id"]);
            let last = scene.send(&bob, "DELETE", &path, Value::Null).await;
            assert_eq!(last.status, 409, "{last:?}");
            assert_eq!(scene.send(&scene.ann, "DELETE", &path, Value::Null).await.status, 404);
            // Who leaves the group does not sign in any more.
            let left = sign_in("7", "bob", json!({"sub": "7", "roles": []})).await;
            assert_eq!(left.status, 403, "{left:?}");
        }
        scene.installation.server.stop().await;
    }
}

#[tokio::test]
async fn an_invitation_is_accepted_with_an_account_once_and_with_the_rights_in_it() {
    let scene = Scene::new(Join::Nobody).await;
    let path = "/session/provider/request";
    let token = scene.invite("Bob").await;
    let join = async |token: &Value, name: Value, subject: &str| {
        let body = json!({"invitation": {"token": token, "name": name}});
        let (url, flow) = scene.begin("", path, body).await;
        let answer = scene.provider.sign_in(&url, account(subject, "b"), json!({}));
        scene.send(&flow, "POST", "/session/provider", answer).await
    };
    let taken = join(&token, json!("ann"), "7").await;
    assert_eq!(taken.status, 409, "{taken:?}");
    let joined = join(&token, Value::Null, "7").await;
    assert_eq!((joined.status, joined.json()), (200, json!({"name": "Bob", "role": "viewer"})));
    assert_eq!(scene.audit(2).await, ["signedIn", "invitationAccepted"]);
    let used = json!({"invitation": {"token": token}});
    assert_eq!(scene.send("", "POST", path, used).await.status, 403);
    let again = scene.sign_in(account("7", "b")).await;
    assert_eq!(again.json(), json!({"name": "Bob", "role": "viewer"}));
    // An account is one user.
    let second = join(&scene.invite("Cid").await, Value::Null, "7").await;
    assert_eq!(second.status, 409, "{second:?}");
    // A link for a password gives none.
    let users = scene.send(&scene.ann, "GET", "/users", Value::Null).await.json();
    let bob = users["users"][1]["id"].clone();
    let reset = scene.send(&scene.ann, "POST", &format!("/users/{bob}/reset"), Value::Null).await;
    let reset = reset.json()["token"].clone();
    let refused = json!({"invitation": {"token": reset}});
    assert_eq!(scene.send("", "POST", path, refused).await.status, 409);
    // Whoever sets a password with it has to link the account again.
    let body = json!({"token": reset, "password": PASSWORD});
    assert_eq!(scene.send("", "POST", "/invitations/accept", body).await.status, 200);
    assert_eq!(scene.sign_in(account("7", "b")).await.status, 403);
    scene.installation.server.stop().await;
}

#[tokio::test]
async fn a_user_who_is_removed_or_reset_is_not_signed_in_by_its_account_any_more() {
    let scene = Scene::new(Join::Nobody).await;
    let body = json!({"token": scene.invite("bob").await, "password": PASSWORD});
    let bob = cookie(&scene.send("", "POST", "/invitations/accept", body).await);
    assert_eq!(scene.link(&bob, account("7", "bob")).await.status, 204);
    let by_account = cookie(&scene.sign_in(account("7", "bob")).await);
    assert_eq!(scene.link(&scene.ann, account("8", "ann")).await.status, 204);
    let users = scene.send(&scene.ann, "GET", "/users", Value::Null).await.json();
    let path = format!("/users/{}", users["users"][1]["id"]);
    assert_eq!(scene.send(&scene.ann, "DELETE", &path, Value::Null).await.status, 200);
    assert_eq!(scene.send(&by_account, "GET", "/session", Value::Null).await.status, 401);
    assert_eq!(scene.sign_in(account("7", "bob")).await.status, 403);
    let data = scene.installation.data.path();
    assert_eq!(scene.sign_in(account("8", "ann")).await.status, 200);
    admin::reset_user(data, "ann", PASSWORD.to_owned(), Given::Kept).await.expect("a reset");
    assert_eq!(scene.sign_in(account("8", "ann")).await.status, 403);
    scene.installation.server.stop().await;
}

#[tokio::test]
async fn somebody_who_was_removed_joins_again_only_with_an_invitation() {
    let scene = Scene::new(Join::Viewer).await;
    let users = async || scene.send(&scene.ann, "GET", "/users", Value::Null).await.json();
    let remove = async |name: &str| {
        let users = users().await;
        let all = users["users"].as_array().expect("a list");
        let user = all.iter().find(|user| user["name"] == name).expect("the user");
        let path = format!("/users/{}", user["id"]);
        assert_eq!(scene.send(&scene.ann, "DELETE", &path, Value::Null).await.status, 200);
    };
    let data = scene.installation.data.path();
    let (bob, cid, dan) = (account("7", "bob"), account("8", "cid"), account("9", "dan"));
    for account in [&bob, &cid, &dan] {
        assert_eq!(scene.sign_in(account.clone()).await.status, 200);
    }
    // Whoever is still there does not become a second user, who would have other rights. The new
    // password has unlinked the account.
    admin::reset_user(data, "cid", PASSWORD.to_owned(), Given::Kept).await.expect("a reset");
    let mut again = cid.clone();
    again["preferred_username"] = json!("cid again");
    let found = scene.sign_in(again).await;
    assert_eq!(found.status, 403, "{found:?}");
    assert!(found.error().contains("link it again"), "{found:?}");
    assert_eq!(scene.audit(1).await, ["identityRefused"]);
    remove("cid").await;
    // However the account was unlinked before, who was removed stays out.
    admin::reset_user(data, "dan", PASSWORD.to_owned(), Given::Kept).await.expect("a reset");
    remove("dan").await;
    remove("bob").await;
    for account in [&bob, &cid, &dan] {
        let found = scene.sign_in(account.clone()).await;
        assert_eq!(found.status, 403, "{found:?}");
        assert!(found.error().contains("removed you here"), "{found:?}");
        assert_eq!(scene.audit(1).await, ["identityRefused"]);
    }
    assert_eq!(scene.sign_in(account("10", "eve")).await.status, 200, "others join");
    let body = json!({"invitation": {"token": scene.invite("Bob").await}});
    let (url, flow) = scene.begin("", "/session/provider/request", body).await;
    let answer = scene.provider.sign_in(&url, bob.clone(), json!({}));
    assert_eq!(scene.send(&flow, "POST", "/session/provider", answer).await.status, 200);
    assert_eq!(scene.sign_in(bob.clone()).await.json(), json!({"name": "Bob", "role": "viewer"}));
    remove("Bob").await;
    assert_eq!(scene.sign_in(bob).await.status, 403);
    scene.installation.server.stop().await;
}

#[tokio::test]
async fn a_provider_is_known_by_its_certificate() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let authority = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let chain = vec![authority.clone()];
    let tls = builder.with_no_client_auth().with_single_cert(chain, key).expect("a certificate");
    let tls = TlsAcceptor::from(Arc::new(tls));
    for (authorities, expected) in [(vec![authority], 200), (Vec::new(), 502)] {
        let provider = Provider::with_tls(tls.clone()).await;
        let scene = Scene::with(provider, Join::Viewer, |config| {
            let openid = config.openid_connect.as_mut().expect("a provider");
            openid.authorities = authorities;
        });
        let scene = scene.await;
        let begun = scene.send("", "POST", "/session/provider/request", json!({})).await;
        assert_eq!(begun.status, expected, "{begun:?}");
        if expected == 200 {
            assert_eq!(scene.sign_in(account("7", "bob")).await.status, 200);
        }
        scene.installation.server.stop().await;
    }
}
