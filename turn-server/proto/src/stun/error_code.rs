//! ERROR-CODE (RFC 8489 §14.8, RFC 8656 §19).

/// The code of an ERROR-CODE attribute, from 300 to 699.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(u16);

impl ErrorCode {
    /// Try Alternate: the client should use another server.
    pub const TRY_ALTERNATE: Self = Self(300);
    /// Bad Request: an attribute is missing or malformed.
    pub const BAD_REQUEST: Self = Self(400);
    /// Unauthenticated: credentials are missing or wrong.
    pub const UNAUTHENTICATED: Self = Self(401);
    /// Forbidden: the server's policy does not allow this peer.
    pub const FORBIDDEN: Self = Self(403);
    /// Mobility Forbidden: the server does not support mobility (RFC 8016 §3.1).
    pub const MOBILITY_FORBIDDEN: Self = Self(405);
    /// Unknown Attribute: the server does not understand a comprehension-required attribute.
    pub const UNKNOWN_ATTRIBUTE: Self = Self(420);
    /// Allocation Mismatch: an allocation exists where none may, or does not exist where one must.
    pub const ALLOCATION_MISMATCH: Self = Self(437);
    /// Stale Nonce: the nonce is too old; the response holds a new one.
    pub const STALE_NONCE: Self = Self(438);
    /// Address Family not Supported: the server has no relayed addresses of this family.
    pub const ADDRESS_FAMILY_NOT_SUPPORTED: Self = Self(440);
    /// Wrong Credentials: the allocation was made with other ones.
    pub const WRONG_CREDENTIALS: Self = Self(441);
    /// Unsupported Transport Protocol: the server does not relay REQUESTED-TRANSPORT.
    pub const UNSUPPORTED_TRANSPORT: Self = Self(442);
    /// Peer Address Family Mismatch: the allocation has no relayed address of the peer's family.
    pub const PEER_ADDRESS_FAMILY_MISMATCH: Self = Self(443);
    /// Connection Already Exists: the allocation is connected to this peer (RFC 6062 §6.3).
    pub const CONNECTION_ALREADY_EXISTS: Self = Self(446);
    /// Connection Timeout or Failure: the peer could not be connected to (RFC 6062 §6.3).
    pub const CONNECTION_TIMEOUT_OR_FAILURE: Self = Self(447);
    /// Allocation Quota Reached: this user or source has as many allocations as it may.
    pub const ALLOCATION_QUOTA_REACHED: Self = Self(486);
    /// Role Conflict: both ICE agents claim the same role (RFC 8445 §16.2).
    pub const ROLE_CONFLICT: Self = Self(487);
    /// Server Error: a temporary error in the server.
    pub const SERVER_ERROR: Self = Self(500);
    /// Insufficient Capacity: no port is free, or a table is full.
    pub const INSUFFICIENT_CAPACITY: Self = Self(508);

    /// Returns the code as a number.
    pub const fn value(self) -> u16 {
        self.0
    }

    /// Returns the value of ERROR-CODE without a reason phrase, which would only make a response
    /// to a forged source larger.
    pub(super) const fn encode(self) -> [u8; 4] {
        let [_, class] = (self.0 / 100).to_be_bytes();
        let [_, number] = (self.0 % 100).to_be_bytes();
        [0, 0, class, number]
    }

    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let &[_, _, class, number] = value.first_chunk::<4>()?;
        let class = class & 0b111;
        if !(3..=6).contains(&class) || number > 99 {
            return None;
        }
        Some(Self(u16::from(class) * 100 + u16::from(number)))
    }
}
