//! Allocations as operators see them: named across workers, and a line in the log at their end.

use std::fmt;
use std::str::FromStr;

use porthole_turn_proto::server::{AllocationId, AllocationInfo};

/// Names one living allocation of a server: its worker's number and its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    pub(crate) worker: usize,
    pub(crate) allocation: AllocationId,
}

/// No such name can be.
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
        // One name for one session: no leading zero or sign.
        parse().filter(|id| id.to_string() == text).ok_or(BadSessionId)
    }
}

/// One living allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// For [`Server::end_session`](crate::Server::end_session).
    pub id: SessionId,
    /// What it is.
    pub info: AllocationInfo,
}

/// The one line that says why a session is over. Who it was is for whoever looks closer.
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
        "a TURN session is over",
    );
    tracing::debug!(
        %id,
        client = %session.client.client,
        // As a literal: a name may hold anything.
        username = ?session.username,
        relayed = ?session.relayed,
        "whose session is over",
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
    fn r12_a_name_is_a_literal_in_the_log() {
        for (username, shown) in [
            ("anna", "username=\"anna\""),
            ("a\nb a TURN session is over", "username=\"a\\nb a TURN session is over\""),
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
            let said = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
            let lines: Vec<_> = said.lines().collect();
            let [what, who] = lines[..] else { panic!("two lines: {said:?}") };
            assert!(what.contains("reason=\"expired\"") && !what.contains("username"), "{what}");
            assert!(who.contains(shown), "{username:?}: {who}");
        }
    }

    #[test]
    fn a_session_has_one_name() {
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
