//! The gateway's uplink: who gets pictures over it, which counts for its cap, and what it and the
//! limits of access tokens and share links leave for a viewer.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use porthole_signaling_proto::method::ShownReason;
use porthole_signaling_proto::{SessionId, StreamRole};

use super::Gateway;
use crate::camera::{Stream, StreamId};
use crate::congestion::{Rates, Rung, Shown};
use crate::ice;
use crate::ice::Path;
use crate::session::Session;

/// Percentage of its rate that has to be left for the main stream for a viewer to begin with it.
pub(super) const TO_BEGIN: u64 = 115;

/// Interval at which what is seen is compared with the cap: it binds viewers that report nothing,
/// too.
const CAP_INTERVAL: Duration = Duration::from_secs(1);

/// The rate that caps leave for a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    /// Bits per second.
    pub(super) rate: u64,
    /// The reason that the viewer is told if that is too little.
    pub(super) reason: ShownReason,
}

impl Gateway {
    /// Sets what all viewers outside the local network may get, in bits per second. Whoever gets
    /// more goes down now; whoever may get more goes up when its path was shown to carry it.
    pub(super) fn set_cap(&mut self, now: Instant, cap: Option<u64>) {
        if self.uplink.cap() != cap {
            self.uplink.set_cap(cap);
            self.cap_at = Some(now);
            self.keep_to_cap(now);
        }
    }

    /// Returns the time at which what is seen has to be compared with the cap.
    pub(super) fn next_cap(&self) -> Option<Instant> {
        self.cap_at
    }

    /// Lets whoever gets more than the cap leaves for it go down, if it is time to look.
    pub(super) fn keep_to_cap(&mut self, now: Instant) {
        if self.cap_at.is_none_or(|at| at > now) {
            return;
        }
        self.cap_at = None;
        let of_uplink = self.uplink.viewers().filter(|_| self.uplink.cap().is_some());
        let bound: BTreeSet<_> = of_uplink.chain(self.caps.sessions()).cloned().collect();
        for id in bound {
            self.follow_cap(now, &id);
        }
    }

    /// Returns the least that the cap of the uplink and the limits of its token or link leave for a
    /// viewer; `None` if none of them is about it.
    pub(super) fn left(&self, id: &SessionId) -> Option<Left> {
        let cap = self.uplink.left(id).map(|rate| Left { rate, reason: ShownReason::Cap });
        let limit = self.caps.left(id).map(|rate| Left { rate, reason: ShownReason::Limit });
        cap.into_iter().chain(limit).min_by_key(|left| left.rate)
    }

    /// Returns true if the path of a session stays in the local network.
    pub(super) fn is_in_network(&self, session: &Session) -> bool {
        session.path().is_some_and(|path| is_local(&path, &self.addresses))
    }

    /// Returns the rate of a stream in bits per second, once it is known.
    pub(super) fn rate_of(&self, id: &StreamId) -> Option<u64> {
        self.stream(id).and_then(Stream::bits_per_second)
    }

    /// Returns the rates of a camera's streams, for a viewer of one of them.
    pub(super) fn rates_of(&self, source: &StreamId) -> Option<Rates> {
        let rate = |role| self.rate_of(&StreamId { role, ..source.clone() });
        // Before its rate is known, the sub stream is taken for one that fits.
        Some(Rates { main: rate(StreamRole::Main)?, sub: rate(StreamRole::Sub).unwrap_or(0) })
    }

    /// Returns the rates that count for a viewer. One that sees its stream or nothing has that
    /// one's; if it lacks a sub stream now, that is the main stream.
    pub(super) fn rates_for(&self, session: &Session) -> Option<Rates> {
        let (section, _) = session.following()?;
        let source = session.sections().get(section)?.source();
        if !session.has_no_other() {
            return self.rates_of(source);
        }
        let role = if session.lacks_sub() { StreamRole::Main } else { source.role };
        let main = self.rate_of(&StreamId { role, ..source.clone() })?;
        Some(Rates { main, sub: main })
    }

    /// Counts a viewer among those of the uplink, if its path leaves the local network, and among
    /// those of its limits, wherever it is.
    pub(super) fn join_uplink(&mut self, now: Instant, id: &SessionId) {
        let Some(session) = self.sessions.get(id) else { return };
        if session.path().is_none() {
            self.caps.hide(id);
            return self.uplink.remove(id);
        }
        let rung = session.coming_rung().unwrap_or(Rung::Main);
        let rates = self.rates_for(session).unwrap_or_default();
        let shown = Shown { rung, rates, is_fixed: session.has_no_other() };
        let is_outside = !self.is_in_network(session);
        self.caps.show(id, shown);
        if is_outside {
            self.uplink.show(id, shown);
        } else {
            self.uplink.remove(id);
        }
        if is_outside && self.uplink.cap().is_some() || self.caps.bind(id) {
            self.cap_at.get_or_insert(now + CAP_INTERVAL);
        }
    }
}

/// Returns true if a path stays in the local network: it is direct, to any private address, which
/// only a local network or a tunnel can reach. `addresses` are those of this machine: a network
/// has global addresses in IPv6, too.
fn is_local(path: &Path, addresses: &[SocketAddr]) -> bool {
    let network = |ip: IpAddr| match ip.to_canonical() {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => Some(ip.to_bits() >> 64),
    };
    let remote = path.remote.ip();
    let is_ours = |ours: &SocketAddr| network(ours.ip()) == network(remote);
    let is_in_ours = network(remote).is_some() && addresses.iter().any(is_ours);
    !path.is_relayed() && (ice::is_local(remote) || is_in_ours)
}
