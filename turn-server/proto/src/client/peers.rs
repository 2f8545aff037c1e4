//! Whom the client talks to: permissions, channels and what waits for a permission.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::channel::ChannelNumber;

/// Peers of one allocation; a session has a handful of candidates.
pub(super) const MAX_PERMISSIONS: usize = 128;
/// Channels of one allocation; numbers are never used twice, so that no late packet of one peer
/// is taken for another's.
pub(super) const MAX_CHANNELS: usize = 64;
/// Datagrams that wait for a permission: the first checks of a few candidates.
pub(super) const MAX_QUEUED: usize = 16;
/// A permission lives 300 s and a channel 600 (RFC 8656 §9, §12): renewed with a minute to spare,
/// the channel as often, because its renewal renews the permission as well.
const RENEW_AFTER: Duration = Duration::from_secs(240);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not asked for yet: there is no allocation.
    Waiting,
    Asked,
    /// Works until renewal is due; `asked` when that is under way.
    Works {
        renew_at: Instant,
        asked: bool,
    },
    /// A channel the server refused; Send indications still work.
    Refused,
}

impl Progress {
    pub(super) fn works(self) -> bool {
        matches!(self, Self::Works { .. })
    }

    fn renew_at(self) -> Option<Instant> {
        match self {
            Self::Works { renew_at, asked: false } => Some(renew_at),
            Self::Waiting | Self::Asked | Self::Refused | Self::Works { .. } => None,
        }
    }

    fn mark_asked(&mut self) {
        *self = match *self {
            Self::Works { renew_at, .. } => Self::Works { renew_at, asked: true },
            Self::Waiting | Self::Asked | Self::Refused => Self::Asked,
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
    /// `false` when there are too many; nothing happens for a known one.
    pub(super) fn add_permission(&mut self, peer: IpAddr) -> bool {
        let known = self.permissions.contains_key(&peer);
        if !known && self.permissions.len() >= MAX_PERMISSIONS {
            return false;
        }
        self.permissions.entry(peer).or_insert(Progress::Waiting);
        true
    }

    /// Nothing happens for a known one, or when there are too many: Send indications do as well.
    pub(super) fn add_channel(&mut self, peer: SocketAddr) {
        if self.channels.contains_key(&peer) || self.by_number.len() >= MAX_CHANNELS {
            return;
        }
        let next = u16::try_from(self.by_number.len()).ok();
        let number = next.and_then(|n| ChannelNumber::new(ChannelNumber::MIN.value() + n));
        let Some(number) = number else { return };
        self.by_number.push(peer);
        self.channels.insert(peer, Channel { number, progress: Progress::Waiting });
    }

    pub(super) fn permission(&self, peer: IpAddr) -> Option<Progress> {
        self.permissions.get(&peer).copied()
    }

    pub(super) fn channel(&self, peer: SocketAddr) -> Option<Channel> {
        self.channels.get(&peer).copied()
    }

    /// The peer of a channel that was asked for: data may overtake the answer.
    pub(super) fn peer_of(&self, number: ChannelNumber) -> Option<SocketAddr> {
        let index = number.value().checked_sub(ChannelNumber::MIN.value())?;
        self.by_number.get(usize::from(index)).copied()
    }

    pub(super) fn permission_granted(&mut self, peer: IpAddr, now: Instant) {
        if let Some(progress) = self.permissions.get_mut(&peer) {
            *progress = Progress::Works { renew_at: now + RENEW_AFTER, asked: false };
        }
    }

    pub(super) fn channel_bound(&mut self, peer: SocketAddr, now: Instant) {
        if let Some(channel) = self.channels.get_mut(&peer) {
            channel.progress = Progress::Works { renew_at: now + RENEW_AFTER, asked: false };
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

    /// Whether a datagram to this peer should wait, and waits now.
    pub(super) fn queue(&mut self, peer: SocketAddr, payload: &[u8]) {
        let pending =
            matches!(self.permissions.get(&peer.ip()), Some(Progress::Waiting | Progress::Asked));
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

    /// Permissions to ask for: new ones and those due for renewal. They count as asked for now.
    pub(super) fn due_permissions(&mut self, now: Instant) -> Vec<IpAddr> {
        let due = |p: &Progress| *p == Progress::Waiting || p.renew_at().is_some_and(|t| t <= now);
        let found = self.permissions.iter_mut().filter(|(_, p)| due(p));
        found.map(|(ip, progress)| (progress.mark_asked(), *ip).1).collect()
    }

    /// As [`Self::due_permissions`].
    pub(super) fn due_channels(&mut self, now: Instant) -> Vec<(SocketAddr, ChannelNumber)> {
        let due = |p: Progress| p == Progress::Waiting || p.renew_at().is_some_and(|t| t <= now);
        let found = self.channels.iter_mut().filter(|(_, c)| due(c.progress));
        found.map(|(peer, c)| (c.progress.mark_asked(), (*peer, c.number)).1).collect()
    }

    pub(super) fn next_renewal(&self) -> Option<Instant> {
        let permissions = self.permissions.values().filter_map(|p| p.renew_at());
        let channels = self.channels.values().filter_map(|c| c.progress.renew_at());
        permissions.chain(channels).min()
    }
}
