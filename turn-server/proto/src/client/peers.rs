//! The peers of an allocation: permissions, channels, and datagrams that wait for a permission.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::channel::ChannelNumber;

/// Permissions of one allocation; a session has a handful of candidates.
pub(super) const MAX_PERMISSIONS: usize = 128;
/// Channels of one allocation. Numbers are never used twice, so that a late packet of one peer is
/// not attributed to another.
pub(super) const MAX_CHANNELS: usize = 64;
/// Datagrams that may wait for a permission: the first connectivity checks of a few candidates.
pub(super) const MAX_QUEUED: usize = 16;
/// Time after which a permission or channel is renewed. A permission lives 300 s (RFC 8656 §9):
/// that leaves a minute to spare. A channel lives 600 s (§12) but is renewed as often, because
/// that renews the permission as well.
const RENEW_AFTER: Duration = Duration::from_secs(240);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not requested yet, because the allocation does not exist.
    Pending,
    Requested,
    /// Granted, with the time of its renewal and whether that is requested.
    Granted {
        renew_at: Instant,
        renewing: bool,
    },
    /// A channel that the server refused; Send indications still work.
    Refused,
}

impl Progress {
    pub(super) fn is_granted(self) -> bool {
        matches!(self, Self::Granted { .. })
    }

    fn renew_at(self) -> Option<Instant> {
        match self {
            Self::Granted { renew_at, renewing: false } => Some(renew_at),
            Self::Pending | Self::Requested | Self::Refused | Self::Granted { .. } => None,
        }
    }

    fn mark_requested(&mut self) {
        *self = match *self {
            Self::Granted { renew_at, .. } => Self::Granted { renew_at, renewing: true },
            Self::Pending | Self::Requested | Self::Refused => Self::Requested,
        };
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Channel {
    pub(super) number: ChannelNumber,
    pub(super) progress: Progress,
}

#[derive(Debug, Default)]
pub(super) struct Peers {
    permissions: BTreeMap<IpAddr, Progress>,
    channels: BTreeMap<SocketAddr, Channel>,
    /// The peer of channel 0x4000 + index.
    by_number: Vec<SocketAddr>,
    queued: VecDeque<(SocketAddr, Vec<u8>)>,
}

impl Peers {
    /// Adds a permission unless it is known. Returns false if there are too many.
    pub(super) fn add_permission(&mut self, peer: IpAddr) -> bool {
        let known = self.permissions.contains_key(&peer);
        if !known && self.permissions.len() >= MAX_PERMISSIONS {
            return false;
        }
        self.permissions.entry(peer).or_insert(Progress::Pending);
        true
    }

    /// Adds a channel unless it is known or there are too many: Send indications work as well.
    pub(super) fn add_channel(&mut self, peer: SocketAddr) {
        if self.channels.contains_key(&peer) || self.by_number.len() >= MAX_CHANNELS {
            return;
        }
        let next = u16::try_from(self.by_number.len()).ok();
        let number = next.and_then(|n| ChannelNumber::new(ChannelNumber::MIN.value() + n));
        let Some(number) = number else { return };
        self.by_number.push(peer);
        self.channels.insert(peer, Channel { number, progress: Progress::Pending });
    }

    pub(super) fn permission(&self, peer: IpAddr) -> Option<Progress> {
        self.permissions.get(&peer).copied()
    }

    pub(super) fn channel(&self, peer: SocketAddr) -> Option<Channel> {
        self.channels.get(&peer).copied()
    }

    /// Returns the peer of a channel, requested or granted: data may overtake the response.
    pub(super) fn peer_of(&self, number: ChannelNumber) -> Option<SocketAddr> {
        let index = number.value().checked_sub(ChannelNumber::MIN.value())?;
        self.by_number.get(usize::from(index)).copied()
    }

    pub(super) fn permission_granted(&mut self, peer: IpAddr, now: Instant) {
        if let Some(progress) = self.permissions.get_mut(&peer) {
            *progress = Progress::Granted { renew_at: now + RENEW_AFTER, renewing: false };
        }
    }

    pub(super) fn channel_bound(&mut self, peer: SocketAddr, now: Instant) {
        if let Some(channel) = self.channels.get_mut(&peer) {
            channel.progress = Progress::Granted { renew_at: now + RENEW_AFTER, renewing: false };
        }
        self.permission_granted(peer.ip(), now);
    }

    pub(super) fn permission_refused(&mut self, peer: IpAddr) {
        self.permissions.remove(&peer);
        self.queued.retain(|(to, _)| to.ip() != peer);
    }

    pub(super) fn channel_refused(&mut self, peer: SocketAddr) {
        if let Some(channel) = self.channels.get_mut(&peer) {
            channel.progress = Progress::Refused;
        }
    }

    /// Queues a datagram if the permission for its peer is pending; otherwise drops it.
    pub(super) fn queue(&mut self, peer: SocketAddr, payload: &[u8]) {
        let pending = matches!(
            self.permissions.get(&peer.ip()),
            Some(Progress::Pending | Progress::Requested)
        );
        if pending && self.queued.len() < MAX_QUEUED {
            self.queued.push_back((peer, payload.to_vec()));
        }
    }

    pub(super) fn take_queued(&mut self, peer: IpAddr) -> Vec<(SocketAddr, Vec<u8>)> {
        let (ready, waiting): (Vec<_>, Vec<_>) =
            self.queued.drain(..).partition(|(to, _)| to.ip() == peer);
        self.queued = waiting.into();
        ready
    }

    /// Returns the permissions to request, new ones and those due for renewal, and marks them as
    /// requested.
    pub(super) fn due_permissions(&mut self, now: Instant) -> Vec<IpAddr> {
        let due = |p: &Progress| *p == Progress::Pending || p.renew_at().is_some_and(|t| t <= now);
        let found = self.permissions.iter_mut().filter(|(_, p)| due(p));
        found.map(|(ip, progress)| (progress.mark_requested(), *ip).1).collect()
    }

    /// Returns the channels to request, as [`Self::due_permissions`] does.
    pub(super) fn due_channels(&mut self, now: Instant) -> Vec<(SocketAddr, ChannelNumber)> {
        let due = |p: Progress| p == Progress::Pending || p.renew_at().is_some_and(|t| t <= now);
        let found = self.channels.iter_mut().filter(|(_, c)| due(c.progress));
        found.map(|(peer, c)| (c.progress.mark_requested(), (*peer, c.number)).1).collect()
    }

    pub(super) fn next_renewal(&self) -> Option<Instant> {
        let permissions = self.permissions.values().filter_map(|p| p.renew_at());
        let channels = self.channels.values().filter_map(|c| c.progress.renew_at());
        permissions.chain(channels).min()
    }
}
