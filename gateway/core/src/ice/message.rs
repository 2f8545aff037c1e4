//! Encoding and decoding of connectivity checks and their responses (RFC 8445 §7).

use std::net::SocketAddr;

use porthole_turn_proto::stun::{
    Class, ErrorCode, Message, MessageWriter, Method, ShortTermKey, TransactionId, attribute,
};

use super::config::Role;

/// Comprehension-required attributes that are understood in a check; any other is answered with 420
/// (RFC 8489 §6.3.1). MESSAGE-INTEGRITY and FINGERPRINT never appear among the covered attributes.
const KNOWN: [u16; 4] =
    [attribute::USERNAME, attribute::PRIORITY, attribute::USE_CANDIDATE, attribute::SOFTWARE];
/// Limit of attributes named in one 420: more is an attack, not a newer protocol.
const MAX_UNKNOWN: usize = 8;

/// A check to send.
#[derive(Debug)]
pub(super) struct Check<'a> {
    pub(super) id: TransactionId,
    pub(super) username: &'a str,
    pub(super) key: &'a ShortTermKey,
    pub(super) priority: u32,
    pub(super) role: Role,
    pub(super) tie_breaker: u64,
    pub(super) use_candidate: bool,
}

impl Check<'_> {
    /// Encodes the check; `None` if the user name does not fit into a message.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(128);
        let mut writer = MessageWriter::new(&mut bytes, Class::Request, Method::Binding, self.id);
        writer.attribute(attribute::USERNAME, self.username.as_bytes());
        writer.u32(attribute::PRIORITY, self.priority);
        writer.u64(role_attribute(self.role), self.tie_breaker);
        if self.use_candidate {
            writer.attribute(attribute::USE_CANDIDATE, &[]);
        }
        writer.short_term_integrity(self.key).fingerprint();
        writer.finish().ok()?;
        Some(bytes)
    }
}

const fn role_attribute(role: Role) -> u16 {
    match role {
        Role::Controlling => attribute::ICE_CONTROLLING,
        Role::Controlled => attribute::ICE_CONTROLLED,
    }
}

/// An incoming check whose integrity has been verified.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) priority: u32,
    /// The role that the peer claims, and its tie-breaker.
    pub(super) role: Option<(Role, u64)>,
    pub(super) use_candidate: bool,
}

/// Fault of an authenticated check, with the error response that it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// An attribute is missing or malformed: 400.
    Bad,
    /// Unknown comprehension-required attributes: 420, naming these.
    Unknown(Vec<u16>),
}

impl Request {
    pub(super) fn read(message: &Message<'_>) -> Result<Self, Fault> {
        let unknown: Vec<_> = message.unknown_required(&KNOWN).take(MAX_UNKNOWN).collect();
        if !unknown.is_empty() {
            return Err(Fault::Unknown(unknown));
        }
        let priority = message.u32(attribute::PRIORITY).ok().flatten().ok_or(Fault::Bad)?;
        let tie_breaker = |kind| message.u64(kind).map_err(|_| Fault::Bad);
        let controlling = tie_breaker(attribute::ICE_CONTROLLING)?;
        let controlled = tie_breaker(attribute::ICE_CONTROLLED)?;
        let role = match (controlling, controlled) {
            (Some(_), Some(_)) => return Err(Fault::Bad),
            (Some(value), None) => Some((Role::Controlling, value)),
            (None, Some(value)) => Some((Role::Controlled, value)),
            (None, None) => None,
        };
        let use_candidate = message.first(attribute::USE_CANDIDATE).is_some();
        Ok(Self { priority, role, use_candidate })
    }
}

/// Encodes the success response to a check.
pub(super) fn success(id: TransactionId, seen: SocketAddr, key: &ShortTermKey) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(96);
    let mut writer = MessageWriter::new(&mut bytes, Class::Success, Method::Binding, id);
    writer.xor_address(attribute::XOR_MAPPED_ADDRESS, seen);
    writer.short_term_integrity(key).fingerprint();
    writer.finish().ok()?;
    Some(bytes)
}

/// Encodes the error response to a check.
pub(super) fn error(
    id: TransactionId,
    code: ErrorCode,
    unknown: &[u16],
    key: &ShortTermKey,
) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(96);
    let mut writer = MessageWriter::new(&mut bytes, Class::Error, Method::Binding, id);
    writer.error_code(code);
    if !unknown.is_empty() {
        let value: Vec<u8> = unknown.iter().flat_map(|kind| kind.to_be_bytes()).collect();
        writer.attribute(attribute::UNKNOWN_ATTRIBUTES, &value);
    }
    writer.short_term_integrity(key).fingerprint();
    writer.finish().ok()?;
    Some(bytes)
}
