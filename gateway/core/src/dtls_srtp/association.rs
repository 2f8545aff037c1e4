//! The association with one peer: the DTLS handshake, then the keys for SRTP.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtc_crypto::RTCCryptoProvider;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_shared::error::Error as EngineError;

use super::identity::sha256;
use super::srtp::{PROFILES, Srtp};
use super::{DtlsRole, DtlsSrtpError, Fingerprint, Identity, handshake};

/// Time before the first unanswered flight is retransmitted. RFC 6347 §4.2.4.1 says one second;
/// WebRTC stacks use 50 to 100 ms, because a lost ClientHello delays the first picture.
const FLIGHT_INTERVAL: Duration = Duration::from_millis(100);

/// Largest DTLS datagram: below the smallest path MTU that we support, so that IP fragments no
/// flight, even inside a TURN channel.
const DTLS_MTU: usize = 1150;

/// Placeholder address: the engine identifies associations by address, but ours has a single peer,
/// wherever ICE finds it.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

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
        self.srtp = Some(Srtp::new(state, self.role, self.crypto.crypto())?);
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
        self.srtp()?.protect_rtp(packet)
    }

    /// Encrypts a compound RTCP packet.
    ///
    /// # Errors
    /// Returns [`DtlsSrtpError::NotReady`] before the handshake is finished.
    pub fn protect_rtcp(&mut self, packet: &[u8]) -> Result<BytesMut, DtlsSrtpError> {
        self.srtp()?.protect_rtcp(packet)
    }

    /// Decrypts an SRTP packet.
    ///
    /// # Errors
    /// Returns [`DtlsSrtpError::NotAuthentic`] if the packet is not the peer's or was replayed, and
    /// [`DtlsSrtpError::NotReady`] before the handshake is finished.
    pub fn unprotect_rtp(&mut self, packet: &[u8]) -> Result<BytesMut, DtlsSrtpError> {
        self.srtp()?.unprotect_rtp(packet)
    }

    /// Decrypts an SRTCP packet.
    ///
    /// # Errors
    /// Returns [`DtlsSrtpError::NotAuthentic`] if the packet is not the peer's or was replayed, and
    /// [`DtlsSrtpError::NotReady`] before the handshake is finished.
    pub fn unprotect_rtcp(&mut self, packet: &[u8]) -> Result<BytesMut, DtlsSrtpError> {
        self.srtp()?.unprotect_rtcp(packet)
    }

    fn srtp(&mut self) -> Result<&mut Srtp, DtlsSrtpError> {
        self.srtp.as_mut().ok_or(DtlsSrtpError::NotReady)
    }
}
