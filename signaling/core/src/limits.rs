//! Bounds on what one connection, client or gateway may use, so that it cannot affect others.

use std::time::{Duration, Instant};

use porthole_signaling_proto::manage::{MAX_DURATION_S, MAX_SILENCE_S};

use crate::Recent;

/// The most tokens and users whose rate is remembered; beyond it, the one that was used least
/// recently is forgotten.
const MAX_BUCKETS: usize = 4096;

/// All bounds of the hub. The defaults suit a server with thousands of viewers.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Time within which a new WebSocket must send `register`.
    pub register_timeout: Duration,
    /// Time a gateway has to respond to `connect`: it may wait 5 s for the camera's format.
    pub connect_timeout: Duration,
    /// Time a client has to respond to `invite`, and a gateway to `extend`.
    pub request_timeout: Duration,
    /// Time a gateway has to respond to a viewer's offer or ICE restart: it gathers candidates
    /// first.
    pub offer_timeout: Duration,
    /// Time within which a gateway must say something in an exchange.
    pub exchange_silence: Duration,
    /// Longest time of an exchange.
    pub exchange_duration: Duration,
    /// Lifetime of a session from its start or from the last `extend`.
    pub session_lifetime: Duration,
    /// Lifetime of a WHEP session. It is longer because WHEP cannot extend a session.
    pub whep_lifetime: Duration,
    /// Time within which a peer that has lost its WebSocket can resume its sessions.
    pub reconnect_window: Duration,
    /// Shortest time between two lists of cameras to the same client.
    pub cameras_interval: Duration,
    /// Most WebSockets on which one user or token is registered: one for each open page, and for
    /// those that are not known to be gone yet. Tokens that have given each other are counted as
    /// one, here and below.
    pub sockets_per_subject: usize,
    /// Most sessions of one user or token, over all its WebSockets and WHEP: enough for two walls
    /// of cameras, and a quarter of what a gateway may have.
    pub sessions_per_subject: usize,
    /// Most sessions of one user or token that nobody has answered yet: enough for a wall of
    /// cameras that is opened at once.
    pub unanswered_per_subject: usize,
    /// Most sessions of one gateway: about what its uplink and CPU can carry.
    pub sessions_per_gateway: usize,
    /// Most sessions of one gateway that nobody has answered yet. The rest is for pictures.
    pub unanswered_per_gateway: usize,
    /// Most cameras of one gateway. As many just fit into one report of 64 KiB.
    pub cameras_per_gateway: usize,
    /// Most exchanges of one user or token.
    pub exchanges_per_subject: usize,
    /// Most exchanges with one gateway.
    pub exchanges_per_gateway: usize,
    /// Most database lookups in progress for one connection.
    pub lookups_per_connection: usize,
    /// Rate of messages before `register`.
    pub unregistered_rate: Rate,
    /// Rate of messages of a client: 64 cameras at once, each with an answer and a dozen
    /// candidates.
    pub client_rate: Rate,
    /// Rate of messages of a gateway: a hundred viewers at once, each with an offer and a dozen
    /// candidates.
    pub gateway_rate: Rate,
    /// Rate of WHEP requests of one token or user: 64 cameras at once, each with a dozen candidates
    /// one by one; in the long run a player sends few.
    pub whep_rate: Rate,
    /// Rate of messages over the above rates that are refused one by one; beyond it the connection
    /// is closed.
    pub excess_rate: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            register_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(15),
            offer_timeout: Duration::from_secs(15),
            exchange_silence: Duration::from_secs(MAX_SILENCE_S),
            exchange_duration: Duration::from_secs(MAX_DURATION_S),
            session_lifetime: Duration::from_secs(60 * 60),
            whep_lifetime: Duration::from_secs(24 * 60 * 60),
            reconnect_window: Duration::from_secs(10 * 60),
            cameras_interval: Duration::from_millis(200),
            sockets_per_subject: 128,
            sessions_per_subject: 128,
            unanswered_per_subject: 64,
            sessions_per_gateway: 512,
            unanswered_per_gateway: 256,
            cameras_per_gateway: 256,
            exchanges_per_subject: 8,
            exchanges_per_gateway: 32,
            lookups_per_connection: 8,
            unregistered_rate: Rate { burst: 10, per_minute: 60 },
            client_rate: Rate { burst: 1_000, per_minute: 6_000 },
            gateway_rate: Rate { burst: 4_000, per_minute: 60_000 },
            whep_rate: Rate { burst: 1_000, per_minute: 600 },
            excess_rate: Rate { burst: 100, per_minute: 60 },
        }
    }
}

/// The size and the refill rate of a [`Bucket`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Number of events allowed at once after a pause.
    pub burst: u32,
    /// Number of events per minute allowed in the long run.
    pub per_minute: u32,
}

/// A token bucket, which limits the rate of an event.
#[derive(Debug, Clone)]
pub struct Bucket {
    rate: Rate,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// Creates a full bucket.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, tokens: f64::from(rate.burst), filled: now }
    }

    /// Takes a token; returns false if the bucket is empty.
    pub fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }

    /// Puts a token back that was taken.
    pub fn put_back(&mut self) {
        self.tokens = (self.tokens + 1.0).min(f64::from(self.rate.burst));
    }

    /// Returns the time until it has a token again; zero if it has one now.
    pub fn time_to_next(&mut self, now: Instant) -> Duration {
        self.fill(now);
        let missing = (1.0 - self.tokens).max(0.0);
        let seconds = missing * 60.0 / f64::from(self.rate.per_minute.max(1));
        Duration::from_secs_f64(seconds)
    }

    fn fill(&mut self, now: Instant) {
        let time = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = self.filled.max(now);
        let tokens = self.tokens + time * f64::from(self.rate.per_minute) / 60.0;
        self.tokens = tokens.min(f64::from(self.rate.burst));
    }
}

/// The buckets of an event for each token or user that caused it lately.
#[derive(Debug)]
pub(crate) struct Rates {
    buckets: Recent<String, Bucket>,
}

impl Default for Rates {
    fn default() -> Self {
        Self { buckets: Recent::new(MAX_BUCKETS) }
    }
}

impl Rates {
    /// Takes a token from the bucket of a subject; returns false if it is empty.
    pub(crate) fn take(&mut self, subject: &str, rate: Rate, now: Instant) -> bool {
        self.buckets.entry(&subject.to_owned(), || Bucket::new(rate, now)).take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_its_subject_and_newcomers_are_never_refused() {
        let start = Instant::now();
        let rate = Rate { burst: 1, per_minute: 60 };
        let mut rates = Rates::default();
        for (subject, after_ms, given) in
            [("a", 0, true), ("a", 0, false), ("b", 0, true), ("a", 1000, true)]
        {
            let now = start + Duration::from_millis(after_ms);
            assert_eq!(rates.take(subject, rate, now), given, "{subject} {after_ms}");
        }
        let now = start + Duration::from_secs(5);
        for number in 0..MAX_BUCKETS {
            assert!(rates.take(&number.to_string(), rate, now), "{number}");
        }
        assert!(rates.take("one more", rate, now), "the least recent makes room");
        assert!(!rates.take("one more", rate, now));
        assert_eq!(rates.buckets.len(), MAX_BUCKETS);
    }

    #[test]
    fn a_bucket_allows_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate { burst: 3, per_minute: 120 }, start);
        for (at_ms, given) in [
            (0, true),
            (0, true),
            (0, true),
            (0, false),
            (499, false),
            (500, true),
            (999, false),
            (1000, true),
            (1000, false),
        ] {
            assert_eq!(bucket.take(start + Duration::from_millis(at_ms)), given, "{at_ms} ms");
        }
        assert_eq!(bucket.time_to_next(start + Duration::from_millis(1250)).as_millis(), 250);
        assert_eq!(bucket.time_to_next(start + Duration::from_millis(1500)), Duration::ZERO);
        assert!(bucket.take(start), "time that runs backwards does no harm");
    }
}
