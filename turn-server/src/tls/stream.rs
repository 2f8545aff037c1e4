//! TLS over a client's TCP connection (RFC 8656 §2.1, RFC 7443): plaintext on one side, any stream
//! on the other. Reads and writes are never blocking and never buffered beyond one record.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{NoServerSessionStorage, ServerConnection};

use crate::tls::chain::Chain;

/// The first byte of every TLS connection: a handshake record (RFC 8446 §5.1). STUN begins with 0
/// to 3 and ChannelData with 64 to 79, so one port can serve both.
pub(crate) const FIRST_BYTE: u8 = 22;
/// How long a handshake may take: two round trips and some lost segments on a bad mobile link.
pub(crate) const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Handshakes of one worker at a time, about 20 kB each. The oldest makes room for the next: so
/// nobody can lock others out by beginning many.
pub(crate) const MAX_HANDSHAKES: usize = 512;
/// RFC 7443 §3.
const ALPN: [&[u8]; 2] = [b"stun.turn", b"stun.nat-discovery"];
/// Plaintext that waits for the end of a handshake, of which there is none: a client speaks first.
const WRITE_LIMIT: usize = 16 << 10;

/// What every connection of this certificate begins with.
///
/// Clients that offer only other protocols than [`ALPN`] are refused by `no_application_protocol`
/// (RFC 7301 §3.2); those that offer none are served. Nothing is kept for resumption: a TURN
/// connection lasts, and what is not kept cannot be filled up.
pub(crate) fn server_config(chain: &Chain) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain.certificates.clone(), chain.key.clone_key())?;
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// One connection's keys and half-read records.
#[derive(Debug)]
pub(crate) struct Session(Box<ServerConnection>);

impl Session {
    pub(crate) fn new(config: Arc<ServerConfig>) -> io::Result<Self> {
        let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
        connection.set_buffer_limit(Some(WRITE_LIMIT));
        Ok(Self(Box::new(connection)))
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// Plaintext; 0 when the client said that it will send no more (close_notify). A stream that
    /// ends without is an error, as is everything that is not TLS.
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
            // Its part of the handshake, or the alert that says why there is none. If the stream
            // takes no more now, the next flush goes on.
            let sent = self.flush(stream);
            processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            sent.or_else(ignore_full)?;
        }
    }

    /// Takes plaintext only when all earlier records have gone: what waits for a slow client then
    /// waits as whole frames, not as ciphertext that can no longer be dropped.
    pub(crate) fn write(&mut self, stream: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
        self.flush(stream)?;
        let written = self.0.writer().write(bytes)?;
        if written == 0 && self.is_handshaking() {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.flush(stream).or_else(ignore_full)?;
        Ok(written)
    }

    /// Records that wait; `WouldBlock` when some still do.
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

    /// Says that nothing more will be sent.
    pub(crate) fn close(&mut self, stream: &mut impl Write) {
        self.0.send_close_notify();
        // Whoever does not take it sees the connection end.
        let _ = self.flush(stream);
    }
}

fn ignore_full(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::WouldBlock { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests;
