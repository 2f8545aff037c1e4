//! Class, method and transaction id: the header of every message.

/// Value of bytes 4 to 7 of every message (RFC 8489 §5).
pub const MAGIC_COOKIE: u32 = 0x2112_A442;
/// Bytes of the header: type, length, cookie and transaction id.
pub const HEADER_LEN: usize = 20;

/// The class of a message (RFC 8489 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A request, which is answered by a response.
    Request,
    /// An indication, which is not answered.
    Indication,
    /// A success response.
    Success,
    /// An error response.
    Error,
}

/// The methods that this crate knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Asks for the address that the server sees the client at.
    Binding,
    /// Makes an allocation.
    Allocate,
    /// Prolongs or ends an allocation.
    Refresh,
    /// Indication that carries data from the client to a peer.
    Send,
    /// Indication that carries data from a peer to the client.
    Data,
    /// Installs or renews permissions for the addresses of peers.
    CreatePermission,
    /// Binds a channel number to a peer.
    ChannelBind,
    /// Opens a connection to a peer (RFC 6062).
    Connect,
    /// Binds the client's connection to a peer's (RFC 6062).
    ConnectionBind,
    /// Indication that a peer has connected (RFC 6062).
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

/// The id of a transaction, which must be unpredictable (RFC 8489 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId(pub [u8; 12]);

/// Returns the type of a message. The class bits sit between those of the method, at 8 and 4
/// (RFC 8489 §5, figure 3).
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

/// Splits the type of a message; the inverse of [`message_type`]. An unknown method is returned
/// as the error.
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
