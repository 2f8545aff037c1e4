//! Attribute types, under their IANA names. Those without a section are of RFC 8489 §14 or
//! RFC 8656 §18.

/// MAPPED-ADDRESS: the address without XOR. We read it but never write it.
pub const MAPPED_ADDRESS: u16 = 0x0001;
/// CHANGE-REQUEST: asks for the response from another address or port (RFC 5780 §7.2).
pub const CHANGE_REQUEST: u16 = 0x0003;
/// PADDING: makes a message large enough to be fragmented (RFC 5780 §7.6).
pub const PADDING: u16 = 0x0026;
/// RESPONSE-PORT: the port to send the response to (RFC 5780 §7.5).
pub const RESPONSE_PORT: u16 = 0x0027;
/// USERNAME of the credentials.
pub const USERNAME: u16 = 0x0006;
/// MESSAGE-INTEGRITY: an HMAC-SHA1. Attributes after it are not covered.
pub const MESSAGE_INTEGRITY: u16 = 0x0008;
/// ERROR-CODE of an error response.
pub const ERROR_CODE: u16 = 0x0009;
/// UNKNOWN-ATTRIBUTES: those that a 420 is about.
pub const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
/// CHANNEL-NUMBER, followed by 16 reserved bits.
pub const CHANNEL_NUMBER: u16 = 0x000C;
/// LIFETIME, in seconds.
pub const LIFETIME: u16 = 0x000D;
/// XOR-PEER-ADDRESS: the address of a peer.
pub const XOR_PEER_ADDRESS: u16 = 0x0012;
/// DATA: the payload to or from a peer.
pub const DATA: u16 = 0x0013;
/// REALM of the credentials.
pub const REALM: u16 = 0x0014;
/// NONCE of the server's challenge.
pub const NONCE: u16 = 0x0015;
/// XOR-RELAYED-ADDRESS: the relayed transport address of an allocation.
pub const XOR_RELAYED_ADDRESS: u16 = 0x0016;
/// REQUESTED-ADDRESS-FAMILY of the relayed address.
pub const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
/// EVEN-PORT: asks for an even port, and optionally the next one.
pub const EVEN_PORT: u16 = 0x0018;
/// REQUESTED-TRANSPORT between the server and peers.
pub const REQUESTED_TRANSPORT: u16 = 0x0019;
/// DONT-FRAGMENT, which has no value.
pub const DONT_FRAGMENT: u16 = 0x001A;
/// ACCESS-TOKEN: a third party's authorization of the client (RFC 7635 §6.2).
pub const ACCESS_TOKEN: u16 = 0x001B;
/// MESSAGE-INTEGRITY-SHA256: an HMAC-SHA256. Attributes after it are not covered.
pub const MESSAGE_INTEGRITY_SHA256: u16 = 0x001C;
/// PASSWORD-ALGORITHM: the one that a client chose (RFC 8489 §14.12).
pub const PASSWORD_ALGORITHM: u16 = 0x001D;
/// USERHASH, in place of USERNAME (RFC 8489 §14.4).
pub const USERHASH: u16 = 0x001E;
/// XOR-MAPPED-ADDRESS: the client's address as the server sees it.
pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
/// PRIORITY of a peer-reflexive candidate learned from this check (RFC 8445 §16.1).
pub const PRIORITY: u16 = 0x0024;
/// USE-CANDIDATE: nominates the pair; has no value (RFC 8445 §16.1).
pub const USE_CANDIDATE: u16 = 0x0025;
/// RESERVATION-TOKEN: names a reserved port.
pub const RESERVATION_TOKEN: u16 = 0x0022;
/// CONNECTION-ID of a connection to a peer (RFC 6062 §6.2.1).
pub const CONNECTION_ID: u16 = 0x002A;
/// MOBILITY-TICKET: empty in a request for one (RFC 8016 §4).
pub const MOBILITY_TICKET: u16 = 0x8030;
/// ADDITIONAL-ADDRESS-FAMILY: asks for a relayed address of a second family.
pub const ADDITIONAL_ADDRESS_FAMILY: u16 = 0x8000;
/// ADDITIONAL-ADDRESS-FAMILY before IANA gave it a number (draft-ietf-tram-turn-ssoda): coturn 4.6
/// and its clients know no other.
pub const DRAFT_ADDITIONAL_ADDRESS_FAMILY: u16 = 0x8032;
/// ADDRESS-ERROR-CODE: the reason why one of two families has no relayed address.
pub const ADDRESS_ERROR_CODE: u16 = 0x8001;
/// ICMP: an ICMP error about a packet to a peer.
pub const ICMP: u16 = 0x8004;
/// PASSWORD-ALGORITHMS: those that a server accepts, echoed by the client (RFC 8489 §14.11).
pub const PASSWORD_ALGORITHMS: u16 = 0x8002;
/// SOFTWARE: name and version of the sender's software.
pub const SOFTWARE: u16 = 0x8022;
/// ALTERNATE-SERVER: the address of a server to use instead.
pub const ALTERNATE_SERVER: u16 = 0x8023;
/// THIRD-PARTY-AUTHORIZATION: the server's name, which tokens are issued for (RFC 7635 §6.1).
pub const THIRD_PARTY_AUTHORIZATION: u16 = 0x802E;
/// FINGERPRINT: a CRC of the message, always the last attribute.
pub const FINGERPRINT: u16 = 0x8028;

/// ICE-CONTROLLED: the tie-breaker of an agent in this role (RFC 8445 §16.1).
pub const ICE_CONTROLLED: u16 = 0x8029;
/// ICE-CONTROLLING: the tie-breaker of an agent in this role (RFC 8445 §16.1).
pub const ICE_CONTROLLING: u16 = 0x802A;
/// RESPONSE-ORIGIN: the address that the response is sent from (RFC 5780 §7.3).
pub const RESPONSE_ORIGIN: u16 = 0x802B;
/// OTHER-ADDRESS: the server's other address and port (RFC 5780 §7.4).
pub const OTHER_ADDRESS: u16 = 0x802C;

/// The first comprehension-optional type; the receiver must understand all below (RFC 8489 §14).
pub const FIRST_OPTIONAL: u16 = 0x8000;
