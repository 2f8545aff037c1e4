//! TLS over a client's TCP connection (RFC 8656 §2.1, RFC 7443): plaintext on one side, any stream
//! on the other. Reads and writes never block and buffer no more than one record.

use std::io;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{NoServerSessionStorage, ServerConnection};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::tls::chain::Chain;

/// The first byte of every TLS connection: a handshake record (RFC 8446 §5.1). STUN begins with 0
/// to 3 and ChannelData with 64 to 79, so one port can serve both.
pub(crate) const FIRST_BYTE: u8 = 22;
/// Time that a handshake may take: two round trips and some lost segments on a bad mobile link.
pub(crate) const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Most handshakes of one worker at a time, about 20 kB each. Beyond it the oldest is dropped for
/// the next, so that beginning many does not lock others out.
pub(crate) const MAX_HANDSHAKES: usize = 512;
/// The application protocols of STUN and TURN (RFC 7443 §3).
const ALPN: [&[u8]; 2] = [b"stun.turn", b"stun.nat-discovery"];
/// Limit of plaintext buffered until a handshake ends. It stays unused: the client speaks first.
const WRITE_LIMIT: usize = 16 << 10;

/// Makes the certificate ready for use. Fails if its key is another one's.
pub(crate) fn certified_key(chain: &Chain) -> Result<Arc<CertifiedKey>, rustls::Error> {
    let (certificates, key) = (chain.certificates.clone(), chain.key.clone_key());
    CertifiedKey::from_der(certificates, key, &ring::default_provider()).map(Arc::new)
}

/// Makes the configuration shared by all connections that use a certificate.
///
/// Clients that offer only other protocols than [`ALPN`] are refused by `no_application_protocol`
/// (RFC 7301 §3.2); those that offer none are served. Sessions are not stored for resumption: a
/// TURN connection lasts, and a store that does not exist cannot be filled up.
pub(crate) fn server_config(key: Arc<CertifiedKey>) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The TLS state of one connection: its keys and half-read records.
#[derive(Debug)]
pub(crate) struct TlsConnection(Box<ServerConnection>);

impl TlsConnection {
    pub(crate) fn new(config: Arc<ServerConfig>) -> io::Result<Self> {
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        Ok(Self::continued(Box::new(connection)))
    }

    /// Goes on with a connection that somebody else has begun, and may have read from.
    pub(crate) fn continued(mut connection: Box<ServerConnection>) -> Self {
        connection.set_buffer_limit(Some(WRITE_LIMIT));
        Self(connection)
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// Reads plaintext. Returns 0 after the client's close_notify. A stream that ends without one
    /// is an error, and so is data that is not TLS.
    pub(crate) fn read(
        &mut self,
        stream: &mut (impl Read + Write),
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        loop {
            match self.0.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            self.0.read_tls(stream)?;
            let processed = self.0.process_new_packets();
            // The next handshake message, or the alert that refuses it. If the stream accepts no
            // more now, the next flush continues.
            let sent = self.flush(stream);
            processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            sent.or_else(ignore_full)?;
        }
    }

    /// Writes plaintext, but only after all earlier records are sent: data for a slow client then
    /// waits as whole frames, not as ciphertext, which could no longer be dropped.
    pub(crate) fn write(&mut self, stream: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
        self.flush(stream)?;
        let written = self.0.writer().write(bytes)?;
        if written == 0 && self.is_handshaking() {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.flush(stream).or_else(ignore_full)?;
        Ok(written)
    }

    /// Writes pending records. Fails with `WouldBlock` if some remain.
    pub(crate) fn flush(&mut self, stream: &mut impl Write) -> io::Result<()> {
        while self.0.wants_write() {
            match self.0.write_tls(stream) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Sends close_notify: nothing more will be sent.
    pub(crate) fn close(&mut self, stream: &mut impl Write) {
        self.0.send_close_notify();
        // A client that does not read it sees the connection end.
        let _ = self.flush(stream);
    }
}

/// Maps `WouldBlock` to success.
fn ignore_full(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::WouldBlock { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests;
