//! Allocations as operators see them: ids across workers, and a log line at their end.

use std::fmt;
use std::str::FromStr;

use porthole_turn_proto::server::{AllocationId, AllocationInfo};

/// The id of an allocation of a server: the number of its worker and its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    pub(crate) worker: usize,
    pub(crate) allocation: AllocationId,
}

/// A text that is not a session id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session's id looks like 0-1a2b: copy it from the list of sessions")]
pub struct BadSessionId;

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}", self.worker, self.allocation.to_bits())
    }
}

impl FromStr for SessionId {
    type Err = BadSessionId;

    fn from_str(text: &str) -> Result<Self, BadSessionId> {
        let parse = || {
            let (worker, bits) = text.split_once('-')?;
            let allocation = AllocationId::from_bits(u64::from_str_radix(bits, 16).ok()?);
            Some(Self { worker: worker.parse().ok()?, allocation })
        };
        // A session has exactly one id: no leading zeros, no sign.
        parse().filter(|id| id.to_string() == text).ok_or(BadSessionId)
    }
}

/// An allocation and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The id, as [`Server::end_session`](crate::Server::end_session) takes it.
    pub id: SessionId,
    /// The description of the allocation.
    pub info: AllocationInfo,
}

/// Logs the end of a session: the reason at INFO; the client, which is personal data, at DEBUG.
pub(crate) fn log_end(worker: usize, session: &AllocationInfo, reason: &str) {
    let id = SessionId { worker, allocation: session.id };
    tracing::info!(
        %id,
        reason,
        transport = ?session.client.transport,
        age_s = session.age.as_secs(),
        packets_to_peer = session.to_peer.packets,
        bytes_to_peer = session.to_peer.bytes,
        packets_to_client = session.to_client.packets,
        bytes_to_client = session.to_client.bytes,
        "a TURN session has ended",
    );
    tracing::debug!(
        %id,
        client = %session.client.client,
        // Quoted and escaped: a user name may hold any character.
        username = ?session.username,
        relayed = ?session.relayed,
        "client of the ended TURN session",
    );
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;

    use porthole_turn_proto::Transport;
    use porthole_turn_proto::server::{FiveTuple, Traffic};

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn r12_a_user_name_is_escaped_in_the_log() {
        for (username, shown) in [
            ("anna", "username=\"anna\""),
            ("a\nb a TURN session has ended", "username=\"a\\nb a TURN session has ended\""),
            ("\u{1b}[2J", "username=\"\\u{1b}[2J\""),
            ("a\" reason=\"b", "username=\"a\\\" reason=\\\"b\""),
        ] {
            let client = FiveTuple {
                transport: Transport::Udp,
                client: ([198, 51, 100, 7], 4000).into(),
                server: ([192, 0, 2, 1], 3478).into(),
            };
            let session = AllocationInfo {
                id: AllocationId::from_bits(7),
                client,
                username: username.to_owned(),
                relayed: Vec::new(),
                age: Duration::from_secs(9),
                expires_in: Duration::ZERO,
                to_peer: Traffic::default(),
                to_client: Traffic::default(),
            };
            let log = Log::default();
            let writer = log.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_ansi(false)
                .with_max_level(tracing::Level::DEBUG)
                .with_writer(move || writer.clone())
                .finish();
            tracing::subscriber::with_default(subscriber, || log_end(0, &session, "expired"));
            let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
            let lines: Vec<_> = text.lines().collect();
            let [end, client] = lines[..] else { panic!("two lines: {text:?}") };
            assert!(end.contains("reason=\"expired\"") && !end.contains("username"), "{end}");
            assert!(client.contains(shown), "{username:?}: {client}");
        }
    }

    #[test]
    fn a_session_has_exactly_one_id() {
        let id = |worker, bits| SessionId { worker, allocation: AllocationId::from_bits(bits) };
        for (text, want) in [
            ("0-0", Some(id(0, 0))),
            ("3-1000000ff", Some(id(3, 0x1_0000_00ff))),
            ("03-ff", None),
            ("3-0ff", None),
            ("3-FF", None),
            ("+3-ff", None),
            ("3", None),
            ("", None),
            ("3-", None),
            ("-ff", None),
            ("3-10000000000000000", None),
        ] {
            let parsed = text.parse::<SessionId>();
            assert_eq!(parsed.ok(), want, "{text}");
            if let Some(id) = want {
                assert_eq!(id.to_string(), text);
            }
        }
    }
}
