//! What the hub wants done.

use crate::{ConnId, Principal, WaiterId, WhepReply};
use porthole_signaling_proto::{
    CameraId, GatewayId,
    rpc::{Fault, Message},
};

/// To be carried out by the driver, in order.
#[derive(Debug, Clone)]
pub enum Output {
    /// Send a message.
    Send {
        /// To whom.
        to: ConnId,
        /// What.
        message: Message,
    },
    /// Close a WebSocket. The hub has already forgotten it.
    Close {
        /// Which.
        conn: ConnId,
        /// What to say.
        close: Close,
    },
    /// Answer an HTTP request.
    Reply {
        /// Which.
        waiter: WaiterId,
        /// What to say; a fault's code is one of [`crate::http`] or of `rpc::code`.
        outcome: Result<WhepReply, Fault>,
    },
    /// Look something up or write it down, then call [`crate::Hub::answered`], always.
    Ask {
        /// To name it by.
        ticket: Ticket,
        /// What.
        question: Question,
    },
    /// Write down what a gateway is called and which cameras it has, whole. When that fails,
    /// call [`crate::Hub::not_kept`]; everything else goes on.
    Keep {
        /// Whose.
        gateway: GatewayId,
        /// What people call it.
        name: String,
        /// All of its cameras and what people call them.
        cameras: Vec<(CameraId, String)>,
    },
}

/// Names a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(crate) u64);

/// What only the database knows.
#[derive(Debug, Clone)]
pub enum Question {
    /// Whose access token is this?
    Token(String),
    /// Which public key is this gateway's?
    GatewayKey(GatewayId),
    /// Use up this claim and write the gateway down, both or neither.
    Enroll {
        /// The claim code as it was typed.
        claim: String,
        /// The gateway, whose proof of the key was good.
        gateway: GatewayId,
        /// Its key.
        public_key: [u8; 32],
        /// What people call it.
        name: String,
    },
}

/// The answers, in the order of the questions.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Whose token it is; a fault says why it is nobody's.
    Token(Result<Principal, Fault>),
    /// The key; a fault says that there is none.
    GatewayKey(Result<[u8; 32], Fault>),
    /// Whether the gateway is known now.
    Enrolled(Result<(), Fault>),
}

/// Why a WebSocket is closed (RFC 6455 §7.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The status code.
    pub code: u16,
    /// One sentence, at most 123 bytes.
    pub reason: &'static str,
}

impl Close {
    /// It has unregistered.
    pub const UNREGISTERED: Self = Self { code: 1000, reason: "unregistered" };
    /// The server stops.
    pub const GOING_AWAY: Self = Self { code: 1001, reason: "the server is going away" };
    /// No `register` in time.
    pub const NOT_REGISTERED: Self =
        Self { code: 1008, reason: "not registered in time: send `register` first" };
    /// Far more messages than allowed.
    pub const TOO_MANY: Self = Self { code: 1008, reason: "too many messages" };
    /// A message that is too long.
    pub const TOO_BIG: Self =
        Self { code: 1009, reason: "the message is too long: at most 64 KiB are taken" };
    /// A message that is not text.
    pub const NOT_TEXT: Self =
        Self { code: 1003, reason: "messages are JSON-RPC 2.0 in text frames" };
    /// The peer reads too slowly.
    pub const TOO_SLOW: Self =
        Self { code: 1013, reason: "too slow: messages were waiting; connect again" };
    /// The credential has ended or was revoked.
    pub const EXPIRED: Self = Self { code: 4401, reason: "the access token has expired" };
    /// The user has signed out.
    pub const SIGNED_OUT: Self = Self { code: 4401, reason: "signed out" };
    /// The same gateway has come in again.
    pub const REPLACED: Self =
        Self { code: 4409, reason: "replaced by a newer connection of the same gateway" };
}
