//! The configuration of an agent, and every timer and bound with its reason.

use std::time::Duration;

use super::Credentials;

/// Interval between two ordinary checks that this agent proposes (Ta), to be indicated with
/// `a=ice-pacing`: 20 ms checks twenty pairs in 0.4 s and stays below 50 kbit/s while connecting.
pub const TA: Duration = Duration::from_millis(20);
/// The Ta of an agent that indicates none (RFC 8445 §14.2). Both sides use the longer one.
pub const DEFAULT_TA: Duration = Duration::from_millis(50);
/// Shortest Ta that is used, whatever both sides propose (RFC 8445 §14.2).
pub const MIN_TA: Duration = Duration::from_millis(5);
/// Longest Ta that is used: at a slower pace no agent finds a path within [`PATIENCE`].
pub const MAX_TA: Duration = Duration::from_secs(1);
/// Interval between two triggered checks. Not the whole Ta, because each answers a check that the
/// peer has paced, and opens its path before the next check of the peer.
pub const TRIGGERED_TA: Duration = Duration::from_millis(5);
/// Minimum time before a check is repeated (RFC 8445 §14.3).
pub(super) const MIN_RTO: Duration = Duration::from_millis(500);
/// Checks sent at that interval before it doubles; the first ones usually open the NAT's mapping.
pub(super) const ATTEMPTS_BEFORE_BACKOFF: u32 = 4;
/// Longest time between two checks of a pair, failed pairs included.
pub(super) const MAX_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Checks without a response after which a pair counts as failed (Rc of RFC 8489 §6.2.1).
pub(super) const MAX_ATTEMPTS: u32 = 7;
/// Minimum time before the agent gives up (RFC 8863 §4: 39.5 s).
pub const PATIENCE: Duration = Duration::from_millis(39_500);
/// Time after the first selection during which any better pair replaces the selected one.
pub const RENOMINATION_WINDOW: Duration = Duration::from_secs(10);
/// Checks of a pair with a lower priority than the selected one, which is only a backup.
pub(super) const SPARE_ATTEMPTS: u32 = 3;
/// Time after a restart during which a healthy direct path is not replaced by a relayed one.
pub(super) const RESTART_HOLD: Duration = Duration::from_secs(2);

/// Shortest interval between two consent checks (RFC 7675 §5.1: 5 s times 0.8 to 1.2).
pub const CONSENT_INTERVAL_MIN: Duration = Duration::from_secs(4);
/// Longest interval between two consent checks; see [`CONSENT_INTERVAL_MIN`].
pub const CONSENT_INTERVAL_MAX: Duration = Duration::from_secs(6);
/// Time after which a consent check counts as missed, and interval at which it is then repeated.
pub const CONSENT_PROBE: Duration = Duration::from_millis(500);
/// Upper bound of that time on slow paths, where it is two round trips.
pub(super) const CONSENT_PROBE_MAX: Duration = Duration::from_secs(2);
/// Time from the first missed check to `Disconnected`.
pub const DISCONNECTED_AFTER: Duration = Duration::from_secs(5);
/// Time from the last response to the expiry of consent (RFC 7675 §5.1).
pub const CONSENT_EXPIRY: Duration = Duration::from_secs(30);
/// Number of missed checks after which another valid pair takes over.
pub(super) const FAILOVER_MISSES: u32 = 4;
/// Number of missed checks after which the pair that the peer uses meanwhile takes over: its NAT
/// has given it another address, or it has another network.
pub(super) const MOVED_MISSES: u32 = 2;
/// Time without a packet after which the selected pair is checked, if media had arrived on it.
/// Browsers report once a second, between 0.5 and 1.5 s.
pub const QUIET: Duration = Duration::from_millis(1500);
/// Interval at which a direct pair that once worked is checked while a relayed one is selected.
pub(super) const DIRECT_RETRY: Duration = Duration::from_secs(10);
/// Interval at which valid pairs beside the selected one are checked: shorter than the timeout of
/// any NAT.
pub const WARM_INTERVAL: Duration = Duration::from_secs(10);
/// Time after the selection during which the other valid pairs are checked.
pub const WARM_FOR: Duration = Duration::from_secs(30);
/// Minimum time before a nomination is repeated; otherwise it is repeated after two round trips
/// until the peer has responded.
pub(super) const NOMINATION_RTO_MIN: Duration = Duration::from_millis(100);
/// Time between two nominations of a lower-priority pair after which the controlled side follows
/// them; the controlling side repeats each of its nominations a little later than this.
pub(super) const SECOND_NOMINATION: Duration = Duration::from_secs(1);

/// Time for which the controlling peer may have a valid pair and nominate none, or refuse to give
/// up a role that is ours; then this side takes the other role, so that nothing hangs.
pub const ROLE_PATIENCE: Duration = Duration::from_secs(3);

/// Limit of candidate pairs, as RFC 8445 §6.1.2.5 recommends: two seconds of checks.
pub const MAX_PAIRS: usize = 100;
/// Limit of remote candidates in one generation, peer-reflexive ones included.
pub const MAX_REMOTE: usize = 64;
/// Limit of peer-reflexive candidates among them: a peer shows one for each NAT mapping, a flood
/// thousands.
pub const MAX_PEER_REFLEXIVE: usize = 16;
/// Interval at which one more peer-reflexive candidate may be learned after that many: two NATs
/// that create a mapping for every check would show each other new addresses forever.
pub const PEER_REFLEXIVE_REFILL: Duration = Duration::from_secs(1);
/// Limit of local candidates.
pub const MAX_LOCAL: usize = 32;
/// Limit of server-reflexive candidates of one base; a new one replaces the oldest. There is one
/// for each STUN server, and all of them may change with a restart, if the NAT dropped its mapping.
pub(super) const MAX_REFLEXIVE_PER_BASE: usize = 4;
/// Limit of checks in flight: more than leave in a second at the fastest pacing.
pub const MAX_TRANSACTIONS: usize = 256;
/// Time after which a response to a check is ignored.
pub(super) const TRANSACTION_LIFETIME: Duration = Duration::from_secs(10);
/// Limit of validated addresses: one for each pair that carries anything, and some spare.
pub const MAX_VALIDATED: usize = 64;
/// Limit of queued datagrams. The owner drains the queue after every input, so it is never reached.
pub const MAX_TRANSMITS: usize = 256;
/// Limit of queued events; like [`MAX_TRANSMITS`], never reached.
pub const MAX_EVENTS: usize = 64;

/// ICE role: determines which side chooses the pair to use (RFC 8445 §6.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Nominates pairs; the offerer.
    Controlling,
    /// Follows the nominations of its peer.
    Controlled,
}

impl Role {
    /// Returns the other role.
    pub const fn opposite(self) -> Self {
        match self {
            Self::Controlling => Self::Controlled,
            Self::Controlled => Self::Controlling,
        }
    }
}

/// Configuration of an [`Agent`](super::Agent).
#[derive(Clone, Debug)]
pub struct Config {
    /// The initial role; a role conflict may change it.
    pub role: Role,
    /// The local credentials of the first generation.
    pub local: Credentials,
    /// Seed of the generator for transaction ids, the tie-breaker and the jitter of consent checks.
    /// Must be unpredictable in production; a simulation uses the seed of its case.
    pub seed: u64,
    /// Interval between two ordinary checks that we propose, [`TA`] by default; see
    /// [`Agent::set_remote_pacing`](super::Agent::set_remote_pacing) for the one that is used.
    pub ta: Duration,
    /// Minimum time before the agent gives up, [`PATIENCE`] by default.
    pub patience: Duration,
}

impl Config {
    /// Creates a configuration with the default timers.
    pub const fn new(role: Role, local: Credentials, seed: u64) -> Self {
        Self { role, local, seed, ta: TA, patience: PATIENCE }
    }
}
