//! Attribute types, by their IANA names.

/// MAPPED-ADDRESS: the address without XOR, only ever read.
pub const MAPPED_ADDRESS: u16 = 0x0001;
/// CHANGE-REQUEST: answer from another address or port (RFC 5780 §7.2).
pub const CHANGE_REQUEST: u16 = 0x0003;
/// PADDING: makes a message large enough to be fragmented (RFC 5780 §7.6).
pub const PADDING: u16 = 0x0026;
/// RESPONSE-PORT: where the answer is to go (RFC 5780 §7.5).
pub const RESPONSE_PORT: u16 = 0x0027;
/// USERNAME.
pub const USERNAME: u16 = 0x0006;
/// MESSAGE-INTEGRITY (HMAC-SHA1).
pub const MESSAGE_INTEGRITY: u16 = 0x0008;
/// ERROR-CODE.
pub const ERROR_CODE: u16 = 0x0009;
/// UNKNOWN-ATTRIBUTES.
pub const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
/// CHANNEL-NUMBER.
pub const CHANNEL_NUMBER: u16 = 0x000C;
/// LIFETIME, in seconds.
pub const LIFETIME: u16 = 0x000D;
/// XOR-PEER-ADDRESS.
pub const XOR_PEER_ADDRESS: u16 = 0x0012;
/// DATA.
pub const DATA: u16 = 0x0013;
/// REALM.
pub const REALM: u16 = 0x0014;
/// NONCE.
pub const NONCE: u16 = 0x0015;
/// XOR-RELAYED-ADDRESS.
pub const XOR_RELAYED_ADDRESS: u16 = 0x0016;
/// REQUESTED-ADDRESS-FAMILY.
pub const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
/// EVEN-PORT.
pub const EVEN_PORT: u16 = 0x0018;
/// REQUESTED-TRANSPORT.
pub const REQUESTED_TRANSPORT: u16 = 0x0019;
/// DONT-FRAGMENT, without a value.
pub const DONT_FRAGMENT: u16 = 0x001A;
/// ACCESS-TOKEN: a third party's word for the client (RFC 7635 §6.2).
pub const ACCESS_TOKEN: u16 = 0x001B;
/// MESSAGE-INTEGRITY-SHA256. Nothing after it is covered either.
pub const MESSAGE_INTEGRITY_SHA256: u16 = 0x001C;
/// PASSWORD-ALGORITHM: the one a client chose (RFC 8489 §14.12).
pub const PASSWORD_ALGORITHM: u16 = 0x001D;
/// USERHASH, in place of USERNAME (RFC 8489 §14.4).
pub const USERHASH: u16 = 0x001E;
/// XOR-MAPPED-ADDRESS.
pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
/// PRIORITY: what a peer-reflexive candidate learned from this check is worth (RFC 8445 §16.1).
pub const PRIORITY: u16 = 0x0024;
/// USE-CANDIDATE: a nomination, without a value (RFC 8445 §16.1).
pub const USE_CANDIDATE: u16 = 0x0025;
/// RESERVATION-TOKEN.
pub const RESERVATION_TOKEN: u16 = 0x0022;
/// CONNECTION-ID (RFC 6062 §6.2.1).
pub const CONNECTION_ID: u16 = 0x002A;
/// MOBILITY-TICKET (RFC 8016 §4): empty where one is asked for.
pub const MOBILITY_TICKET: u16 = 0x8030;
/// ADDITIONAL-ADDRESS-FAMILY.
pub const ADDITIONAL_ADDRESS_FAMILY: u16 = 0x8000;
/// ADDITIONAL-ADDRESS-FAMILY before it had a number (draft-ietf-tram-turn-ssoda): coturn 4.6 and
/// its clients have no other.
pub const DRAFT_ADDITIONAL_ADDRESS_FAMILY: u16 = 0x8032;
/// ADDRESS-ERROR-CODE.
pub const ADDRESS_ERROR_CODE: u16 = 0x8001;
/// ICMP: what came back from the way to a peer.
pub const ICMP: u16 = 0x8004;
/// PASSWORD-ALGORITHMS: those a server takes, and the client's echo (RFC 8489 §14.11).
pub const PASSWORD_ALGORITHMS: u16 = 0x8002;
/// SOFTWARE.
pub const SOFTWARE: u16 = 0x8022;
/// ALTERNATE-SERVER.
pub const ALTERNATE_SERVER: u16 = 0x8023;
/// THIRD-PARTY-AUTHORIZATION: the server's name for tokens (RFC 7635 §6.1).
pub const THIRD_PARTY_AUTHORIZATION: u16 = 0x802E;
/// FINGERPRINT.
pub const FINGERPRINT: u16 = 0x8028;

/// ICE-CONTROLLED: the tie-breaker of an agent in this role (RFC 8445 §16.1).
pub const ICE_CONTROLLED: u16 = 0x8029;
/// ICE-CONTROLLING: the tie-breaker of an agent in this role (RFC 8445 §16.1).
pub const ICE_CONTROLLING: u16 = 0x802A;
/// RESPONSE-ORIGIN: where the answer came from (RFC 5780 §7.3).
pub const RESPONSE_ORIGIN: u16 = 0x802B;
/// OTHER-ADDRESS: the server's other address and port (RFC 5780 §7.4).
pub const OTHER_ADDRESS: u16 = 0x802C;

/// Types below this must be understood by the receiver (RFC 8489 §14).
pub const FIRST_OPTIONAL: u16 = 0x8000;
