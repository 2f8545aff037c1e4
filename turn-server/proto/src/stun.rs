//! The STUN message format (RFC 8489): reading in place, bounded writing, integrity.
//!
//! Architecture invariant: only this crate knows STUN bytes, and a reader never returns an
//! attribute that the integrity of the message does not cover.

mod address;
pub mod attribute;
mod error_code;
mod integrity;
mod kind;
mod reader;
mod writer;

#[cfg(test)]
pub(crate) use address::decode_address;
pub use address::{BadAddress, decode_xor_address, encode_xor_address};
pub use error_code::ErrorCode;
pub use integrity::{
    INTEGRITY_LEN, INTEGRITY_SHA256_LEN, Integrity, LongTermKey, PasswordAlgorithm, ShortTermKey,
    long_term_key, userhash,
};
pub use kind::{Class, HEADER_LEN, MAGIC_COOKIE, Method, TransactionId};
pub use reader::{Attribute, Attributes, BadAttribute, Message, ParseError};
pub use writer::{MAX_BODY, MessageWriter, TooLong};

#[cfg(test)]
mod tests;
