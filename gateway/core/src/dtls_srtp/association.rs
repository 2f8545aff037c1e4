//! The association with one peer: the DTLS handshake, then the keys for SRTP.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_shared::error::Error as EngineError;

use super::admission::{Admission, Verdict};
use super::hello::{HelloPeek, Peeked, SrtpProfile};
use super::identity::sha256;
use super::retransmission::Retransmission;
use super::srtp::{Srtp, of_dtls};
use super::{DtlsRole, DtlsSrtpError, Fingerprint, Identity, handshake};

/// Interval of the engine's own timer, which does not double: far below ours, so that a flight can
/// be sent again whenever [`Retransmission`] says so.
const ENGINE_INTERVAL: Duration = Duration::from_millis(1);

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
    identity: Identity,
    expected: Fingerprint,
    config: Arc<HandshakeConfig>,
    /// Until the client's first message is whole, if this side is the server.
    peek: Option<HelloPeek>,
    admission: Admission,
    retransmission: Retransmission,
    outbox: VecDeque<BytesMut>,
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
        let config = configure(identity, role, expected, &SrtpProfile::PREFERRED)?;
        let server = (role == DtlsRole::Server).then(|| Arc::clone(&config));
        Ok(Self {
            endpoint: Endpoint::new(PEER, Default::default(), server),
            role,
            identity: identity.clone(),
            expected,
            config,
            peek: (role == DtlsRole::Server).then(HelloPeek::default),
            admission: Admission::new(role),
            retransmission: Retransmission::new(),
            outbox: VecDeque::new(),
            srtp: None,
            closed: false,
        })
    }

    /// Begins the handshake if this side is the client. Call it once there is a path, and with its
    /// round-trip time if that is known. Does nothing once the handshake is finished.
    ///
    /// # Errors
    /// Returns [`DtlsSrtpError::Handshake`] if the engine cannot make a ClientHello.
    pub fn start(
        &mut self,
        now: Instant,
        round_trip: Option<Duration>,
    ) -> Result<(), DtlsSrtpError> {
        if let Some(round_trip) = round_trip {
            self.retransmission.set_round_trip(round_trip);
        }
        if self.role == DtlsRole::Server || self.srtp.is_some() {
            return Ok(());
        }
        let config = Arc::clone(&self.config);
        self.endpoint.connect(now, PEER, config, None).map_err(handshake)?;
        self.collect_flight(now);
        Ok(())
    }

    /// Handles a DTLS datagram (first byte 20 to 63, RFC 7983) from a validated address.
    ///
    /// # Errors
    /// Returns [`DtlsSrtpError::Handshake`] if the handshake can no longer succeed, and
    /// [`DtlsSrtpError::Flood`] if the peer has sent more than any handshake has.
    pub fn handle_dtls(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsSrtpError> {
        if self.closed {
            return Ok(());
        }
        let records = match self.admission.admit(datagram, self.srtp.is_some()) {
            Verdict::Pass(records) => records,
            Verdict::Repeated if self.retransmission.take_provoked(now) => {
                return self.retransmit(now);
            }
            Verdict::Repeated | Verdict::Drop => return Ok(()),
            Verdict::Flood => return Err(DtlsSrtpError::Flood),
        };
        let Some(records) = self.peek(records)? else { return Ok(()) };
        let read = self.endpoint.read(now, PEER, None, records);
        // An alert has to leave even if the association has failed.
        self.collect_flight(now);
        for event in read.map_err(handshake)? {
            match event {
                EndpointEvent::HandshakeComplete => {
                    self.retransmission.stop();
                    self.install_keys()?;
                }
                EndpointEvent::PeerClosed => {
                    self.retransmission.stop();
                    self.closed = true;
                }
                // Data channels are not supported; newer engines may add more events.
                EndpointEvent::ApplicationData(_) | _ => {}
            }
        }
        Ok(())
    }

    /// Returns the records that the engine gets now. Before the first ones are passed to it, the
    /// server is configured with the best profile that the client offers.
    fn peek(&mut self, records: BytesMut) -> Result<Option<BytesMut>, DtlsSrtpError> {
        let Some(peek) = &mut self.peek else { return Ok(Some(records)) };
        let Peeked::Done { records, profile } = peek.handle_records(&records) else {
            return Ok(None);
        };
        self.peek = None;
        if let Some(best) = profile {
            let config = configure(&self.identity, self.role, self.expected, &[best])?;
            self.endpoint.set_server_config(Some(config));
        }
        Ok(Some(records))
    }

    /// Takes the datagrams of the engine. Before the handshake is finished they are a new flight.
    fn collect_flight(&mut self, now: Instant) {
        let before = self.outbox.len();
        self.collect();
        if self.outbox.len() > before && self.srtp.is_none() {
            self.retransmission.begin(now);
        }
    }

    fn collect(&mut self) {
        while let Some(transmit) = self.endpoint.poll_transmit() {
            self.outbox.push_back(transmit.message);
        }
    }

    /// Installs the SRTP keys that the finished handshake exports (RFC 5764 §4.2).
    fn install_keys(&mut self) -> Result<(), DtlsSrtpError> {
        let state = self.endpoint.get_connection_state(PEER).ok_or(DtlsSrtpError::NotReady)?;
        self.srtp = Some(Srtp::new(state, self.role, self.identity.crypto.crypto())?);
        Ok(())
    }

    /// Returns true if packets can be protected: the peer has proven that it owns its certificate.
    pub fn is_ready(&self) -> bool {
        self.srtp.is_some() && !self.closed
    }

    /// Returns the profile that protects the packets, once the handshake is finished.
    pub fn profile(&self) -> Option<SrtpProfile> {
        self.srtp.as_ref().map(Srtp::profile)
    }

    /// Returns true if either side has closed the association (close_notify).
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Returns the time at which [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.retransmission.poll_timeout()
    }

    /// Retransmits the last flight if that is due. An association whose peer never responds is not
    /// given up here; its owner has to limit the time.
    ///
    /// # Errors
    /// Returns [`DtlsSrtpError::Handshake`] if the engine cannot send its flight again.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsSrtpError> {
        if self.retransmission.take_due(now) { self.retransmit(now) } else { Ok(()) }
    }

    fn retransmit(&mut self, now: Instant) -> Result<(), DtlsSrtpError> {
        self.endpoint.handle_timeout(PEER, now).map_err(handshake)?;
        self.collect();
        Ok(())
    }

    /// Returns the next DTLS datagram for the peer.
    pub fn poll_transmit(&mut self) -> Option<BytesMut> {
        self.outbox.pop_front()
    }

    /// Closes the association. Drain [`Self::poll_transmit`] once more for the alert to the peer.
    pub fn close(&mut self, now: Instant) {
        self.closed = true;
        self.retransmission.stop();
        // Fails for an association that was never established; there is no peer to notify then.
        let _ = self.endpoint.close(now);
        self.collect();
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

/// Configures a handshake of the engine with these profiles, the best first.
fn configure(
    identity: &Identity,
    role: DtlsRole,
    expected: Fingerprint,
    profiles: &[SrtpProfile],
) -> Result<Arc<HandshakeConfig>, DtlsSrtpError> {
    let hasher = Arc::clone(&identity.crypto);
    let config = ConfigBuilder::default()
        .with_crypto_provider(Arc::clone(&hasher))
        .with_certificates(vec![identity.certificate.clone()])
        .with_srtp_protection_profiles(profiles.iter().copied().map(of_dtls).collect())
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
        .with_flight_interval(ENGINE_INTERVAL)
        .with_mtu(DTLS_MTU)
        .build(role == DtlsRole::Client, None)
        .map_err(|e| DtlsSrtpError::Handshake(e.to_string()))?;
    Ok(Arc::new(config))
}

#[cfg(test)]
impl DtlsSrtp {
    /// Sets the profiles of the engine, which as a server then decides without us, as the engine of
    /// another project.
    pub(super) fn set_profiles(&mut self, profiles: &[SrtpProfile]) {
        let config = configure(&self.identity, self.role, self.expected, profiles).unwrap();
        self.config = Arc::clone(&config);
        if self.role == DtlsRole::Server {
            self.peek = None;
            self.endpoint.set_server_config(Some(config));
        }
    }
}
