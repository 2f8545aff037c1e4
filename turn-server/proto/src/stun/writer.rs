//! Writing a message to the end of a buffer.

use std::net::SocketAddr;

use super::address::encode_address;
use super::{
    Class, ErrorCode, HEADER_LEN, Integrity, LongTermKey, MAGIC_COOKIE, Method, ShortTermKey,
    TransactionId, attribute, encode_xor_address, integrity, kind,
};

/// Bytes of the longest body: the largest multiple of four in a 16-bit length.
pub const MAX_BODY: usize = 65_532;

/// The error of a message whose attributes exceed [`MAX_BODY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message is longer than STUN allows")]
pub struct TooLong;

/// Appends one message to a buffer. Padding is zero. If [`Self::finish`] fails, the buffer is as
/// it was before.
#[derive(Debug)]
pub struct MessageWriter<'b> {
    out: &'b mut Vec<u8>,
    start: usize,
    too_long: bool,
}

impl<'b> MessageWriter<'b> {
    /// Appends the header of a message.
    pub fn new(out: &'b mut Vec<u8>, class: Class, method: Method, id: TransactionId) -> Self {
        let start = out.len();
        out.extend_from_slice(&kind::message_type(class, method).to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&MAGIC_COOKIE.to_be_bytes());
        out.extend_from_slice(&id.0);
        Self { out, start, too_long: false }
    }

    /// Appends an attribute and its padding.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let padded = value.len().next_multiple_of(4);
        let body = self.out.len() - self.start - HEADER_LEN;
        let (Ok(length), true) = (u16::try_from(value.len()), body + 4 + padded <= MAX_BODY) else {
            self.too_long = true;
            return self;
        };
        self.out.extend_from_slice(&kind.to_be_bytes());
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(value);
        self.out.resize(self.out.len() + padded - value.len(), 0);
        self
    }

    /// Appends a 32-bit attribute.
    pub fn u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Appends a 64-bit attribute.
    pub fn u64(&mut self, kind: u16, value: u64) -> &mut Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Appends an address attribute with XOR.
    pub fn xor_address(&mut self, kind: u16, addr: SocketAddr) -> &mut Self {
        let (value, len) = encode_xor_address(addr, self.id());
        self.attribute(kind, &value[..len])
    }

    /// Appends an address attribute without XOR.
    pub fn address(&mut self, kind: u16, addr: SocketAddr) -> &mut Self {
        let (value, len) = encode_address(addr);
        self.attribute(kind, &value[..len])
    }

    /// Appends ERROR-CODE without a reason phrase.
    pub fn error_code(&mut self, code: ErrorCode) -> &mut Self {
        self.attribute(attribute::ERROR_CODE, &code.encode())
    }

    /// Appends the key's integrity attribute, which covers everything before it.
    pub fn integrity(&mut self, key: &LongTermKey) -> &mut Self {
        self.integrity_with(key.as_bytes(), key.integrity())
    }

    /// Appends MESSAGE-INTEGRITY made with a short-term credential.
    pub fn short_term_integrity(&mut self, key: &ShortTermKey) -> &mut Self {
        self.integrity_with(key.as_bytes(), Integrity::Sha1)
    }

    pub(super) fn integrity_with(&mut self, key: &[u8], integrity: Integrity) -> &mut Self {
        let head = self.out.get(self.start..).unwrap_or_default();
        match integrity {
            Integrity::Sha1 => {
                let tag = integrity::sha1_tag(head, key);
                self.attribute(attribute::MESSAGE_INTEGRITY, &tag)
            }
            Integrity::Sha256 => {
                let tag = integrity::sha256_tag(head, key);
                self.attribute(attribute::MESSAGE_INTEGRITY_SHA256, &tag)
            }
        }
    }

    /// Appends FINGERPRINT, which must be the last attribute.
    pub fn fingerprint(&mut self) -> &mut Self {
        let crc = integrity::fingerprint(&self.out[self.start..]);
        self.u32(attribute::FINGERPRINT, crc)
    }

    /// Writes the length into the header.
    ///
    /// # Errors
    ///
    /// [`TooLong`] if the attributes did not fit; the message is removed from the buffer.
    pub fn finish(&mut self) -> Result<(), TooLong> {
        let body = self.out.len() - self.start - HEADER_LEN;
        let (Ok(length), false) = (u16::try_from(body), self.too_long) else {
            self.out.truncate(self.start);
            return Err(TooLong);
        };
        self.out[self.start + 2..self.start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    /// Finishes the message as [`Self::finish`] does, with the header of a DATA attribute of `len`
    /// bytes at its end. The caller sends the data and its padding behind it.
    pub(crate) fn finish_before_data(&mut self, len: usize) -> Result<(), TooLong> {
        let padded = len.next_multiple_of(4);
        let body = self.out.len() - self.start - HEADER_LEN + 4 + padded;
        let (Ok(length), Ok(body), true) =
            (u16::try_from(len), u16::try_from(body), body <= MAX_BODY && !self.too_long)
        else {
            self.out.truncate(self.start);
            return Err(TooLong);
        };
        self.out.extend_from_slice(&attribute::DATA.to_be_bytes());
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out[self.start + 2..self.start + 4].copy_from_slice(&body.to_be_bytes());
        Ok(())
    }

    fn id(&self) -> TransactionId {
        let mut id = [0; 12];
        id.copy_from_slice(&self.out[self.start + 8..self.start + HEADER_LEN]);
        TransactionId(id)
    }
}
