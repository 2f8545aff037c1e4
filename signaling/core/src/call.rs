//! The request that a method of the hub serves.

use porthole_clock::Now;
use porthole_signaling_proto::method::Method;
use porthole_signaling_proto::rpc::{Message, RequestId};

use crate::request::Origin;
use crate::{ConnId, Hub};

/// A request of a peer: the time, the connection it came on, and the id to answer it under.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) now: Now,
    pub(crate) conn: ConnId,
    pub(crate) id: RequestId,
}

impl Call {
    /// Returns the place where the outcome of a forwarded request goes.
    pub(crate) fn origin(&self) -> Origin {
        Origin::Peer { conn: self.conn, id: self.id.clone() }
    }
}

impl Hub {
    /// Answers a request with the result of its method.
    pub(crate) fn respond<M: Method>(&mut self, call: &Call, result: &M::Result) {
        self.send(call.conn, Message::result::<M>(call.id.clone(), result));
    }
}
