//! Class, method and transaction id: the fixed part of every message.

/// Bytes 4 to 8 of every message (RFC 8489 §5).
pub const MAGIC_COOKIE: u32 = 0x2112_A442;
/// Type, length, cookie and transaction id.
pub const HEADER_LEN: usize = 20;

/// What a message is to its method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Wants an answer.
    Request,
    /// Wants none.
    Indication,
    /// The answer when it went well.
    Success,
    /// The answer when it did not.
    Error,
}

/// The methods this crate speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// "Which address do you see me at?"
    Binding,
    /// Make a relayed address.
    Allocate,
    /// Prolong or end an allocation.
    Refresh,
    /// Client → server → peer, as an indication.
    Send,
    /// Peer → server → client, as an indication.
    Data,
    /// Let a peer's address through.
    CreatePermission,
    /// Give a peer a channel number.
    ChannelBind,
    /// Open a connection to a peer (RFC 6062).
    Connect,
    /// Splice this connection with a peer's (RFC 6062).
    ConnectionBind,
    /// A peer has connected, as an indication (RFC 6062).
    ConnectionAttempt,
}

impl Method {
    const fn bits(self) -> u16 {
        match self {
            Self::Binding => 0x001,
            Self::Allocate => 0x003,
            Self::Refresh => 0x004,
            Self::Send => 0x006,
            Self::Data => 0x007,
            Self::CreatePermission => 0x008,
            Self::ChannelBind => 0x009,
            Self::Connect => 0x00A,
            Self::ConnectionBind => 0x00B,
            Self::ConnectionAttempt => 0x00C,
        }
    }

    const fn from_bits(bits: u16) -> Option<Self> {
        match bits {
            0x001 => Some(Self::Binding),
            0x003 => Some(Self::Allocate),
            0x004 => Some(Self::Refresh),
            0x006 => Some(Self::Send),
            0x007 => Some(Self::Data),
            0x008 => Some(Self::CreatePermission),
            0x009 => Some(Self::ChannelBind),
            0x00A => Some(Self::Connect),
            0x00B => Some(Self::ConnectionBind),
            0x00C => Some(Self::ConnectionAttempt),
            _ => None,
        }
    }
}

/// Names one transaction; unguessable when made from good randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId(pub [u8; 12]);

/// The class bits sit between the method bits, at 8 and 4 (RFC 8489 §5, figure 3).
pub(super) const fn message_type(class: Class, method: Method) -> u16 {
    let method = method.bits();
    let class = match class {
        Class::Request => 0b00,
        Class::Indication => 0b01,
        Class::Success => 0b10,
        Class::Error => 0b11,
    };
    (method & 0x000F)
        | ((method & 0x0070) << 1)
        | ((method & 0x0F80) << 2)
        | ((class & 0b01) << 4)
        | ((class & 0b10) << 7)
}

/// `Err` carries the method number that nobody here knows.
pub(super) const fn split_type(kind: u16) -> Result<(Class, Method), u16> {
    let class = match ((kind >> 7) & 0b10) | ((kind >> 4) & 0b01) {
        0b00 => Class::Request,
        0b01 => Class::Indication,
        0b10 => Class::Success,
        _ => Class::Error,
    };
    let bits = (kind & 0x000F) | ((kind >> 1) & 0x0070) | ((kind >> 2) & 0x0F80);
    match Method::from_bits(bits) {
        Some(method) => Ok((class, method)),
        None => Err(bits),
    }
}
