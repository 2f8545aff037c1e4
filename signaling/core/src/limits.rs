//! Bounds on what one connection, client or gateway may use, so that it cannot affect others.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use porthole_signaling_proto::manage::{MAX_DURATION_S, MAX_SILENCE_S};

/// The most tokens and users whose rate is remembered; beyond it, those with a full bucket are
/// forgotten. Each is authenticated, so an attacker without credentials cannot fill the table.
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
    /// Most sessions of one client connection, or of one WHEP token or user: enough for a wall of
    /// cameras.
    pub sessions_per_client: usize,
    /// Most sessions of one gateway: about what its uplink and CPU can carry.
    pub sessions_per_gateway: usize,
    /// Most cameras of one gateway. As many just fit into one report of 64 KiB.
    pub cameras_per_gateway: usize,
    /// Most exchanges of one client connection.
    pub exchanges_per_client: usize,
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
            sessions_per_client: 64,
            sessions_per_gateway: 512,
            cameras_per_gateway: 256,
            exchanges_per_client: 8,
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

    /// Returns true if the bucket has filled up, so that it can be replaced by a new one.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.tokens >= f64::from(self.rate.burst)
    }

    fn fill(&mut self, now: Instant) {
        let time = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = self.filled.max(now);
        let tokens = self.tokens + time * f64::from(self.rate.per_minute) / 60.0;
        self.tokens = tokens.min(f64::from(self.rate.burst));
    }
}

/// The buckets of an event for each token or user that caused it lately.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    buckets: HashMap<String, Bucket>,
}

impl Rates {
    /// Takes a token from the bucket of a subject; returns false if it is empty, or if too many
    /// others are remembered.
    pub(crate) fn take(&mut self, subject: &str, rate: Rate, now: Instant) -> bool {
        let known = self.buckets.contains_key(subject);
        if !known && self.buckets.len() >= MAX_BUCKETS {
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        if !known && self.buckets.len() >= MAX_BUCKETS {
            return false;
        }
        let bucket = self.buckets.entry(subject.to_owned());
        bucket.or_insert_with(|| Bucket::new(rate, now)).take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_its_subject_and_the_idle_are_forgotten() {
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
            assert!(rates.take(&number.to_string(), rate, now), "the idle make room");
        }
        assert!(!rates.take("one more", rate, now));
        assert!(rates.take("one more", rate, now + Duration::from_secs(1)));
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
        assert!(!bucket.is_full(start + Duration::from_millis(2400)));
        assert!(bucket.is_full(start + Duration::from_millis(2500)));
        assert!(!bucket.take(start) || bucket.take(start), "time that runs backwards does no harm");
    }
}
