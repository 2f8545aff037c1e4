//! Reading a message in place, for server and client.

use std::net::SocketAddr;

use super::{
    Class, ErrorCode, HEADER_LEN, Integrity, LongTermKey, MAGIC_COOKIE, Method, ShortTermKey,
    TransactionId, address, attribute, decode_xor_address, integrity, kind,
};

/// The reason why bytes are not a STUN message. Such bytes are not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The message is shorter or longer than its header says.
    #[error("the length in the header is not the length of the message")]
    Length,
    /// The first two bits or the cookie are not STUN's.
    #[error("not a STUN message")]
    NotStun,
    /// An attribute reaches past the end of the message.
    #[error("an attribute reaches past the end of the message")]
    Truncated,
    /// FINGERPRINT is wrong or not the last attribute.
    #[error("the fingerprint is wrong")]
    Fingerprint,
    /// The method, given by its number, is one that this crate does not know.
    #[error("unknown method {0:#05x}")]
    UnknownMethod(u16),
}

/// The type of an attribute that is malformed. A request is answered with 400, any other message
/// is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("attribute {0:#06x} is malformed")]
pub struct BadAttribute(pub u16);

/// One attribute, borrowed from its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The type, see [`attribute`].
    pub kind: u16,
    /// The value without padding.
    pub value: &'a [u8],
    /// The offset of the value in the message.
    pub offset: usize,
}

/// A well-formed message.
///
/// Attributes behind MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256 are not covered by it, so they
/// are never returned (RFC 8489 §14.5, §14.6).
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    class: Class,
    method: Method,
    id: TransactionId,
    covered_end: usize,
    sha1: Option<Tag<'a>>,
    sha256: Option<Tag<'a>>,
    fingerprint: bool,
}

/// An integrity attribute: its offset in the message and its value.
#[derive(Clone, Copy, Debug)]
struct Tag<'a> {
    offset: usize,
    value: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads a message; `bytes` must be all of it and nothing more. A FINGERPRINT is checked,
    /// the integrity is not: see [`Self::has_valid_integrity`].
    ///
    /// # Errors
    ///
    /// [`ParseError`] if the bytes are not a well-formed STUN message of a known method.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (header, _) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(ParseError::Length)?;
        let &[type_high, type_low, length_high, length_low, c0, c1, c2, c3, ref id @ ..] = header;
        if type_high >= 0x40 || u32::from_be_bytes([c0, c1, c2, c3]) != MAGIC_COOKIE {
            return Err(ParseError::NotStun);
        }
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        if length % 4 != 0 || HEADER_LEN + length != bytes.len() {
            return Err(ParseError::Length);
        }
        let (class, method) = kind::split_type(u16::from_be_bytes([type_high, type_low]))
            .map_err(ParseError::UnknownMethod)?;
        let mut message = Self {
            bytes,
            class,
            method,
            id: TransactionId(*id),
            covered_end: bytes.len(),
            sha1: None,
            sha256: None,
            fingerprint: false,
        };
        message.scan()?;
        Ok(message)
    }

    /// Checks the bounds of every attribute and finds the end of the covered ones.
    fn scan(&mut self) -> Result<(), ParseError> {
        let mut at = HEADER_LEN;
        while at < self.bytes.len() {
            let (found, next) = attribute_at(self.bytes, at).ok_or(ParseError::Truncated)?;
            match found.kind {
                // Behind one of the two only the other one is looked at, and only once.
                attribute::MESSAGE_INTEGRITY if self.sha1.is_none() && self.sha256.is_none() => {
                    self.covered_end = self.covered_end.min(at);
                    self.sha1 = Some(Tag { offset: at, value: found.value });
                }
                attribute::MESSAGE_INTEGRITY_SHA256 if self.sha256.is_none() => {
                    self.covered_end = self.covered_end.min(at);
                    self.sha256 = Some(Tag { offset: at, value: found.value });
                }
                attribute::FINGERPRINT => self.check_fingerprint(at, next, found.value)?,
                _ => {}
            }
            at = next;
        }
        Ok(())
    }

    fn check_fingerprint(
        &mut self,
        at: usize,
        next: usize,
        value: &[u8],
    ) -> Result<(), ParseError> {
        let head = self.bytes.get(..at).ok_or(ParseError::Truncated)?;
        if next != self.bytes.len() || value != integrity::fingerprint(head).to_be_bytes() {
            return Err(ParseError::Fingerprint);
        }
        self.fingerprint = true;
        self.covered_end = self.covered_end.min(at);
        Ok(())
    }

    /// Returns the length of the whole message in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a message has a header at least")]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the class: request, indication, success or error.
    pub const fn class(&self) -> Class {
        self.class
    }

    /// Returns the method of the message.
    pub const fn method(&self) -> Method {
        self.method
    }

    /// Returns the transaction id.
    pub const fn id(&self) -> TransactionId {
        self.id
    }

    /// Returns true if the message has a FINGERPRINT, which was found correct.
    pub const fn has_fingerprint(&self) -> bool {
        self.fingerprint
    }

    /// Returns true if the message has an integrity attribute, correct or not.
    pub const fn has_integrity(&self) -> bool {
        self.integrity().is_some()
    }

    /// Returns the kind of integrity attribute. If there are both, the stronger one is to be
    /// checked (RFC 8489 §9.2.4).
    pub const fn integrity(&self) -> Option<Integrity> {
        match (self.sha256, self.sha1) {
            (Some(_), _) => Some(Integrity::Sha256),
            (None, Some(_)) => Some(Integrity::Sha1),
            (None, None) => None,
        }
    }

    /// Returns true if the message has the key's kind of integrity attribute, made with this key.
    pub fn has_valid_integrity(&self, key: &LongTermKey) -> bool {
        self.integrity_matches(key.as_bytes(), key.integrity())
    }

    /// Returns true if the message has a MESSAGE-INTEGRITY made with this short-term credential.
    pub fn has_valid_short_term_integrity(&self, key: &ShortTermKey) -> bool {
        self.integrity_matches(key.as_bytes(), Integrity::Sha1)
    }

    pub(super) fn integrity_matches(&self, key: &[u8], integrity: Integrity) -> bool {
        let tag = match integrity {
            Integrity::Sha1 => self.sha1,
            Integrity::Sha256 => self.sha256,
        };
        tag.is_some_and(|tag| {
            let head = self.bytes.get(..tag.offset).unwrap_or_default();
            integrity::integrity_matches(head, key, integrity, tag.value)
        })
    }

    /// Returns the covered attributes, in order.
    pub fn attributes(&self) -> Attributes<'a> {
        let covered = self.bytes.get(..self.covered_end).unwrap_or_default();
        Attributes { bytes: covered, at: HEADER_LEN }
    }

    /// Returns the first covered attribute of this type; later ones are to be ignored
    /// (RFC 8489 §14).
    pub fn first(&self, kind: u16) -> Option<Attribute<'a>> {
        self.attributes().find(|a| a.kind == kind)
    }

    /// Returns the first attribute of this type as text.
    ///
    /// # Errors
    ///
    /// [`BadAttribute`] if it is not UTF-8.
    pub fn text(&self, kind: u16) -> Result<Option<&'a str>, BadAttribute> {
        let Some(found) = self.first(kind) else { return Ok(None) };
        std::str::from_utf8(found.value).map(Some).map_err(|_| BadAttribute(kind))
    }

    /// Returns the first attribute of this type as a 32-bit number.
    ///
    /// # Errors
    ///
    /// [`BadAttribute`] if it has another length.
    pub fn u32(&self, kind: u16) -> Result<Option<u32>, BadAttribute> {
        let Some(found) = self.first(kind) else { return Ok(None) };
        let value = <[u8; 4]>::try_from(found.value).map_err(|_| BadAttribute(kind))?;
        Ok(Some(u32::from_be_bytes(value)))
    }

    /// Returns the first attribute of this type as a 64-bit number.
    ///
    /// # Errors
    ///
    /// [`BadAttribute`] if it has another length.
    pub fn u64(&self, kind: u16) -> Result<Option<u64>, BadAttribute> {
        let Some(found) = self.first(kind) else { return Ok(None) };
        let value = <[u8; 8]>::try_from(found.value).map_err(|_| BadAttribute(kind))?;
        Ok(Some(u64::from_be_bytes(value)))
    }

    /// Returns the first attribute of this type as an address with XOR.
    ///
    /// # Errors
    ///
    /// [`BadAttribute`] if its length or family is wrong.
    pub fn xor_address(&self, kind: u16) -> Result<Option<SocketAddr>, BadAttribute> {
        let Some(found) = self.first(kind) else { return Ok(None) };
        decode_xor_address(found.value, self.id).map(Some).map_err(|_| BadAttribute(kind))
    }

    /// Returns the first attribute of this type as an address without XOR.
    ///
    /// # Errors
    ///
    /// [`BadAttribute`] if its length or family is wrong.
    pub fn address(&self, kind: u16) -> Result<Option<SocketAddr>, BadAttribute> {
        let Some(found) = self.first(kind) else { return Ok(None) };
        address::decode_address(found.value).map(Some).map_err(|_| BadAttribute(kind))
    }

    /// Returns the value of ERROR-CODE, or `None` if it is missing or malformed.
    pub fn error_code(&self) -> Option<ErrorCode> {
        self.first(attribute::ERROR_CODE).and_then(|a| ErrorCode::decode(a.value))
    }

    /// Returns the types of covered comprehension-required attributes that are not in `known`.
    pub fn unknown_required<'k>(
        &self,
        known: &'k [u16],
    ) -> impl Iterator<Item = u16> + use<'a, 'k> {
        self.attributes()
            .map(|a| a.kind)
            .filter(move |kind| *kind < attribute::FIRST_OPTIONAL && !known.contains(kind))
    }
}

/// Iterator over the covered attributes of a message.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let (found, next) = attribute_at(self.bytes, self.at)?;
        self.at = next;
        Some(found)
    }
}

/// Returns the attribute at offset `at` and the offset of the next one.
fn attribute_at(bytes: &[u8], at: usize) -> Option<(Attribute<'_>, usize)> {
    let (&[kind_high, kind_low, length_high, length_low], _) =
        bytes.get(at..)?.split_first_chunk::<4>()?;
    let length = usize::from(u16::from_be_bytes([length_high, length_low]));
    let offset = at + 4;
    let value = bytes.get(offset..offset + length)?;
    let next = offset + length.next_multiple_of(4);
    if next > bytes.len() {
        return None;
    }
    let kind = u16::from_be_bytes([kind_high, kind_low]);
    Some((Attribute { kind, value, offset }, next))
}
