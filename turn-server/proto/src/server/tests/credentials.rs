//! Authentication (RFC 8489 §9.2), and what unauthenticated requests may cost others.

use std::fmt::Write as _;

use super::*;
use crate::REQUESTED_UDP;
use crate::stun::{
    ErrorCode, Integrity, LongTermKey, MessageWriter, PasswordAlgorithm, TransactionId, attribute,
    userhash,
};

const ID: TransactionId = TransactionId([7; 12]);
const START_S: u64 = 1_700_000_000;
/// SHA-256 and MD5 as PASSWORD-ALGORITHMS lists them.
const BOTH: [u8; 8] = [0, 2, 0, 0, 0, 1, 0, 0];

pub(super) fn config(realm: &str, reloadable: ReloadableConfig) -> ServerConfig {
    let policy = PolicyConfig { allow: vec!["0.0.0.0/0".parse().unwrap()], ..Default::default() };
    let ip = "203.0.113.1".parse().unwrap();
    ServerConfig {
        realm: realm.to_owned(),
        reloadable: ReloadableConfig { policy, ..reloadable },
        relay_v4: Some(RelayAddress { ip, ports: PortPool::new(50_000..=50_999) }),
        relay_v6: None,
        nat_discovery: None,
        dont_fragment: false,
        worker: 0,
        offload: false,
        nonce_key: [1; 32],
        seed: [2; 32],
    }
}

fn server(realm: &str, reloadable: ReloadableConfig) -> Server {
    let quota = LocalQuota::new(QuotaLimits::default());
    Server::new(config(realm, reloadable), Box::new(quota))
}

/// Allocates as Anna, with the right password. Returns the response.
pub(super) fn allocate(server: &mut Server, from: &FiveTuple) -> Vec<u8> {
    let nonce = nonce(server, from, transport);
    let key = LongTermKey::new(PasswordAlgorithm::Md5, ["anna", "porthole", "pw"], Integrity::Sha1);
    let user = (attribute::USERNAME, &b"anna"[..]);
    let credentials = Credentials { user, listed: None, chosen: None, key };
    exchange(server, now(), from, &credentials.request("porthole", &nonce)).unwrap()
}

pub(super) fn anna() -> ReloadableConfig {
    ReloadableConfig {
        users: vec![("anna".to_owned(), "pw".to_owned())],
        ..ReloadableConfig::default()
    }
}

pub(super) fn now() -> Now {
    Now { instant: Instant::now(), unix_s: START_S }
}

pub(super) fn from(client: &str, transport: Transport) -> FiveTuple {
    let server = if client.starts_with('[') { "[2001:db8::1]:3478" } else { "203.0.113.1:3478" };
    FiveTuple { transport, client: client.parse().unwrap(), server: server.parse().unwrap() }
}

/// Passes a message to the server, opens the sockets that it wants, and returns the last response.
pub(super) fn exchange(
    server: &mut Server,
    now: Now,
    from: &FiveTuple,
    bytes: &[u8],
) -> Option<Vec<u8>> {
    server.handle_client(now, from, bytes);
    let mut response = None;
    while let Some(output) = server.poll_output() {
        if let Output::OpenRelay { relay, .. } = output {
            server.handle_relay_opened(now, relay);
        } else if let Output::Send { bytes, .. } = output {
            response = Some(bytes);
        }
    }
    response
}

pub(super) fn request(method: Method, fill: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = MessageWriter::new(&mut out, Class::Request, method, ID);
    fill(&mut writer);
    writer.finish().unwrap();
    out
}

fn transport(writer: &mut MessageWriter<'_>) {
    writer.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP);
}

/// Makes a first Allocate as long as that of turn-client-proto: long enough for a full challenge.
fn long_enough(writer: &mut MessageWriter<'_>) {
    transport(writer);
    writer.u32(attribute::LIFETIME, 1800).attribute(attribute::SOFTWARE, &[]);
}

fn nonce(server: &mut Server, from: &FiveTuple, fill: fn(&mut MessageWriter<'_>)) -> Vec<u8> {
    let response = exchange(server, now(), from, &request(Method::Allocate, fill)).unwrap();
    Message::parse(&response).unwrap().first(attribute::NONCE).unwrap().value.to_vec()
}

fn code(response: &[u8]) -> u16 {
    Message::parse(response).unwrap().error_code().map_or(0, ErrorCode::value)
}

/// The credentials of an Allocate request.
struct Credentials<'a> {
    user: (u16, &'a [u8]),
    listed: Option<&'a [u8]>,
    chosen: Option<PasswordAlgorithm>,
    key: LongTermKey,
}

impl Credentials<'_> {
    fn request(&self, realm: &str, nonce: &[u8]) -> Vec<u8> {
        request(Method::Allocate, |w| {
            transport(w);
            w.attribute(self.user.0, self.user.1)
                .attribute(attribute::REALM, realm.as_bytes())
                .attribute(attribute::NONCE, nonce);
            if let Some(listed) = self.listed {
                w.attribute(attribute::PASSWORD_ALGORITHMS, listed);
            }
            if let Some(chosen) = self.chosen {
                w.attribute(attribute::PASSWORD_ALGORITHM, &chosen.encode());
            }
            w.integrity(&self.key);
        })
    }
}

#[test]
fn r7_each_kind_of_credentials_is_accepted_and_each_bid_down_refused() {
    use Integrity::{Sha1, Sha256};
    use PasswordAlgorithm::{Md5, Sha256 as Sha256Key};
    let hash = userhash("anna", "porthole");
    let name = (attribute::USERNAME, &b"anna"[..]);
    let hashed = (attribute::USERHASH, &hash[..]);
    let key =
        |algorithm, integrity| LongTermKey::new(algorithm, ["anna", "porthole", "pw"], integrity);
    let wrong = LongTermKey::new(Sha256Key, ["anna", "porthole", "no"], Sha256);
    let md5_alone = &BOTH[4..];
    let reversed = [&BOTH[4..], &BOTH[..4]].concat();
    type Row<'a> =
        (&'a str, (u16, &'a [u8]), Option<&'a [u8]>, Option<PasswordAlgorithm>, LongTermKey, u16);
    let rows: [Row<'_>; 14] = [
        ("as RFC 5389", name, None, None, key(Md5, Sha1), 0),
        ("MD5 with SHA-256", name, None, None, key(Md5, Sha256), 0),
        ("SHA-256 chosen", name, Some(&BOTH), Some(Sha256Key), key(Sha256Key, Sha256), 0),
        ("SHA-256 key, SHA-1", name, Some(&BOTH), Some(Sha256Key), key(Sha256Key, Sha1), 0),
        ("MD5 chosen", name, Some(&BOTH), Some(Md5), key(Md5, Sha256), 0),
        ("USERHASH", hashed, Some(&BOTH), Some(Sha256Key), key(Sha256Key, Sha256), 0),
        ("USERHASH of no user", (attribute::USERHASH, &[9; 32]), None, None, key(Md5, Sha1), 401),
        ("short USERHASH", (attribute::USERHASH, &[9; 4]), None, None, key(Md5, Sha1), 401),
        ("another password", name, Some(&BOTH), Some(Sha256Key), wrong, 401),
        ("another algorithm's key", name, Some(&BOTH), Some(Md5), key(Sha256Key, Sha256), 401),
        ("a list cut down", name, Some(md5_alone), Some(Md5), key(Md5, Sha1), 400),
        ("a list turned round", name, Some(&reversed), Some(Md5), key(Md5, Sha1), 400),
        ("no choice", name, Some(&BOTH), None, key(Md5, Sha1), 400),
        ("a choice without the list", name, None, Some(Md5), key(Md5, Sha1), 400),
    ];
    for (what, user, listed, chosen, key, wanted) in rows {
        let mut server = server("porthole", anna());
        let from = from("198.51.100.7:4000", Transport::Udp);
        let nonce = nonce(&mut server, &from, long_enough);
        assert!(nonce.starts_with(b"obMatJos2wAAD"), "both features, in either order of bits");
        let integrity = key.integrity();
        let credentials = Credentials { user, listed, chosen, key };
        let response =
            exchange(&mut server, now(), &from, &credentials.request("porthole", &nonce)).unwrap();
        assert_eq!(code(&response), wanted, "{what}");
        let message = Message::parse(&response).unwrap();
        if wanted == 0 {
            assert!(
                message.has_valid_integrity(&credentials.key),
                "{what}: answered with the same integrity"
            );
            assert_eq!(message.integrity(), Some(integrity), "{what}");
        }
    }
}

#[test]
fn a_short_challenge_announces_no_features_and_demands_none() {
    let mut server = server("porthole", anna());
    let from = from("198.51.100.7:4000", Transport::Udp);
    let short = nonce(&mut server, &from, transport);
    assert_eq!(short.len(), 11);
    let key = LongTermKey::new(PasswordAlgorithm::Md5, ["anna", "porthole", "pw"], Integrity::Sha1);
    let user = (attribute::USERNAME, &b"anna"[..]);
    let credentials = Credentials { user, listed: None, chosen: None, key };
    // The cookie in front of a short nonce is not ours.
    let forged = [&b"obMatJos2wAAD"[..], &short].concat();
    for (nonce, wanted) in [(&forged, 438), (&short, 0)] {
        let response =
            exchange(&mut server, now(), &from, &credentials.request("porthole", nonce)).unwrap();
        assert_eq!(code(&response), wanted);
    }
}

/// The HMAC of a nonce covers its features (RFC 8489 §9.2).
#[test]
fn r7_the_features_that_a_nonce_announces_cannot_be_changed() {
    let mut server = server("porthole", anna());
    let from = from("198.51.100.7:4000", Transport::Udp);
    let full = nonce(&mut server, &from, long_enough);
    let key = LongTermKey::new(PasswordAlgorithm::Md5, ["anna", "porthole", "pw"], Integrity::Sha1);
    let user = (attribute::USERNAME, &b"anna"[..]);
    let credentials = Credentials { user, listed: None, chosen: None, key };
    for (what, changed) in [
        ("without USERHASH", [&b"obMatJos2gAAB"[..], &full[13..]].concat()),
        ("without anything", [&b"obMatJos2AAAA"[..], &full[13..]].concat()),
        ("without the cookie", full[13..].to_vec()),
    ] {
        let response =
            exchange(&mut server, now(), &from, &credentials.request("porthole", &changed))
                .unwrap();
        assert_eq!(code(&response), 438, "{what}");
    }
}

#[test]
fn userhash_is_announced_if_every_user_can_be_found_by_it() {
    let rest = vec!["secret".to_owned()];
    for (what, reloadable, prefix) in [
        ("users alone", anna(), "obMatJos2wAAD"),
        ("and a secret", ReloadableConfig { rest_secrets: rest, ..anna() }, "obMatJos2gAAB"),
        ("no users", ReloadableConfig::default(), "obMatJos2gAAB"),
    ] {
        let mut server = server("porthole", reloadable);
        let nonce = nonce(&mut server, &from("198.51.100.7:4000", Transport::Tls), transport);
        assert!(nonce.starts_with(prefix.as_bytes()), "{what}: {}", nonce.escape_ascii());
    }
}

#[test]
fn users_and_each_secret_of_a_rotation_are_accepted_side_by_side() {
    let secrets = vec!["new".to_owned(), "old".to_owned()];
    let mut server = server("porthole", ReloadableConfig { rest_secrets: secrets, ..anna() });
    let rest = |secret| rest_credentials(secret, "bert", START_S + 60);
    let late = rest_credentials("new", "bert", START_S);
    for (at, (name, password), wanted) in [
        (1, ("anna".to_owned(), "pw".to_owned()), 0),
        (2, rest("new"), 0),
        (3, rest("old"), 0),
        (4, rest("older"), 401),
        (5, late, 401),
    ] {
        let from = from(&format!("198.51.100.{at}:4000"), Transport::Udp);
        let nonce = nonce(&mut server, &from, long_enough);
        let parts = [name.as_str(), "porthole", password.as_str()];
        let key = LongTermKey::new(PasswordAlgorithm::Sha256, parts, Integrity::Sha256);
        let user = (attribute::USERNAME, name.as_bytes());
        let chosen = Some(PasswordAlgorithm::Sha256);
        let credentials = Credentials { user, listed: Some(&BOTH), chosen, key };
        let response =
            exchange(&mut server, now(), &from, &credentials.request("porthole", &nonce)).unwrap();
        assert_eq!(code(&response), wanted, "{at}: {name}");
    }
}

#[test]
fn with_strict_expiry_expired_credentials_prolong_nothing() {
    let (name, password) = rest_credentials("secret", "bert", START_S + 60);
    for (strict_expiry, later_s, lifetime_s, wanted) in [
        (false, 30, 600, 0),
        (false, 90, 600, 0),
        (true, 30, 600, 0),
        (true, 90, 600, 401),
        (true, 90, 0, 0),
    ] {
        let rest_secrets = vec!["secret".to_owned()];
        let settings =
            ReloadableConfig { rest_secrets, strict_expiry, ..ReloadableConfig::default() };
        let mut server = server("porthole", settings);
        let from = from("198.51.100.1:4000", Transport::Udp);
        let nonce = nonce(&mut server, &from, transport);
        let parts = [name.as_str(), "porthole", password.as_str()];
        let key = LongTermKey::new(PasswordAlgorithm::Md5, parts, Integrity::Sha1);
        let user = (attribute::USERNAME, name.as_bytes());
        let credentials = Credentials { user, listed: None, chosen: None, key: key.clone() };
        let start = now();
        let allocated =
            exchange(&mut server, start, &from, &credentials.request("porthole", &nonce)).unwrap();
        assert_eq!(code(&allocated), 0);
        let later = Now {
            instant: start.instant + Duration::from_secs(later_s),
            unix_s: START_S + later_s,
        };
        let refresh = request(Method::Refresh, |w| {
            w.u32(attribute::LIFETIME, lifetime_s)
                .attribute(user.0, user.1)
                .attribute(attribute::REALM, b"porthole")
                .attribute(attribute::NONCE, &nonce)
                .integrity(&key);
        });
        let response = exchange(&mut server, later, &from, &refresh).unwrap();
        assert_eq!(code(&response), wanted, "{strict_expiry} {later_s} {lifetime_s}");
    }
}

/// Requests an allocation with time-limited credentials of this expiry, derived from `secret`.
/// Returns the code of the response and what is doubtful about the credentials.
fn allocate_until(
    server: &mut Server,
    from: &FiveTuple,
    nonce: &[u8],
    (now, expiry_s): (Now, u64),
    secret: &str,
) -> (u16, Vec<(Doubt, u64, u64)>) {
    let (name, password) = rest_credentials(secret, "bert", expiry_s);
    let parts = [name.as_str(), "porthole", password.as_str()];
    let key = LongTermKey::new(PasswordAlgorithm::Md5, parts, Integrity::Sha1);
    let user = (attribute::USERNAME, name.as_bytes());
    let credentials = Credentials { user, listed: None, chosen: None, key };
    server.handle_client(now, from, &credentials.request("porthole", nonce));
    let (mut found, mut doubts) = (0, Vec::new());
    while let Some(output) = server.poll_output() {
        if let Output::OpenRelay { relay, .. } = output {
            server.handle_relay_opened(now, relay);
        } else if let Output::Send { bytes, .. } = output {
            found = code(&bytes);
        } else if let Output::DoubtfulCredential { doubt, expiry_s, now_s } = output {
            doubts.push((doubt, expiry_s, now_s));
        }
    }
    (found, doubts)
}

#[test]
fn credentials_of_a_server_with_another_clock_are_noticed_from_time_to_time() {
    let settings =
        ReloadableConfig { rest_secrets: vec!["secret".to_owned()], ..Default::default() };
    let mut server = server("porthole", settings);
    let from = from("198.51.100.1:4000", Transport::Udp);
    let nonce = nonce(&mut server, &from, transport);
    let start = now();
    // The time, the end of the credentials, and the output.
    for (what, after_s, left_s, secret, code, doubt) in [
        ("valid", 0, 600, "secret", 0, None),
        ("expired, but of nobody", 0, -660, "another", 401, None),
        ("expired", 0, -660, "secret", 401, Some(Doubt::Expired)),
        ("again", 300, -660, "secret", 401, None),
        ("far ahead", 300, 7 * 86_400, "secret", 0, Some(Doubt::FarFuture)),
        ("a day ahead", 300, 86_400, "secret", 0, None),
        ("after ten minutes", 600, -3 * 3600, "secret", 401, Some(Doubt::Expired)),
    ] {
        let instant = start.instant + Duration::from_secs(after_s);
        let now = Now { instant, unix_s: START_S + after_s };
        let expiry_s = now.unix_s.checked_add_signed(left_s).unwrap();
        let doubt = doubt.map(|doubt| (doubt, expiry_s, now.unix_s));
        let found = allocate_until(&mut server, &from, &nonce, (now, expiry_s), secret);
        assert_eq!(found, (code, doubt.into_iter().collect()), "{what}");
    }
    let counted: Vec<_> = server.counters().doubts().collect();
    assert_eq!(counted, [(Doubt::Expired, 3), (Doubt::FarFuture, 1)]);
}

/// Checks the bytes in and out for every kind of message that needs no password, over UDP, where
/// the source may be forged. The table is shown with `--nocapture`.
#[test]
fn responses_to_forged_sources_are_at_most_twice_the_request() {
    let (v4, v6) = ("198.51.100.7:4000", "[2001:db8::7]:4000");
    let key = LongTermKey::new(PasswordAlgorithm::Md5, ["anna", "porthole", "pw"], Integrity::Sha1);
    let fingerprint = |fill: fn(&mut MessageWriter<'_>)| {
        move |w: &mut MessageWriter<'_>| {
            fill(w);
            w.fingerprint();
        }
    };
    let none = |_: &mut MessageWriter<'_>| {};
    let unknown = |w: &mut MessageWriter<'_>| {
        (0..8).for_each(|n| {
            w.attribute(0x7000 + n, &[]);
        });
    };
    let stale = |w: &mut MessageWriter<'_>| {
        w.attribute(attribute::USERNAME, b"a")
            .attribute(attribute::REALM, b"r")
            .attribute(attribute::NONCE, b"n")
            .attribute(attribute::MESSAGE_INTEGRITY, &[0; 20]);
    };
    let rows: [(&str, &str, Vec<u8>, Option<usize>); 13] = [
        ("Binding", v4, request(Method::Binding, none), Some(32)),
        ("Binding, IPv6", v6, request(Method::Binding, none), Some(44)),
        ("Binding, FINGERPRINT", v4, request(Method::Binding, fingerprint(none)), Some(40)),
        ("Binding, unknown attributes", v4, request(Method::Binding, unknown), Some(48)),
        ("Allocate, bare header", v4, request(Method::Allocate, none), None),
        ("Allocate, a browser's", v4, request(Method::Allocate, transport), Some(56)),
        ("Allocate, FINGERPRINT", v4, request(Method::Allocate, fingerprint(transport)), Some(64)),
        ("Allocate, 40 bytes", v4, request(Method::Allocate, long_enough), Some(80)),
        ("Refresh, bare header", v4, request(Method::Refresh, none), None),
        ("CreatePermission, bare header", v4, request(Method::CreatePermission, none), None),
        ("Refresh, a made-up nonce", v4, request(Method::Refresh, stale), Some(80)),
        (
            "Refresh, integrity alone",
            v4,
            request(Method::Refresh, |w| {
                w.integrity(&key);
            }),
            Some(28),
        ),
        (
            "Send indication",
            v4,
            {
                let mut out = Vec::new();
                MessageWriter::new(&mut out, Class::Indication, Method::Send, ID).finish().unwrap();
                out
            },
            None,
        ),
    ];
    let mut table = format!("{:32} {:>4} {:>4}  {:>5}\n", "", "in", "out", "ratio");
    for (what, client, request_bytes, wanted) in rows {
        let mut server = server("porthole", anna());
        let response = exchange(&mut server, now(), &from(client, Transport::Udp), &request_bytes);
        let out = response.map(|response| response.len());
        let bytes = out.unwrap_or(0);
        let hundredths = bytes * 100 / request_bytes.len();
        writeln!(
            table,
            "{what:32} {:>4} {bytes:>4}  {}.{:02}",
            request_bytes.len(),
            hundredths / 100,
            hundredths % 100
        )
        .unwrap();
        assert_eq!(out, wanted, "{what}");
        let twice = 2 * request_bytes.len();
        assert!(
            bytes <= twice || what == "Binding, IPv6",
            "{what}: {bytes} of {}",
            request_bytes.len()
        );
    }
    println!("{table}");
}

#[test]
fn a_longer_realm_still_lets_browsers_in() {
    for (realm, transport_of, wanted) in [
        ("porthole", Transport::Udp, 56),
        ("turn.example.org", Transport::Udp, 64),
        ("turn.example.org", Transport::Tcp, 88),
        ("turn.example.org", Transport::Tls, 88),
        ("turn.example.org", Transport::Dtls, 88),
    ] {
        let mut server = server(realm, anna());
        let request_bytes = request(Method::Allocate, transport);
        let from = from("198.51.100.7:4000", transport_of);
        let response = exchange(&mut server, now(), &from, &request_bytes).unwrap();
        assert_eq!(response.len(), wanted, "{realm} {transport_of:?}");
    }
}

#[test]
fn forged_sources_of_one_block_and_guessers_are_rate_limited() {
    let mut server = server("porthole", anna());
    let now = now();
    let binding = request(Method::Binding, |_| {});
    let answered = |server: &mut Server, block: u8, count: u32| {
        let ask = |n: &u32| {
            let from = from(&format!("198.51.{block}.{}:4000", n % 256), Transport::Udp);
            exchange(server, now, &from, &binding).is_some()
        };
        (0..count).filter(ask).count()
    };
    assert_eq!(answered(&mut server, 100, 5000), 2000);
    assert_eq!(answered(&mut server, 101, 100), 100, "others are not affected");

    let from = from("192.0.2.1:4000", Transport::Udp);
    let nonce = nonce(&mut server, &from, long_enough);
    let guess = |password: &str| {
        let parts = ["anna", "porthole", password];
        let key = LongTermKey::new(PasswordAlgorithm::Md5, parts, Integrity::Sha1);
        let user = (attribute::USERNAME, &b"anna"[..]);
        Credentials { user, listed: None, chosen: None, key }.request("porthole", &nonce)
    };
    let wrong = (0..200).filter(|_| exchange(&mut server, now, &from, &guess("?")).is_some());
    assert_eq!(wrong.count(), 50);
    let right = exchange(&mut server, now, &from, &guess("pw"));
    assert_eq!(
        right.map(|response| code(&response)),
        Some(0),
        "the right password is always answered"
    );
}

#[test]
fn forged_sources_of_many_blocks_share_a_budget_that_does_not_affect_clients_with_a_password() {
    let mut server = server("porthole", anna());
    let (client, connection) =
        (from("192.0.2.1:4000", Transport::Udp), from("192.0.2.2:4000", Transport::Tcp));
    let nonce = nonce(&mut server, &client, long_enough);
    let start = now().instant + Duration::from_secs(1);
    let binding = request(Method::Binding, |_| {});
    let mut forged = 0_u32;
    // Each from a block of its own, so that the limit of a block is not reached.
    for (at_ms, sent, answered) in [
        (0, 150_000, 100_000),
        (0, 1000, 0),
        (1, 1000, 100),
        (10, 2000, 900),
        (60_000, 150_000, 100_000),
    ] {
        let now = Now { instant: start + Duration::from_millis(at_ms), unix_s: START_S };
        let mut ask = || {
            forged += 1;
            let ip = match forged % 2 {
                0 => IpAddr::from((forged << 8).to_be_bytes()),
                _ => IpAddr::from((u128::from(forged) << 72).to_be_bytes()),
            };
            let source = FiveTuple { client: SocketAddr::new(ip, 4000), ..client };
            exchange(&mut server, now, &source, &binding).is_some()
        };
        let got = (0..sent).filter(|_| ask()).count();
        assert_eq!(got, answered, "after {at_ms} ms");
        assert!(exchange(&mut server, now, &connection, &binding).is_some(), "{at_ms} ms");
        let key = ["anna", "porthole", "pw"];
        let key = LongTermKey::new(PasswordAlgorithm::Md5, key, Integrity::Sha1);
        let user = (attribute::USERNAME, &b"anna"[..]);
        let allocate =
            Credentials { user, listed: None, chosen: None, key }.request("porthole", &nonce);
        let response = exchange(&mut server, now, &client, &allocate).unwrap();
        assert_eq!(code(&response), 0, "after {at_ms} ms a password is answered");
    }
}
