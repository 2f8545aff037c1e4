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

/// RFC 6347 §4.2.4.1.
const FLIGHT_INTERVAL: Duration = Duration::from_secs(1);
/// Below the smallest path of a TURN client.
const MTU: usize = 1150;
/// Datagrams that may overtake one another.
const REPLAY_WINDOW: usize = 1024;
/// RFC 6347 §4.1.1.1 by way of RFC 5246 §6.2.1.
const MAX_PLAINTEXT: usize = 1 << 14;
/// Those that need no padding and no MAC of their own.
const SUITES: [CipherSuiteId; 4] = [
    CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
    CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_128_Gcm_Sha256,
    CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
    CipherSuiteId::Tls_Ecdhe_Rsa_With_ChaCha20_Poly1305_Sha256,
];
/// The engine tells associations apart by address; each of ours is alone in its engine.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// What every association of this certificate begins with.
#[derive(Clone)]
pub(crate) struct Identity(Certificate);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    /// Refuses, in words, what the engine cannot use.
    pub(crate) fn new(chain: &Chain) -> Result<Self, String> {
        let PrivateKeyDer::Pkcs8(key) = &chain.key else {
            return Err("the key must be PKCS #8; `openssl pkcs8 -topk8 -nodes` makes it so".into());
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

    /// `None` cannot be: [`Self::new`] has tried it.
    pub(crate) fn engine(&self) -> Option<Engine> {
        Engine::new(self).ok()
    }
}

/// Makes associations.
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

    /// An association with a client that has proven its address by this hello.
    ///
    /// The engine wants to verify the client itself and knows no other way. So it is told of both
    /// hellos at once, and made to choose the cookie that the client has already sent back.
    pub(crate) fn accept(&self, now: Instant, hello: &ClientHello<'_>) -> Association {
        let mut endpoint = Endpoint::new(PEER, Default::default(), Some(Arc::clone(&self.config)));
        let first = BytesMut::from(&*hello.without_cookie());
        self.next_cookie.set(hello.cookie());
        let refused = endpoint.read(now, PEER, None, first).is_err();
        self.next_cookie.set(None);
        let mut offset = hello.record_sequence();
        if !refused {
            // Its HelloVerifyRequest. Its next record has the number 1.
            drop(endpoint.poll_transmit());
            offset = offset.saturating_sub(1);
        }
        Association { endpoint, filter: Filter::default(), offset, refused, ready: false }
    }
}

/// Randomness whose first 20 bytes, which the engine takes for its cookie, are given.
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

/// Datagrams of one client.
pub(crate) struct Association {
    endpoint: Endpoint,
    filter: Filter,
    offset: u64,
    /// There is nothing in common with what the client offers; an alert is ready to be sent.
    refused: bool,
    ready: bool,
}

impl fmt::Debug for Association {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Association").field("ready", &self.ready).finish_non_exhaustive()
    }
}

/// The client ended it, or the handshake cannot succeed. [`Association::poll_transmit`] has the
/// alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended;

impl Association {
    /// Whether the handshake is through.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }

    /// What was in the datagram for us.
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
                // What a newer engine adds.
                _ => {}
            }
        }
        Ok(data)
    }

    /// Encrypts. `false` when it does not fit a record.
    pub(crate) fn send(&mut self, now: Instant, bytes: &[u8]) -> bool {
        bytes.len() <= MAX_PLAINTEXT && self.endpoint.write(now, PEER, bytes).is_ok()
    }

    /// Sends a flight again, if it is time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Ended> {
        if self.endpoint.poll_timeout(&PEER).is_none_or(|due| due > now) {
            return Ok(());
        }
        self.endpoint.handle_timeout(PEER, now).map_err(|_| Ended)
    }

    pub(crate) fn close(&mut self, now: Instant) {
        // Whoever did not get so far has nothing to be told.
        let _ = self.endpoint.close(now);
    }

    /// The next datagram for the client.
    pub(crate) fn poll_transmit(&mut self) -> Option<BytesMut> {
        let mut datagram = self.endpoint.poll_transmit()?.message;
        renumber(&mut datagram, self.offset);
        Some(datagram)
    }
}
