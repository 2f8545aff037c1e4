//! What an agent is told at its start, and every timer and bound with its reason.

use std::time::Duration;

use super::Credentials;

/// Between two ordinary checks (RFC 8445 §14.2 allows 5 ms and more, recommends 50): twenty pairs
/// in 0.4 s, and less than 50 kbit/s while connecting.
pub const TA: Duration = Duration::from_millis(20);
/// Between two triggered checks. They answer an authenticated peer, so the least that RFC 8445
/// §14.2 allows is enough.
pub const TRIGGERED_TA: Duration = Duration::from_millis(5);
/// The least wait before a check is repeated (RFC 8445 §14.3).
pub(super) const MIN_RTO: Duration = Duration::from_millis(500);
/// Repetitions at that wait. Then it doubles: a hole is mostly punched by the first ones.
pub(super) const EVEN_ATTEMPTS: u32 = 4;
/// The wait never grows beyond this; as "failed" pairs are retried too.
pub(super) const FAILED_RETRY: Duration = Duration::from_secs(5);
/// Unanswered checks after which a pair counts as failed (Rc of RFC 8489 §6.2.1).
pub(super) const MAX_ATTEMPTS: u32 = 7;
/// No verdict before this (RFC 8863 §4: 39.5 s).
pub const PATIENCE: Duration = Duration::from_millis(39_500);
/// While a lesser path is selected, any better one replaces it for this long.
pub const RENOMINATION_WINDOW: Duration = Duration::from_secs(10);
/// Checks of a pair that is worth less than the selected one: a spare, no more.
pub(super) const SPARE_ATTEMPTS: u32 = 3;
/// After a restart the healthy old path is not given up for a relayed one before this.
pub(super) const RESTART_HOLD: Duration = Duration::from_secs(2);

/// RFC 7675 §5.1: 5 s times 0.8 to 1.2.
pub const CONSENT_INTERVAL_MIN: Duration = Duration::from_secs(4);
/// See [`CONSENT_INTERVAL_MIN`].
pub const CONSENT_INTERVAL_MAX: Duration = Duration::from_secs(6);
/// A consent check without an answer for this long is missed, and is repeated this often.
pub const CONSENT_PROBE: Duration = Duration::from_millis(500);
/// On slow paths two round trips, but never more than this.
pub(super) const CONSENT_PROBE_MAX: Duration = Duration::from_secs(2);
/// From the first missed check to `Disconnected`.
pub const DISCONNECTED_AFTER: Duration = Duration::from_secs(5);
/// From the last answer to the end of consent (RFC 7675 §5.1).
pub const CONSENT_EXPIRY: Duration = Duration::from_secs(30);
/// Missed checks after which another valid pair takes over.
pub(super) const FAILOVER_MISSES: u32 = 4;
/// A pair that once worked and is better than the relay is asked this often, for ever.
pub(super) const RETURN_RETRY: Duration = Duration::from_secs(10);
/// Valid pairs beside the selected one are asked this often, below every NAT's timeout…
pub const WARM_INTERVAL: Duration = Duration::from_secs(10);
/// …for this long after the selection.
pub const WARM_FOR: Duration = Duration::from_secs(30);
/// Until the peer has answered it, a nomination is repeated after two round trips, at least this…
pub(super) const NOMINATION_RTO_MIN: Duration = Duration::from_millis(100);
/// Two nominations of a pair worth less than the selected one, this far apart, are meant so; the
/// controlling side repeats each of its own a little later.
pub(super) const SECOND_NOMINATION: Duration = Duration::from_secs(1);

/// RFC 8445 §6.1.2.5 recommends this limit: two seconds of checks.
pub const MAX_PAIRS: usize = 100;
/// Remote candidates of one generation, peer-reflexive ones included.
pub const MAX_REMOTE: usize = 64;
/// Peer-reflexive ones among them: a peer shows one per NAT mapping, a flood shows thousands.
pub const MAX_PEER_REFLEXIVE: usize = 16;
/// As many may be learned at once, then one in this time: two NATs that map every check anew
/// would show each other new addresses for ever.
pub const PEER_REFLEXIVE_REFILL: Duration = Duration::from_secs(1);
/// Local ends: addresses of the machine and TURN allocations.
pub const MAX_LOCAL: usize = 32;
/// Reflexive candidates of one end; a new one replaces the oldest. One per STUN server, and after
/// a restart all of them once more, for the NAT may have forgotten us.
pub(super) const MAX_REFLEXIVE_PER_END: usize = 4;
/// Checks in flight: what leaves in more than a second at the densest pacing.
pub const MAX_TRANSACTIONS: usize = 256;
/// An answer later than this is no answer.
pub(super) const TRANSACTION_LIFETIME: Duration = Duration::from_secs(10);
/// Addresses that have proven themselves; one per pair that carries anything, and some more.
pub const MAX_VALIDATED: usize = 64;
/// Datagrams between two drains. The driver drains after every input, so this is never met.
pub const MAX_TRANSMITS: usize = 256;
/// Events between two drains, as [`MAX_TRANSMITS`].
pub const MAX_EVENTS: usize = 64;

/// Who decides which pair is used (RFC 8445 §6.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Nominates. The offerer, unless the peer is lite.
    Controlling,
    /// Follows.
    Controlled,
}

impl Role {
    /// The other one.
    pub const fn opposite(self) -> Self {
        match self {
            Self::Controlling => Self::Controlled,
            Self::Controlled => Self::Controlling,
        }
    }
}

/// What an agent is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The role to begin with; a conflict may change it.
    pub role: Role,
    /// Ours, of the first generation.
    pub local: Credentials,
    /// For transaction ids, the tie-breaker and the spread of consent checks. From a good source
    /// in production, from the test's case in a simulation.
    pub seed: u64,
    /// Between two ordinary checks, see [`TA`]. Raised to 5 ms when less.
    pub ta: Duration,
    /// How long no verdict is given, see [`PATIENCE`].
    pub patience: Duration,
}

impl Config {
    /// With the standard timers.
    pub const fn new(role: Role, local: Credentials, seed: u64) -> Self {
        Self { role, local, seed, ta: TA, patience: PATIENCE }
    }
}
