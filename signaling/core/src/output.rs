//! Outputs of the hub: everything it asks its driver to do.

use std::collections::BTreeSet;

use porthole_signaling_proto::rpc::{Fault, Message};

use crate::{ConnId, Lookup, LookupId, StoredGateway, TurnUser, WhepRequestId, WhepResponse};

/// One thing for the driver to carry out; outputs are to be applied in order.
#[derive(Debug, Clone)]
pub enum Output {
    /// A message to send on a WebSocket.
    Send {
        /// The connection to send to.
        to: ConnId,
        /// The message to send.
        message: Message,
    },
    /// A WebSocket to close. The hub has already forgotten the connection.
    Close {
        /// The connection to close.
        conn: ConnId,
        /// The status code and reason to close it with.
        close: Close,
    },
    /// A WebSocket on which a peer has registered: it is no stranger any more.
    Registered {
        /// The connection it has registered on.
        conn: ConnId,
        /// The user or token of a client, or the id of a gateway.
        owner: String,
    },
    /// The response to a WHEP request.
    WhepResponse {
        /// The HTTP request to respond to.
        request: WhepRequestId,
        /// The response; a fault's code is one of [`crate::http`] or of `rpc::code`.
        outcome: Result<WhepResponse, Fault>,
    },
    /// A database lookup. The driver always reports its result through
    /// [`crate::Hub::handle_lookup_result`], failures included.
    Lookup {
        /// The identifier to report the result under.
        id: LookupId,
        /// The lookup to perform.
        lookup: Lookup,
    },
    /// A gateway with its complete list of cameras, to be written to the database. When that
    /// fails, the driver retries or calls [`crate::Hub::handle_persist_failed`]; viewers are not
    /// affected.
    Persist(StoredGateway),
    /// Check if these credentials were revoked, and call [`crate::Hub::handle_revoked`] for those
    /// that were: sessions of before a restart go on with them.
    CheckCredentials(BTreeSet<String>),
    /// A TURN user that has ended, with its session or with the credential that has asked for it:
    /// its TURN credentials are good for nothing any more.
    TurnUserEnded(TurnUser),
}

/// Status code and reason of a close frame (RFC 6455 §7.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The status code; codes from 4000 on are Porthole's own.
    pub code: u16,
    /// One sentence, at most 123 bytes (RFC 6455 §5.5).
    pub reason: &'static str,
}

impl Close {
    /// The peer has unregistered.
    pub const UNREGISTERED: Self = Self { code: 1000, reason: "unregistered" };
    /// The server is stopping.
    pub const GOING_AWAY: Self = Self { code: 1001, reason: "the server is going away" };
    /// The peer did not register in time.
    pub const NOT_REGISTERED: Self =
        Self { code: 1008, reason: "not registered in time: send `register` first" };
    /// The peer sent far more messages than allowed.
    pub const TOO_MANY: Self = Self { code: 1008, reason: "too many messages" };
    /// The peer sent a message that is too long.
    pub const TOO_BIG: Self =
        Self { code: 1009, reason: "the message is too long: at most 64 KiB are accepted" };
    /// The peer sent a binary message.
    pub const NOT_TEXT: Self =
        Self { code: 1003, reason: "messages are JSON-RPC 2.0 in text frames" };
    /// The peer reads too slowly.
    pub const TOO_SLOW: Self =
        Self { code: 1013, reason: "too slow: unread messages have piled up; connect again" };
    /// The credential has expired.
    pub const EXPIRED: Self = Self { code: 4401, reason: "the access token has expired" };
    /// The user has signed out, or the credential was revoked.
    pub const SIGNED_OUT: Self = Self { code: 4401, reason: "signed out" };
    /// The rights of the user have changed: it may connect again, with those that it has now.
    pub const RIGHTS_CHANGED: Self =
        Self { code: 4403, reason: "your rights have changed; connect again" };
    /// The gateway was removed, or another has taken its place.
    pub const REMOVED: Self =
        Self { code: 4410, reason: "this gateway was removed from the server" };
    /// The same gateway has connected again.
    pub const REPLACED: Self =
        Self { code: 4409, reason: "replaced by a newer connection of the same gateway" };
}
