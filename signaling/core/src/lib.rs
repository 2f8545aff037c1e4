//! Core of the signaling server: presence of gateways, permissions of viewers, and the messages
//! between the two sides of a session.
//!
//! Messages, WHEP requests, lookup results and the time go in through the `handle_…` methods of
//! [`Hub`]; [`Output`]s come out of [`Hub::poll_output`]. Anything that needs the database (tokens,
//! keys, claim codes) leaves as [`Output::Lookup`], and its result comes back through
//! [`Hub::handle_lookup_result`].
//!
//! Architecture invariant: no clock, socket, task, lock or file in here, and media does not depend
//! on it: when a WebSocket is lost, its sessions go on between the peers. They end with their
//! lifetime or with their credential, which their ids tell a hub that has forgotten them.

#![warn(missing_docs)]

mod access;
mod address;
mod call;
mod cameras;
mod changes;
mod client;
mod connection;
mod directory;
mod exchanges;
mod forgotten;
mod gateway;
mod hub;
mod ice;
mod limits;
mod links;
mod lookup;
mod manage;
mod messages;
mod origins;
mod output;
mod reasons;
mod recent;
mod removal;
mod request;
mod revoked;
mod session;
mod session_id;
mod sessions;
pub mod stats;
mod timer;
mod turn_users;
mod whep;

pub use access::{
    Access, Action, Admitted, CameraUse, Denied, Enrolment, Everything, Expiry, GatewayCamera,
    Gift, Grant, Granted, Identity, Kind, Membership, Need, NotGiven, Object, Objects, Permission,
    Permissions, Principal, RateCap, Rights, Sender, Sharing, Viewed,
};
pub use changes::{CameraChange, ChangeKind};
pub use hub::{Config, Hub, StoredCamera, StoredGateway};
pub use ice::{TurnCondition, TurnConditions, TurnConfig, TurnServer, TurnUser};
pub use limits::{Bucket, Limits, Rate};
pub use lookup::{Enrolled, Lookup, LookupId, LookupResult};
pub use origins::Origins;
pub use output::{Close, Output};
pub use recent::Recent;
pub use removal::CameraRemoval;
pub use session_id::SessionKey;
pub use whep::{IfMatch, WhepDelete, WhepFragment, WhepOffer, WhepPatch, WhepResponse, http};

/// Number of a WebSocket, assigned by the driver and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// Number of an HTTP request that waits for a [`WhepResponse`], assigned by the driver and never
/// reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WhepRequestId(pub u64);
