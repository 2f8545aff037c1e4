//! One DTLS 1.2 association. This is the only module that names the engine, `rtc-dtls`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtc_crypto::{CryptoError, RTCCrypto, RTCCryptoProvider, RTCRandom, SignatureScheme};
use rtc_dtls::cipher_suite::CipherSuiteId;
use rtc_dtls::config::{ConfigBuilder, HandshakeConfig};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rustls::pki_types::PrivateKeyDer;

use crate::tls::chain::Chain;
use crate::tls::dtls::hello::{ClientHello, Cookie};
use crate::tls::dtls::records::{Filter, renumber};

/// Initial retransmission interval of a flight (RFC 6347 §4.2.4.1).
const FLIGHT_INTERVAL: Duration = Duration::from_secs(1);
/// Most bytes of a handshake datagram: below the smallest MTU on the path of a TURN client.
const MTU: usize = 1150;
/// Size of the replay window: how far datagrams may be reordered.
const REPLAY_WINDOW: usize = 1024;
/// Most plaintext of one record (RFC 6347 §4.1.1.1, RFC 5246 §6.2.1).
const MAX_PLAINTEXT: usize = 1 << 14;
/// The cipher suites: those with authenticated encryption, hence without padding and a MAC.
const SUITES: [CipherSuiteId; 4] = [
    CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
    CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_128_Gcm_Sha256,
    CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
    CipherSuiteId::Tls_Ecdhe_Rsa_With_ChaCha20_Poly1305_Sha256,
];
/// Address given to the engine, which tells associations apart by it. Here each has its own engine.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// The certificate and key of associations, in the form that the engine needs.
#[derive(Clone)]
pub(crate) struct Identity(Certificate);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    /// Checks that the engine can use a certificate; the error is a sentence for the operator.
    pub(crate) fn new(chain: &Chain) -> Result<Self, String> {
        let PrivateKeyDer::Pkcs8(key) = &chain.key else {
            return Err(
                "the key must be in PKCS #8; convert it with `openssl pkcs8 -topk8 -nodes`".into(),
            );
        };
        let provider = rtc_crypto::default_provider().map_err(|error| error.to_string())?;
        let key = [SignatureScheme::EcdsaP256Sha256, SignatureScheme::RsaPkcs1Sha256]
            .into_iter()
            .find_map(|scheme| {
                provider.crypto().import_signing_key(scheme, key.secret_pkcs8_der()).ok()
            })
            .ok_or("only ECDSA keys on P-256 and RSA keys of 2048 bits or more can be used")?;
        let identity = Self(Certificate::from_signing_key(chain.certificates.clone(), key));
        Engine::new(&identity)?;
        Ok(identity)
    }

    /// Makes an engine. Never `None`: [`Self::new`] has tried it.
    pub(crate) fn engine(&self) -> Option<Engine> {
        Engine::new(self).ok()
    }
}

/// Factory of associations.
pub(crate) struct Engine {
    config: Arc<HandshakeConfig>,
    next_cookie: Arc<NextCookie>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    fn new(identity: &Identity) -> Result<Self, String> {
        let inner = rtc_crypto::default_provider().map_err(|error| error.to_string())?;
        let next_cookie = Arc::new(NextCookie { inner, cookie: Mutex::new(None) });
        let provider: Arc<dyn RTCCryptoProvider> = Arc::<NextCookie>::clone(&next_cookie);
        let config = ConfigBuilder::default()
            .with_crypto_provider(provider)
            .with_certificates(vec![identity.0.clone()])
            .with_cipher_suites(SUITES.to_vec())
            .with_flight_interval(FLIGHT_INTERVAL)
            .with_mtu(MTU)
            .with_replay_protection_window(REPLAY_WINDOW)
            .build(false, None)
            .map_err(|error| error.to_string())?;
        Ok(Self { config: Arc::new(config), next_cookie })
    }

    /// Begins an association with a client whose address this hello has validated.
    ///
    /// The engine insists on validating the client itself. So it is given both hellos at once, and
    /// made to choose the cookie that the client has already sent back.
    pub(crate) fn accept(&self, now: Instant, hello: &ClientHello<'_>) -> Association {
        let mut endpoint = Endpoint::new(PEER, Default::default(), Some(Arc::clone(&self.config)));
        let first = BytesMut::from(&*hello.without_cookie());
        self.next_cookie.set(hello.cookie());
        let refused = endpoint.read(now, PEER, None, first).is_err();
        self.next_cookie.set(None);
        let mut offset = hello.record_sequence();
        if !refused {
            // This is its HelloVerifyRequest. Its next record has the number 1.
            drop(endpoint.poll_transmit());
            offset = offset.saturating_sub(1);
        }
        Association { endpoint, filter: Filter::default(), offset, refused, ready: false }
    }
}

/// A source of randomness that returns a given cookie when the engine draws one.
struct NextCookie {
    inner: Arc<dyn RTCCryptoProvider>,
    cookie: Mutex<Option<Cookie>>,
}

impl NextCookie {
    fn set(&self, cookie: Option<Cookie>) {
        *self.cookie.lock().unwrap_or_else(PoisonError::into_inner) = cookie;
    }
}

impl RTCCryptoProvider for NextCookie {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn crypto(&self) -> &dyn RTCCrypto {
        self.inner.crypto()
    }

    fn random(&self) -> &dyn RTCRandom {
        self
    }
}

impl RTCRandom for NextCookie {
    fn fill(&self, output: &mut [u8]) -> Result<(), CryptoError> {
        let mut cookie = self.cookie.lock().unwrap_or_else(PoisonError::into_inner);
        match cookie.take_if(|cookie| cookie.len() == output.len()) {
            Some(cookie) => output.copy_from_slice(&cookie),
            None => self.inner.random().fill(output)?,
        }
        Ok(())
    }
}

/// The association with one client.
pub(crate) struct Association {
    endpoint: Endpoint,
    filter: Filter,
    offset: u64,
    /// True if no version or cipher suite is shared with the client; an alert is ready to be sent.
    refused: bool,
    ready: bool,
}

impl fmt::Debug for Association {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Association").field("ready", &self.ready).finish_non_exhaustive()
    }
}

/// The client ended the association, or the handshake cannot succeed.
/// [`Association::poll_transmit`] has the alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended;

impl Association {
    /// Returns true once the handshake has succeeded.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Handles a datagram and returns the plaintext in it.
    pub(crate) fn receive(&mut self, now: Instant, bytes: &[u8]) -> Result<Vec<BytesMut>, Ended> {
        if self.refused {
            return Err(Ended);
        }
        if !self.filter.admits(bytes, !self.ready) {
            return Ok(Vec::new());
        }
        let read = self.endpoint.read(now, PEER, None, BytesMut::from(bytes));
        let mut data = Vec::new();
        for event in read.map_err(|_| Ended)? {
            match event {
                EndpointEvent::HandshakeComplete => self.ready = true,
                EndpointEvent::ApplicationData(bytes) => data.push(bytes),
                EndpointEvent::PeerClosed => return Err(Ended),
                // Events that a newer engine may add.
                _ => {}
            }
        }
        Ok(data)
    }

    /// Encrypts a message. Returns false if it does not fit a record.
    pub(crate) fn send(&mut self, now: Instant, bytes: &[u8]) -> bool {
        bytes.len() <= MAX_PLAINTEXT && self.endpoint.write(now, PEER, bytes).is_ok()
    }

    /// Retransmits a flight if it is time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Ended> {
        if self.endpoint.poll_timeout(&PEER).is_none_or(|due| due > now) {
            return Ok(());
        }
        self.endpoint.handle_timeout(PEER, now).map_err(|_| Ended)
    }

    /// Makes an alert that ends the association.
    pub(crate) fn close(&mut self, now: Instant) {
        // Before the handshake has succeeded there is nothing to end.
        let _ = self.endpoint.close(now);
    }

    /// Returns the next datagram for the client.
    pub(crate) fn poll_transmit(&mut self) -> Option<BytesMut> {
        let mut datagram = self.endpoint.poll_transmit()?.message;
        renumber(&mut datagram, self.offset);
        Some(datagram)
    }
}
