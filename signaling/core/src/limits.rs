//! What one connection, client or gateway may use, so that nobody else feels it.

use std::time::{Duration, Instant};

/// Every bound of the hub. The defaults suit a server with thousands of viewers.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a WebSocket may stay without `register`.
    pub register_timeout: Duration,
    /// How long a gateway may take for `connect`. It only has to make room.
    pub connect_timeout: Duration,
    /// How long a client may take to answer an `invite`, a gateway an `extend`.
    pub answer_timeout: Duration,
    /// How long a gateway may take to answer a viewer's offer: it gathers candidates first.
    pub offer_timeout: Duration,
    /// How long a session lasts unless extended.
    pub session_lifetime: Duration,
    /// How long a WHEP session lasts; WHEP knows no `extend`.
    pub whep_lifetime: Duration,
    /// How long a session whose peer has lost its WebSocket can be taken up again.
    pub route_kept: Duration,
    /// The shortest time between two camera lists to the same client.
    pub cameras_interval: Duration,
    /// Sessions of one client connection, or of one WHEP token or user. A wall of cameras.
    pub sessions_per_client: usize,
    /// Sessions of one gateway; about what its uplink and CPU could ever carry.
    pub sessions_per_gateway: usize,
    /// Cameras of one gateway. That many just fit into one report of 64 KiB.
    pub cameras_per_gateway: usize,
    /// Questions to the database that one connection may have open.
    pub asks_per_connection: usize,
    /// Messages before `register`.
    pub stranger_rate: Rate,
    /// Messages of a client: 64 cameras at once, each with an answer and a dozen candidates.
    pub client_rate: Rate,
    /// Messages of a gateway: a hundred viewers at once, likewise.
    pub gateway_rate: Rate,
    /// WHEP requests of one token or user: 64 cameras at once, each with a dozen candidates one by
    /// one; in the long run a player does little.
    pub whep_rate: Rate,
    /// Messages over the rate that are refused one by one before the connection is closed.
    pub excess_rate: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            register_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(15),
            offer_timeout: Duration::from_secs(15),
            session_lifetime: Duration::from_secs(60 * 60),
            whep_lifetime: Duration::from_secs(24 * 60 * 60),
            route_kept: Duration::from_secs(10 * 60),
            cameras_interval: Duration::from_millis(200),
            sessions_per_client: 64,
            sessions_per_gateway: 512,
            cameras_per_gateway: 256,
            asks_per_connection: 8,
            stranger_rate: Rate { burst: 10, per_minute: 60 },
            client_rate: Rate { burst: 1_000, per_minute: 6_000 },
            gateway_rate: Rate { burst: 4_000, per_minute: 60_000 },
            whep_rate: Rate { burst: 1_000, per_minute: 600 },
            excess_rate: Rate { burst: 100, per_minute: 60 },
        }
    }
}

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At once, after a rest.
    pub burst: u32,
    /// In the long run.
    pub per_minute: u32,
}

/// A token bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    rate: Rate,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, tokens: f64::from(rate.burst), filled: now }
    }

    /// Takes a token; `false` when there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }

    /// Whether nothing was taken lately: as good as a new one.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
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
        assert!(!bucket.take(start) || bucket.take(start), "time that runs back harms nothing");
    }
}
