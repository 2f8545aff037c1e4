//! ERROR-CODE (RFC 8489 §14.8, RFC 8656 §19).

/// A code from 300 to 699.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(u16);

impl ErrorCode {
    /// Ask another server.
    pub const TRY_ALTERNATE: Self = Self(300);
    /// The request makes no sense.
    pub const BAD_REQUEST: Self = Self(400);
    /// Credentials are missing or wrong.
    pub const UNAUTHENTICATED: Self = Self(401);
    /// The peer is not allowed.
    pub const FORBIDDEN: Self = Self(403);
    /// Mobility is not allowed here (RFC 8016 §3.1).
    pub const MOBILITY_FORBIDDEN: Self = Self(405);
    /// An attribute that must be understood is not.
    pub const UNKNOWN_ATTRIBUTE: Self = Self(420);
    /// There is an allocation already, or there is none.
    pub const ALLOCATION_MISMATCH: Self = Self(437);
    /// The nonce is too old; the answer holds a new one.
    pub const STALE_NONCE: Self = Self(438);
    /// No relayed addresses of this family.
    pub const ADDRESS_FAMILY_NOT_SUPPORTED: Self = Self(440);
    /// The allocation belongs to other credentials.
    pub const WRONG_CREDENTIALS: Self = Self(441);
    /// REQUESTED-TRANSPORT is not one that is relayed.
    pub const UNSUPPORTED_TRANSPORT: Self = Self(442);
    /// The peer's family is not the allocation's.
    pub const PEER_ADDRESS_FAMILY_MISMATCH: Self = Self(443);
    /// The allocation is connected to this peer already (RFC 6062 §6.2).
    pub const CONNECTION_ALREADY_EXISTS: Self = Self(446);
    /// The peer could not be connected to (RFC 6062 §6.2).
    pub const CONNECTION_TIMEOUT_OR_FAILURE: Self = Self(447);
    /// This user or source has enough allocations.
    pub const ALLOCATION_QUOTA_REACHED: Self = Self(486);
    /// Both ICE agents claim the same role (RFC 8445 §16.2).
    pub const ROLE_CONFLICT: Self = Self(487);
    /// The server's own trouble.
    pub const SERVER_ERROR: Self = Self(500);
    /// No ports, or a table is full.
    pub const INSUFFICIENT_CAPACITY: Self = Self(508);

    /// The number itself.
    pub const fn value(self) -> u16 {
        self.0
    }

    /// Without a reason phrase: it would only make an answer to a forged source larger.
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
