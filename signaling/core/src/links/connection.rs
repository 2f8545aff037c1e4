//! One WebSocket: unregistered at first, then a client's or a gateway's.

use porthole_clock::Now;
use porthole_signaling_proto::GatewayId;

use crate::{Bucket, Limits, Principal, Sender};

/// An open WebSocket and what is known of its peer.
#[derive(Debug)]
pub(crate) struct Connection {
    peer: Peer,
    /// The owner of the credential in the HTTP request that opened the WebSocket.
    http_principal: Option<Principal>,
    /// The nonce for a gateway to sign; valid once.
    nonce: Option<String>,
    bucket: Bucket,
    excess: Bucket,
    /// The number of database lookups in progress.
    lookups: usize,
    /// The hash of the list of cameras last sent to the client.
    cameras_hash: Option<u64>,
}

/// The peer on a connection.
#[derive(Debug)]
pub(crate) enum Peer {
    Unregistered,
    Client(Principal),
    Gateway(GatewayId),
}

/// The verdict on one more message of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// The message is within the rate.
    Fits,
    /// The message is over the rate and is to be refused.
    Excess,
    /// The peer goes on although it is refused.
    TooMuch,
}

impl Connection {
    pub(crate) fn new(now: Now, limits: &Limits, http_principal: Option<Principal>) -> Self {
        Self {
            peer: Peer::Unregistered,
            http_principal,
            nonce: None,
            bucket: Bucket::new(limits.unregistered_rate, now.instant),
            excess: Bucket::new(limits.excess_rate, now.instant),
            lookups: 0,
            cameras_hash: None,
        }
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Returns the owner of the credential that the connection was opened or registered with.
    pub(crate) fn principal(&self) -> Option<&Principal> {
        match &self.peer {
            Peer::Unregistered => self.http_principal.as_ref(),
            Peer::Client(principal) => Some(principal),
            Peer::Gateway(_) => None,
        }
    }

    pub(crate) fn is_registered(&self) -> bool {
        !matches!(self.peer, Peer::Unregistered)
    }

    /// Returns the peer that has registered, as the sender of a message.
    pub(crate) fn sender(&self) -> Sender {
        match &self.peer {
            Peer::Unregistered => Sender::Nobody,
            Peer::Client(principal) => Sender::Principal(principal.clone()),
            Peer::Gateway(gateway) => Sender::Gateway(gateway.clone()),
        }
    }

    /// Makes this the connection of a client, with this rate of messages.
    pub(crate) fn register_client(&mut self, principal: Principal, bucket: Bucket) {
        self.peer = Peer::Client(principal);
        self.bucket = bucket;
    }

    /// Makes this the connection of a gateway, with this rate of messages.
    pub(crate) fn register_gateway(&mut self, gateway: GatewayId, bucket: Bucket) {
        self.peer = Peer::Gateway(gateway);
        self.bucket = bucket;
    }

    /// Counts one more message of the peer.
    pub(crate) fn count_message(&mut self, now: Now) -> Pace {
        if self.bucket.take(now.instant) {
            Pace::Fits
        } else if self.excess.take(now.instant) {
            Pace::Excess
        } else {
            Pace::TooMuch
        }
    }

    pub(crate) fn set_nonce(&mut self, nonce: String) {
        self.nonce = Some(nonce);
    }

    /// Takes the nonce, which is valid once, whether or not its use succeeds.
    pub(crate) fn take_nonce(&mut self) -> Option<String> {
        self.nonce.take()
    }

    /// Counts one more database lookup; returns false if `limit` are in progress.
    pub(crate) fn begin_lookup(&mut self, limit: usize) -> bool {
        let fits = self.lookups < limit;
        self.lookups += usize::from(fits);
        fits
    }

    pub(crate) fn end_lookup(&mut self) {
        self.lookups = self.lookups.saturating_sub(1);
    }

    /// Notes the hash of a list of cameras; returns false if it is that of the last one.
    pub(crate) fn note_cameras(&mut self, hash: u64) -> bool {
        self.cameras_hash.replace(hash) != Some(hash)
    }
}
