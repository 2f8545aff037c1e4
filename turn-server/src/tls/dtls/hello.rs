//! The ClientHellos of a DTLS client, handled before any state is kept for it (RFC 6347 §4.2.1).

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac as _};
use porthole_turn_proto::server::FiveTuple;
use sha2::Sha256;

/// Length of a cookie: the one that the engine expects, and too long to be guessed.
pub(crate) const COOKIE_LEN: usize = 20;
/// Time for which a cookie is valid at least; at most it is twice as long.
const COOKIE_TIME: Duration = Duration::from_secs(60);
/// Length of a HelloVerifyRequest: shorter than any ClientHello, so forged ones amplify nothing.
const VERIFY_LEN: usize = RECORD_HEADER + MESSAGE_HEADER + 3 + COOKIE_LEN;

pub(crate) const RECORD_HEADER: usize = 13;
pub(crate) const MESSAGE_HEADER: usize = 12;
pub(crate) const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const HELLO_VERIFY_REQUEST: u8 = 3;
/// Version in a HelloVerifyRequest, whatever will be agreed on (RFC 6347 §4.2.1).
const DTLS_1_0: [u8; 2] = [254, 255];

pub(crate) type Cookie = [u8; COOKIE_LEN];

/// A ClientHello in one piece, alone in its datagram. RFC 6347 §4.2.1 lets a server require that:
/// fragments would have to be stored.
#[derive(Debug)]
pub(crate) struct ClientHello<'a> {
    datagram: &'a [u8],
    /// The range of the cookie's length byte and the cookie in the datagram.
    cookie: Range<usize>,
    /// The end of the compression methods: up to there both hellos must be equal.
    parameters_end: usize,
}

impl<'a> ClientHello<'a> {
    /// Parses a datagram. `None` if it is anything but a whole ClientHello of epoch 0.
    pub(crate) fn parse(datagram: &'a [u8]) -> Option<Self> {
        let record = datagram.get(..RECORD_HEADER)?;
        let message = datagram.get(RECORD_HEADER..RECORD_HEADER + MESSAGE_HEADER)?;
        let body = datagram.len() - RECORD_HEADER - MESSAGE_HEADER;
        let whole = number(record.get(11..13)?) == datagram.len() - RECORD_HEADER
            && number(message.get(1..4)?) == body
            && number(message.get(6..9)?) == 0
            && number(message.get(9..12)?) == body;
        let first = record.first() == Some(&HANDSHAKE)
            && record.get(3..5) == Some(&[0, 0])
            && message.first() == Some(&CLIENT_HELLO);
        if !whole || !first {
            return None;
        }
        const SESSION_ID: usize = RECORD_HEADER + MESSAGE_HEADER + 2 + 32;
        let session_end = SESSION_ID + 1 + usize::from(*datagram.get(SESSION_ID)?);
        let cookie_end = session_end + 1 + usize::from(*datagram.get(session_end)?);
        let suites = number(datagram.get(cookie_end..cookie_end + 2)?);
        let suites_end = cookie_end + 2 + suites;
        let parameters_end = suites_end + 1 + usize::from(*datagram.get(suites_end)?);
        (parameters_end <= datagram.len()).then_some(Self {
            datagram,
            cookie: session_end..cookie_end,
            parameters_end,
        })
    }

    /// Returns the cookie if it has the right length.
    pub(crate) fn cookie(&self) -> Option<Cookie> {
        let cookie = self.datagram.get(self.cookie.start + 1..self.cookie.end)?;
        Cookie::try_from(cookie).ok()
    }

    /// Returns the number of this message in the client's handshake: 0 and 1 for the two hellos.
    pub(crate) fn message_sequence(&self) -> usize {
        number(self.datagram.get(RECORD_HEADER + 4..RECORD_HEADER + 6).unwrap_or_default())
    }

    /// Returns the sequence number of the record.
    pub(crate) fn record_sequence(&self) -> u64 {
        let bytes = self.datagram.get(5..11).unwrap_or_default();
        bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    /// Rebuilds the hello that the client must have sent before this one: the first of its
    /// handshake, without a cookie.
    pub(crate) fn without_cookie(&self) -> Vec<u8> {
        let (before, after) =
            (self.datagram.get(..self.cookie.start), self.datagram.get(self.cookie.end..));
        let mut hello = [before.unwrap_or_default(), &[0], after.unwrap_or_default()].concat();
        let record = hello.len() - RECORD_HEADER;
        let body = record - MESSAGE_HEADER;
        let mut put = |at: usize, len: usize, value: usize| {
            let bytes = value.to_be_bytes();
            if let Some(place) = hello.get_mut(at..at + len) {
                place.copy_from_slice(bytes.get(bytes.len() - len..).unwrap_or_default());
            }
        };
        put(5, 6, 0);
        put(11, 2, record);
        put(RECORD_HEADER + 1, 3, body);
        put(RECORD_HEADER + 4, 2, 0);
        put(RECORD_HEADER + 9, 3, body);
        hello
    }
}

/// Makes cookies and verifies them, without storing any.
pub(crate) struct Cookies {
    key: [u8; 32],
    began_at: Instant,
}

impl std::fmt::Debug for Cookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cookies").finish_non_exhaustive()
    }
}

impl Cookies {
    pub(crate) fn new(key: [u8; 32], now: Instant) -> Self {
        Self { key, began_at: now }
    }

    /// Returns true if the hello carries the cookie that was sent to its address a short time ago.
    pub(crate) fn is_valid(&self, now: Instant, from: &FiveTuple, hello: &ClientHello<'_>) -> bool {
        let window = self.window(now);
        let Some(cookie) = hello.cookie() else { return false };
        [Some(window), window.checked_sub(1)]
            .into_iter()
            .flatten()
            .any(|window| self.mac(window, from, hello).verify_truncated_left(&cookie).is_ok())
    }

    /// Makes the response to a hello without a valid cookie.
    pub(crate) fn verify_request(
        &self,
        now: Instant,
        from: &FiveTuple,
        hello: &ClientHello<'_>,
    ) -> [u8; VERIFY_LEN] {
        let mac = self.mac(self.window(now), from, hello).finalize().into_bytes();
        let mut packet = Vec::with_capacity(VERIFY_LEN);
        packet.push(HANDSHAKE);
        packet.extend(DTLS_1_0);
        // Epoch 0 and the hello's own sequence number.
        packet.extend([0, 0]);
        packet.extend(hello.datagram.get(5..11).unwrap_or_default());
        packet.extend([0, byte(VERIFY_LEN - RECORD_HEADER)]);
        let body = byte(3 + COOKIE_LEN);
        packet.extend([HELLO_VERIFY_REQUEST, 0, 0, body, 0, 0, 0, 0, 0, 0, 0, body]);
        packet.extend(DTLS_1_0);
        packet.push(byte(COOKIE_LEN));
        packet.extend(mac.iter().take(COOKIE_LEN));
        packet.try_into().unwrap_or([0; VERIFY_LEN])
    }

    fn window(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began_at).as_secs() / COOKIE_TIME.as_secs()
    }

    /// Computes the MAC over the address and what RFC 6347 §4.2.1 calls the client's parameters.
    fn mac(&self, window: u64, from: &FiveTuple, hello: &ClientHello<'_>) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(b"porthole dtls cookie");
        mac.update(&window.to_be_bytes());
        update(&mut mac, from.client);
        update(&mut mac, from.server);
        let body = RECORD_HEADER + MESSAGE_HEADER;
        mac.update(hello.datagram.get(body..hello.cookie.start).unwrap_or_default());
        mac.update(hello.datagram.get(hello.cookie.end..hello.parameters_end).unwrap_or_default());
        mac
    }
}

fn update(mac: &mut Hmac<Sha256>, addr: SocketAddr) {
    match addr.ip() {
        IpAddr::V4(ip) => mac.update(&ip.to_ipv6_mapped().octets()),
        IpAddr::V6(ip) => mac.update(&ip.octets()),
    }
    mac.update(&addr.port().to_be_bytes());
}

/// Reads a big-endian number.
pub(crate) fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

const fn byte(n: usize) -> u8 {
    assert!(n < 256);
    n.to_le_bytes()[0]
}
