//! Access tokens of a third party (RFC 7635).

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::credentials::{config, exchange, from, now, request};
use super::*;
use crate::stun::{ErrorCode, Integrity, LongTermKey, MessageWriter, attribute};
use crate::{REQUESTED_TCP, REQUESTED_UDP};

const LONG: &[u8; 32] = b"01234567890123456789012345678901";
const SHORT: &[u8; 16] = b"1234567890123456";
const SESSION_KEY: &[u8; 20] = b"a session key of 20.";

type Fill = fn(&mut MessageWriter<'_>);

/// A token of a third party.
struct Token<'a> {
    key: &'a [u8],
    server_name: &'a str,
    session_key: &'a [u8],
    from_s: u64,
    lifetime_s: u32,
    nonce: [u8; 12],
}

impl Token<'_> {
    fn new() -> Self {
        let (from_s, lifetime_s) = (now().unix_s, 300);
        let session_key = SESSION_KEY;
        let nonce = [7; 12];
        Self { key: LONG, server_name: "porthole", session_key, from_s, lifetime_s, nonce }
    }

    fn seal(&self) -> Vec<u8> {
        let mut block = u16::try_from(self.session_key.len()).unwrap().to_be_bytes().to_vec();
        block.extend_from_slice(self.session_key);
        block.extend_from_slice(&(self.from_s << 16).to_be_bytes());
        block.extend_from_slice(&self.lifetime_s.to_be_bytes());
        let algorithm = if self.key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
        let key = LessSafeKey::new(UnboundKey::new(algorithm, self.key).unwrap());
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        key.seal_in_place_append_tag(nonce, Aad::from(self.server_name), &mut block).unwrap();
        [&[0, 12][..], &self.nonce, &block].concat()
    }
}

fn server() -> Server {
    server_with(QuotaLimits::default())
}

fn server_with(quota: QuotaLimits) -> Server {
    let key = |kid: &str, key: &[u8]| OauthKey { kid: kid.to_owned(), key: key.to_vec() };
    let oauth_keys = vec![key("long", LONG), key("short", SHORT)];
    let settings = ReloadableConfig { oauth_keys, ..ReloadableConfig::default() };
    Server::new(config("porthole", settings), Box::new(LocalQuota::new(quota)))
}

fn client() -> FiveTuple {
    from("198.51.100.7:4000", Transport::Tcp)
}

fn signed(
    method: Method,
    nonce: &[u8],
    kid: &str,
    token: Option<&[u8]>,
    session_key: &[u8],
    fill: impl FnOnce(&mut MessageWriter<'_>),
) -> Vec<u8> {
    request(method, |w| {
        fill(w);
        w.attribute(attribute::USERNAME, kid.as_bytes())
            .attribute(attribute::REALM, b"porthole")
            .attribute(attribute::NONCE, nonce);
        if let Some(token) = token {
            w.attribute(attribute::ACCESS_TOKEN, token);
        }
        w.integrity(&LongTermKey::from_bytes(session_key, Integrity::Sha1).unwrap());
    })
}

fn transport(writer: &mut MessageWriter<'_>) {
    writer.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP);
}

/// The nonce of the challenge, which names the server.
fn nonce(server: &mut Server) -> Vec<u8> {
    let challenge = exchange(server, now(), &client(), &request(Method::Allocate, transport));
    let challenge = challenge.unwrap();
    let message = Message::parse(&challenge).unwrap();
    let name = message.text(attribute::THIRD_PARTY_AUTHORIZATION);
    assert_eq!(name, Ok(Some("porthole")));
    message.first(attribute::NONCE).unwrap().value.to_vec()
}

fn code(response: &[u8]) -> u16 {
    Message::parse(response).unwrap().error_code().map_or(0, ErrorCode::value)
}

#[test]
fn a_token_authenticates_a_client_that_knows_the_key_in_it() {
    let good = Token::new().seal();
    let short = Token { key: SHORT, ..Token::new() }.seal();
    let flipped = |at: usize| {
        let mut token = good.clone();
        token[at] ^= 1;
        token
    };
    let start_s = now().unix_s;
    let at = |from_s, lifetime_s| Token { from_s, lifetime_s, ..Token::new() }.seal();
    let long_nonce = [&[0xFF, 0xFF][..], &good[2..]].concat();
    let other_nonce = [&[0, 11][..], &good[2..]].concat();
    for (what, kid, token, session_key, wanted) in [
        ("A256GCM", "long", &good, &SESSION_KEY[..], 0),
        ("A128GCM", "short", &short, SESSION_KEY, 0),
        ("as much of the key as coturn's clients use", "long", &good, &SESSION_KEY[..16], 0),
        ("less of it", "long", &good, &SESSION_KEY[..15], 401),
        ("another key's", "short", &good, SESSION_KEY, 401),
        ("an unknown key's", "none", &good, SESSION_KEY, 401),
        ("without the key inside", "long", &good, b"another key of 20 b.", 401),
        (
            "for another server",
            "long",
            &Token { server_name: "other", ..Token::new() }.seal(),
            SESSION_KEY,
            401,
        ),
        ("changed", "long", &flipped(20), SESSION_KEY, 401),
        ("a changed tag", "long", &flipped(good.len() - 1), SESSION_KEY, 401),
        ("a nonce longer than the token", "long", &long_nonce, SESSION_KEY, 401),
        ("a nonce of another length", "long", &other_nonce, SESSION_KEY, 401),
        ("cut off", "long", &good[..13].to_vec(), SESSION_KEY, 401),
        ("empty", "long", &vec![], SESSION_KEY, 401),
        ("expired", "long", &at(start_s - 310, 300), SESSION_KEY, 401),
        ("just within the skew", "long", &at(start_s - 304, 300), SESSION_KEY, 0),
        ("from the future", "long", &at(start_s + 60, 300), SESSION_KEY, 401),
        ("for ever", "long", &at(start_s, u32::MAX), SESSION_KEY, 0),
    ] {
        let mut server = server();
        let nonce = nonce(&mut server);
        let signed_request =
            signed(Method::Allocate, &nonce, kid, Some(token), session_key, transport);
        let response = exchange(&mut server, now(), &client(), &signed_request).unwrap();
        assert_eq!(code(&response), wanted, "{what}");
    }
}

/// The allocation ends with the token, and a new token prolongs it under a new key (RFC 7635 §5).
#[test]
fn an_allocation_lives_as_long_as_its_token() {
    let mut server = server();
    let nonce = nonce(&mut server);
    let lifetime = |response: &[u8]| Message::parse(response).unwrap().u32(attribute::LIFETIME);
    let token = Token::new().seal();
    let signed_request =
        signed(Method::Allocate, &nonce, "long", Some(&token), SESSION_KEY, transport);
    let start = now();
    let response = exchange(&mut server, start, &client(), &signed_request).unwrap();
    assert_eq!(lifetime(&response), Ok(Some(300)));

    let later =
        Now { instant: start.instant + Duration::from_secs(200), unix_s: start.unix_s + 200 };
    let permit = |key: &[u8]| {
        signed(Method::CreatePermission, &nonce, "long", None, key, |w| {
            w.xor_address(attribute::XOR_PEER_ADDRESS, "9.9.9.9:9".parse().unwrap());
        })
    };
    let response = exchange(&mut server, later, &client(), &permit(SESSION_KEY)).unwrap();
    assert_eq!(code(&response), 0, "the token is not needed again");

    let next_key = b"the next key, 20 b..";
    let token = Token { session_key: next_key, from_s: later.unix_s, ..Token::new() }.seal();
    let refresh = signed(Method::Refresh, &nonce, "long", Some(&token), next_key, |_| {});
    let response = exchange(&mut server, later, &client(), &refresh).unwrap();
    assert_eq!(lifetime(&response), Ok(Some(300)));
    for (key, wanted) in [(&SESSION_KEY[..], 401), (next_key, 0)] {
        let response = exchange(&mut server, later, &client(), &permit(key)).unwrap();
        assert_eq!(code(&response), wanted);
    }
    assert_eq!(server.poll_timeout(), Some(later.instant + Duration::from_secs(300)));
}

/// The next token may be sealed with another key. Without one the allocation cannot be prolonged.
#[test]
fn a_token_under_another_kid_prolongs_and_an_expired_one_does_not() {
    let mut server = server();
    let nonce = nonce(&mut server);
    let start = now();
    let at =
        |s: u64| Now { instant: start.instant + Duration::from_secs(s), unix_s: start.unix_s + s };
    let first = Token::new().seal();
    let next_key = b"the next key, 20 b..";
    let next = |from_s| Token { key: SHORT, session_key: next_key, from_s, ..Token::new() }.seal();
    let next = next(start.unix_s + 100);
    for (what, later_s, method, kid, token, key, wanted) in [
        ("the first", 0, Method::Allocate, "long", Some(&first), SESSION_KEY, 0),
        ("no Refresh", 100, Method::ChannelBind, "short", Some(&next), next_key, 441),
        ("the next", 100, Method::Refresh, "short", Some(&next), next_key, 0),
        ("the first's key", 100, Method::Refresh, "long", None, SESSION_KEY, 401),
        ("at its last second", 399, Method::Refresh, "short", None, next_key, 0),
        ("at its end", 400, Method::Refresh, "short", None, next_key, 401),
    ] {
        let fill = |w: &mut MessageWriter<'_>| {
            if method == Method::Allocate {
                transport(w);
            }
        };
        let signed_request = signed(method, &nonce, kid, token.map(Vec::as_slice), key, fill);
        let response = exchange(&mut server, at(later_s), &client(), &signed_request).unwrap();
        assert_eq!(code(&response), wanted, "{what}");
    }
}

/// All clients of a third party send the name of its key as USERNAME.
#[test]
fn each_token_is_a_user_of_its_own_for_the_quota() {
    let mut server = server_with(QuotaLimits { per_user: 1, ..QuotaLimits::default() });
    let [first, second] = [7, 8].map(|byte| Token { nonce: [byte; 12], ..Token::new() }.seal());
    for (at, token, wanted) in [
        ("198.51.100.7:4000", &first, 0),
        ("198.51.100.7:4001", &first, 486),
        ("198.51.100.7:4002", &second, 0),
    ] {
        let client = from(at, Transport::Tcp);
        let unsigned_request = request(Method::Allocate, transport);
        let challenge = exchange(&mut server, now(), &client, &unsigned_request).unwrap();
        let nonce = Message::parse(&challenge).unwrap().first(attribute::NONCE).unwrap().value;
        let signed_request =
            signed(Method::Allocate, nonce, "long", Some(token), SESSION_KEY, transport);
        let response = exchange(&mut server, now(), &client, &signed_request).unwrap();
        assert_eq!(code(&response), wanted, "{at}");
    }
}

/// A CONNECTION-ID can be guessed, and all clients of a third party send the same USERNAME.
#[test]
fn a_connection_is_bound_with_the_token_of_its_allocation() {
    let mut server = server();
    server.tcp_relaying = true;
    let tokens = [7, 8].map(|byte| Token { nonce: [byte; 12], ..Token::new() }.seal());
    let nonce = nonce(&mut server);
    let peer = "9.9.9.9:9".parse().unwrap();
    let requests: [(Method, Fill); 2] = [
        (Method::Allocate, |w| {
            w.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_TCP);
        }),
        (Method::CreatePermission, |w| {
            w.xor_address(attribute::XOR_PEER_ADDRESS, "9.9.9.9:9".parse().unwrap());
        }),
    ];
    for (method, fill) in requests {
        let signed_request = signed(method, &nonce, "long", Some(&tokens[0]), SESSION_KEY, fill);
        assert_eq!(code(&exchange(&mut server, now(), &client(), &signed_request).unwrap()), 0);
    }
    let allocation = server.table.id_of(&client()).unwrap();
    let relay = RelayId { allocation, family: Family::V4 };
    let connection = server.handle_peer_accepted(now(), relay, peer).unwrap();

    let data = from("198.51.100.7:4001", Transport::Tcp);
    let method = Method::ConnectionBind;
    let unsigned_request = request(method, |_| {});
    let challenge = exchange(&mut server, now(), &data, &unsigned_request).unwrap();
    let nonce = Message::parse(&challenge).unwrap().first(attribute::NONCE).unwrap().value;
    for (what, token, wanted) in [
        ("another's token", Some(&tokens[1]), 441),
        ("its own", Some(&tokens[0]), 0),
        ("twice", Some(&tokens[0]), 400),
    ] {
        let token = token.map(Vec::as_slice);
        let signed_request = signed(method, nonce, "long", token, SESSION_KEY, |w| {
            w.u32(attribute::CONNECTION_ID, connection.value());
        });
        let response = exchange(&mut server, now(), &data, &signed_request).unwrap();
        assert_eq!(code(&response), wanted, "{what}");
    }
}

/// The token says the length of its nonce and has as many bytes. None of them may be used before
/// the length is found to be the only valid one.
#[test]
fn cve_2026_43994_a_nonce_of_any_length_overflows_nothing() {
    const NONCE_LEN: usize = 12;
    let good = Token::new().seal();
    let sealed = &good[2 + NONCE_LEN..];
    let lengths = (0..=32).chain([255, 256, 400, 496, 512, 735, 751, 1024, 4096]);
    let whole = lengths.map(|len: usize| {
        let length = u16::try_from(len).unwrap().to_be_bytes();
        ([&length[..], &vec![7; len], sealed].concat(), len == NONCE_LEN)
    });
    // Tokens whose length is larger than the rest.
    let cut = [13, 735, 0x7FFF, 0xFFFF].map(|length: u16| {
        let token = [&length.to_be_bytes()[..], &good[2..]].concat();
        (token, false)
    });
    for (token, is_good) in whole.chain(cut) {
        let mut server = server();
        let nonce = nonce(&mut server);
        let signed_request =
            signed(Method::Allocate, &nonce, "long", Some(&token), SESSION_KEY, transport);
        let response = exchange(&mut server, now(), &client(), &signed_request).unwrap();
        let wanted = if is_good { 0 } else { 401 };
        assert_eq!(code(&response), wanted, "{:?} of {}", &token[..2], token.len());
        assert_eq!(server.allocations(), usize::from(is_good));
    }
}
