//! The signaling server as a value: who is online, who may see what, who talks to whom.
//!
//! Messages, answers and `now` go in through the methods of [`Hub`]; [`Output`]s come out. What
//! needs a disk (tokens, keys, claims) is asked for by [`Output::Ask`] and comes back through
//! [`Hub::answered`].
//!
//! Architecture invariant: no clock, socket, task, lock or file in here, and no media needs it:
//! when a WebSocket is lost, its sessions go on between the peers. They end with their time or, as
//! long as they are known here, with their credential.

#![warn(missing_docs)]

mod access;
mod cameras;
mod client;
mod connection;
mod fragment;
mod gateway;
mod hub;
mod ice;
mod limits;
mod output;
mod request;
mod session;
mod timer;
mod whep;

pub use access::{Principal, Scope};
pub use fragment::{Fragment, FragmentError};
pub use hub::{Config, Hub, StoredGateway};
pub use ice::TurnOffer;
pub use limits::{Bucket, Limits, Rate};
pub use output::{Answer, Close, Output, Question, Ticket};
pub use whep::{IfMatch, WhepDelete, WhepOffer, WhepPatch, WhepReply, http};

/// One WebSocket, numbered by the driver; numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// One HTTP request that waits for a [`WhepReply`]; numbered by the driver likewise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(pub u64);
