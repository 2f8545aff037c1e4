//! DTLS-SRTP (RFC 5763, RFC 5764, RFC 7714): authenticates the peer and encrypts the media.
//!
//! Architecture invariant: this is the only module that names the WebRTC engine (`rtc-dtls`,
//! `rtc-srtp`). Everything else of a session is our own code.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtc_crypto::{HashAlgorithm, RTCCryptoProvider};
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile as DtlsProfile;
use rtc_shared::error::Error as EngineError;
use rtc_srtp::config::{Config as SrtpConfig, LABEL_EXTRACTOR_DTLS_SRTP};
use rtc_srtp::context::Context;
use rtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use rtc_srtp::protection_profile::ProtectionProfile;

/// Time before the first unanswered flight is retransmitted. RFC 6347 §4.2.4.1 says one second;
/// WebRTC stacks use 50 to 100 ms, because a lost ClientHello delays the first picture.
const FLIGHT_INTERVAL: Duration = Duration::from_millis(100);

/// Largest DTLS datagram: below the smallest path MTU that we support, so that IP fragments no
/// flight, even inside a TURN channel.
const DTLS_MTU: usize = 1150;

/// Size of the replay window in packets; older packets are dropped (RFC 3711 §3.3.2: at least 64).
const REPLAY_WINDOW: usize = 1024;

/// SRTP protection profiles in order of preference. AES-GCM takes a third of the work of AES-CM
/// with HMAC-SHA1, which remains for players that support nothing newer.
const PROFILES: [DtlsProfile; 3] = [
    DtlsProfile::Srtp_Aead_Aes_128_Gcm,
    DtlsProfile::Srtp_Aead_Aes_256_Gcm,
    DtlsProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
];

/// Placeholder address: the engine identifies associations by address, but ours has a single peer,
/// wherever ICE finds it.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// Error of a DTLS-SRTP association.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DtlsSrtpError {
    /// The certificate could not be generated.
    #[error("cannot generate a DTLS certificate: {0}")]
    Certificate(String),
    /// The handshake has failed: another certificate than announced, no common protection profile,
    /// or no response.
    #[error("the DTLS handshake failed: {0}")]
    Handshake(String),
    /// The handshake is not finished.
    #[error("the DTLS handshake is not finished")]
    NotReady,
    /// The packet was tampered with or replayed, or belongs to another association.
    #[error("the packet is not authentic")]
    NotAuthentic,
}

/// The SHA-256 fingerprint of a DTLS certificate (RFC 8122 §5).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            let colon = if i == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

/// The DTLS certificate of a gateway or viewer and its private key, shared by all sessions.
#[derive(Clone)]
pub struct Identity {
    certificate: Certificate,
    fingerprint: Fingerprint,
    crypto: Arc<dyn RTCCryptoProvider>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl Identity {
    /// Generates a self-signed ECDSA P-256 certificate.
    ///
    /// # Errors
    /// Returns [`DtlsSrtpError::Certificate`] if the platform provides no randomness or
    /// cryptography.
    pub fn generate() -> Result<Self, DtlsSrtpError> {
        let fail = |e: &dyn fmt::Display| DtlsSrtpError::Certificate(e.to_string());
        let crypto = rtc_crypto::default_provider().map_err(|e| fail(&e))?;
        let certificate =
            Certificate::generate_self_signed(vec!["porthole".to_owned()], crypto.crypto())
                .map_err(|e| fail(&e))?;
        let leaf = certificate.certificate.first().ok_or_else(|| fail(&"no certificate"))?;
        let fingerprint =
            sha256(crypto.as_ref(), leaf).ok_or_else(|| fail(&"SHA-256 is not available"))?;
        Ok(Self { certificate, fingerprint, crypto })
    }

    /// Returns the fingerprint that descriptions announce.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

fn sha256(crypto: &dyn RTCCryptoProvider, bytes: &[u8]) -> Option<Fingerprint> {
    let hash = crypto.crypto().hash(HashAlgorithm::Sha256, bytes).ok()?;
    Some(Fingerprint(<[u8; 32]>::try_from(hash.as_slice()).ok()?))
}

/// Role in the DTLS handshake; the client begins it (RFC 8842 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtlsRole {
    /// The side with `a=setup:active`.
    Client,
    /// The side with `a=setup:passive`.
    Server,
}

/// A DTLS-SRTP association with one peer: DTLS until the keys are agreed, then SRTP.
///
/// Pass in what arrives, drain [`Self::poll_transmit`], and call [`Self::handle_timeout`] at the
/// time that [`Self::poll_timeout`] returns.
pub struct DtlsSrtp {
    endpoint: Endpoint,
    role: DtlsRole,
    config: Arc<HandshakeConfig>,
    crypto: Arc<dyn RTCCryptoProvider>,
    srtp: Option<Srtp>,
    closed: bool,
}

struct Srtp {
    outbound: Context,
    inbound: Context,
}

impl fmt::Debug for DtlsSrtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DtlsSrtp")
            .field("role", &self.role)
            .field("ready", &self.is_ready())
            .finish_non_exhaustive()
    }
}

impl DtlsSrtp {
    /// Creates an association with the peer whose certificate has the fingerprint `expected`.
    ///
    /// # Errors
    /// Returns [`DtlsSrtpError::Handshake`] if the engine refuses the configuration.
    pub fn new(
        identity: &Identity,
        role: DtlsRole,
        expected: Fingerprint,
    ) -> Result<Self, DtlsSrtpError> {
        let crypto = Arc::clone(&identity.crypto);
        let hasher = Arc::clone(&crypto);
        let config = ConfigBuilder::default()
            .with_crypto_provider(Arc::clone(&crypto))
            .with_certificates(vec![identity.certificate.clone()])
            .with_srtp_protection_profiles(PROFILES.to_vec())
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            // Certificates are self-signed: the fingerprint below is the whole check.
            .with_insecure_skip_verify(true)
            .with_verify_peer_certificate(Some(Arc::new(move |chain, _| {
                let leaf = chain.first().and_then(|leaf| sha256(hasher.as_ref(), leaf));
                if leaf == Some(expected) {
                    return Ok(());
                }
                Err(EngineError::ErrNoMatchingCertificateFingerprint)
            })))
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            .with_flight_interval(FLIGHT_INTERVAL)
            .with_mtu(DTLS_MTU)
            .build(role == DtlsRole::Client, None)
            .map_err(|e| DtlsSrtpError::Handshake(e.to_string()))?;
        let config = Arc::new(config);
        let server = (role == DtlsRole::Server).then(|| Arc::clone(&config));
        let endpoint = Endpoint::new(PEER, Default::default(), server);
        Ok(Self { endpoint, role, config, crypto, srtp: None, closed: false })
    }

    /// Begins the handshake if this side is the client. Call it once there is a path. Does
    /// nothing once the handshake is finished.
    ///
    /// # Errors
    /// Returns [`DtlsSrtpError::Handshake`] if the engine cannot make a ClientHello.
    pub fn start(&mut self, now: Instant) -> Result<(), DtlsSrtpError> {
        if self.role == DtlsRole::Server || self.srtp.is_some() {
            return Ok(());
        }
        let config = Arc::clone(&self.config);
        self.endpoint.connect(now, PEER, config, None).map_err(handshake)
    }

    /// Handles a DTLS datagram (first byte 20 to 63, RFC 7983) from a validated address.
    ///
    /// # Errors
    /// Returns [`DtlsSrtpError::Handshake`] if the handshake can no longer succeed.
    pub fn handle_dtls(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsSrtpError> {
        if self.closed {
            return Ok(());
        }
        let events =
            self.endpoint.read(now, PEER, None, BytesMut::from(datagram)).map_err(handshake)?;
        for event in events {
            match event {
                EndpointEvent::HandshakeComplete => self.install_keys()?,
                EndpointEvent::PeerClosed => self.closed = true,
                // Data channels are not supported; newer engines may add more events.
                EndpointEvent::ApplicationData(_) | _ => {}
            }
        }
        Ok(())
    }

    /// Installs the SRTP keys that the finished handshake exports (RFC 5764 §4.2).
    fn install_keys(&mut self) -> Result<(), DtlsSrtpError> {
        let state = self.endpoint.get_connection_state(PEER).ok_or(DtlsSrtpError::NotReady)?;
        let profile = match state.srtp_protection_profile() {
            DtlsProfile::Srtp_Aead_Aes_128_Gcm => ProtectionProfile::AeadAes128Gcm,
            DtlsProfile::Srtp_Aead_Aes_256_Gcm => ProtectionProfile::AeadAes256Gcm,
            DtlsProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
            DtlsProfile::Srtp_Aes128_Cm_Hmac_Sha1_32 | DtlsProfile::Unsupported | _ => {
                return Err(DtlsSrtpError::Handshake("no common SRTP profile".to_owned()));
            }
        };
        let mut config = SrtpConfig { profile, ..Default::default() };
        let length = config.keying_material_len();
        let keys = state
            .export_keying_material(LABEL_EXTRACTOR_DTLS_SRTP, &[], length)
            .map_err(handshake)?;
        config
            .set_session_keys_from_keying_material(keys.as_ref(), self.role == DtlsRole::Client)
            .map_err(handshake)?;
        let keys = &config.keys;
        let crypto = self.crypto.crypto();
        let outbound = Context::new(
            &keys.local_master_key,
            &keys.local_master_salt,
            profile,
            None,
            None,
            crypto,
        );
        let inbound = Context::new(
            &keys.remote_master_key,
            &keys.remote_master_salt,
            profile,
            Some(srtp_replay_protection(REPLAY_WINDOW)),
            Some(srtcp_replay_protection(REPLAY_WINDOW)),
            crypto,
        );
        self.srtp = Some(Srtp {
            outbound: outbound.map_err(handshake)?,
            inbound: inbound.map_err(handshake)?,
        });
        Ok(())
    }

    /// Returns true if packets can be protected: the peer has proven that it owns its certificate.
    pub fn is_ready(&self) -> bool {
        self.srtp.is_some() && !self.closed
    }

    /// Returns true if either side has closed the association (close_notify).
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Returns the time at which [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.endpoint.poll_timeout(&PEER)
    }

    /// Retransmits the last flight if that is due.
    ///
    /// # Errors
    /// Returns [`DtlsSrtpError::Handshake`] if the flight was retransmitted too often.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsSrtpError> {
        if self.poll_timeout().is_none_or(|due| due > now) {
            return Ok(());
        }
        self.endpoint.handle_timeout(PEER, now).map_err(handshake)
    }

    /// Returns the next DTLS datagram for the peer.
    pub fn poll_transmit(&mut self) -> Option<BytesMut> {
        self.endpoint.poll_transmit().map(|transmit| transmit.message)
    }

    /// Closes the association. Drain [`Self::poll_transmit`] once more for the alert to the peer.
    pub fn close(&mut self, now: Instant) {
        self.closed = true;
        // Fails for an association that was never established; there is no peer to notify then.
        let _ = self.endpoint.close(now);
    }

    /// Encrypts an RTP packet.
    ///
    /// # Errors
    /// Returns [`DtlsSrtpError::NotReady`] before the handshake is finished.
    pub fn protect_rtp(&mut self, packet: &[u8]) -> Result<BytesMut, DtlsSrtpError> {
        self.srtp()?.outbound.encrypt_rtp(packet).map_err(|_| DtlsSrtpError::NotReady)
    }

    /// Encrypts a compound RTCP packet.
    ///
    /// # Errors
    /// Returns [`DtlsSrtpError::NotReady`] before the handshake is finished.
    pub fn protect_rtcp(&mut self, packet: &[u8]) -> Result<BytesMut, DtlsSrtpError> {
        self.srtp()?.outbound.encrypt_rtcp(packet).map_err(|_| DtlsSrtpError::NotReady)
    }

    /// Decrypts an SRTP packet.
    ///
    /// # Errors
    /// Returns [`DtlsSrtpError::NotAuthentic`] if the packet is not the peer's or was replayed, and
    /// [`DtlsSrtpError::NotReady`] before the handshake is finished.
    pub fn unprotect_rtp(&mut self, packet: &[u8]) -> Result<BytesMut, DtlsSrtpError> {
        self.srtp()?.inbound.decrypt_rtp(packet).map_err(|_| DtlsSrtpError::NotAuthentic)
    }

    /// Decrypts an SRTCP packet.
    ///
    /// # Errors
    /// Returns [`DtlsSrtpError::NotAuthentic`] if the packet is not the peer's or was replayed, and
    /// [`DtlsSrtpError::NotReady`] before the handshake is finished.
    pub fn unprotect_rtcp(&mut self, packet: &[u8]) -> Result<BytesMut, DtlsSrtpError> {
        self.srtp()?.inbound.decrypt_rtcp(packet).map_err(|_| DtlsSrtpError::NotAuthentic)
    }

    fn srtp(&mut self) -> Result<&mut Srtp, DtlsSrtpError> {
        self.srtp.as_mut().ok_or(DtlsSrtpError::NotReady)
    }
}

fn handshake(error: EngineError) -> DtlsSrtpError {
    DtlsSrtpError::Handshake(error.to_string())
}

#[cfg(test)]
mod tests;
