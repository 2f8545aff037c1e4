//! ChannelData (RFC 8656 §12.4), and the framing of STUN and ChannelData on a stream (§12.5).

use crate::stun::{HEADER_LEN, MAGIC_COOKIE};

/// Bytes before the payload: channel number and length.
pub const CHANNEL_HEADER_LEN: usize = 4;
/// Bytes of the largest frame on a stream: a full ChannelData or STUN message, padded.
pub const MAX_FRAME: usize = 65_552;

/// A channel number, from 0x4000 to 0x7FFE.
///
/// RFC 8656 §12 ends the range at 0x4FFF, RFC 5766 §11 ended it at 0x7FFE. Clients that use the
/// older range exist (coturn's until 4.16, pion), and on a TURN server's port nothing else begins
/// with such bytes. So a server may accept both, and our client uses the newer range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelNumber(u16);

impl ChannelNumber {
    /// The first channel number.
    pub const MIN: Self = Self(0x4000);
    /// The last channel number of RFC 8656.
    pub const MAX: Self = Self(0x4FFF);
    /// The last channel number of RFC 5766.
    pub const MAX_RFC_5766: Self = Self(0x7FFE);

    /// Returns `None` unless `number` is from [`Self::MIN`] to [`Self::MAX_RFC_5766`].
    pub const fn new(number: u16) -> Option<Self> {
        if number >= Self::MIN.0 && number <= Self::MAX_RFC_5766.0 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Returns the number as it is on the wire.
    pub const fn value(self) -> u16 {
        self.0
    }
}

/// The kind of a datagram or frame, as its first byte tells it (RFC 8656 §12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A STUN message: 0 to 3.
    Stun,
    /// ChannelData: 64 to 127.
    ChannelData,
    /// Neither, or no byte at all.
    Other,
}

impl Kind {
    /// Returns the kind of a datagram or frame. Looks at the first byte only.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes.first() {
            Some(0..=3) => Self::Stun,
            Some(0x40..=0x7F) => Self::ChannelData,
            Some(_) | None => Self::Other,
        }
    }
}

/// Returns the channel and the payload, which begins at [`CHANNEL_HEADER_LEN`]. Ignores padding
/// behind the payload, which is allowed over UDP too.
pub fn read_channel_data(bytes: &[u8]) -> Option<(ChannelNumber, &[u8])> {
    let (&[n0, n1, l0, l1], rest) = bytes.split_first_chunk::<CHANNEL_HEADER_LEN>()?;
    let channel = ChannelNumber::new(u16::from_be_bytes([n0, n1]))?;
    let payload = rest.get(..usize::from(u16::from_be_bytes([l0, l1])))?;
    Some((channel, payload))
}

/// Returns the header of a payload of `len` bytes, or `None` if it is longer than 65535.
pub fn channel_header(channel: ChannelNumber, len: usize) -> Option<[u8; CHANNEL_HEADER_LEN]> {
    let [l0, l1] = u16::try_from(len).ok()?.to_be_bytes();
    let [n0, n1] = channel.0.to_be_bytes();
    Some([n0, n1, l0, l1])
}

/// The reason why a stream cannot be read any further. The start of the next message cannot be
/// found again, so the connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The bytes are not a message of this protocol.
    #[error("the stream carries neither STUN nor ChannelData")]
    NotTurn,
    /// The caller pushed more than [`StreamDecoder::MAX_BUFFERED`] without taking frames out.
    #[error("more bytes were pushed than may be buffered")]
    Overflow,
}

/// Cuts a TCP or TLS stream into frames.
///
/// Push what was read, then call [`Self::next_frame`] until it returns `None`. The decoder holds
/// at most [`Self::MAX_BUFFERED`] bytes.
#[derive(Debug, Default)]
pub struct StreamDecoder {
    buffer: Vec<u8>,
    /// Bytes at the front that were returned as frames already.
    consumed: usize,
    /// Offset of the frame returned last.
    last_frame: usize,
}

impl StreamDecoder {
    /// Bytes that may be buffered: one unfinished frame and one generous read behind it.
    pub const MAX_BUFFERED: usize = 2 * MAX_FRAME;

    /// Creates an empty decoder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends bytes read from the stream.
    ///
    /// # Errors
    ///
    /// [`StreamError::Overflow`] if more than [`Self::MAX_BUFFERED`] bytes would be buffered.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        self.buffer.drain(..self.consumed);
        (self.consumed, self.last_frame) = (0, 0);
        if self.buffer.len() + bytes.len() > Self::MAX_BUFFERED {
            return Err(StreamError::Overflow);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Returns the next frame without its padding, or `None` if it has not arrived completely.
    ///
    /// # Errors
    ///
    /// [`StreamError::NotTurn`] if neither STUN nor ChannelData comes next.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, StreamError> {
        let rest = self.buffer.get(self.consumed..).unwrap_or_default();
        let Some((len, padded)) = frame_len(rest)? else { return Ok(None) };
        if rest.len() < padded {
            return Ok(None);
        }
        let start = self.consumed;
        self.last_frame = start;
        self.consumed += padded;
        Ok(self.buffer.get(start..start + len))
    }

    /// Makes the frame returned last the next one again. Does nothing if bytes were pushed since.
    pub fn put_back(&mut self) {
        self.consumed = self.last_frame;
    }

    /// Takes the bytes behind the last frame out of the decoder, when the stream stops carrying
    /// frames because it was bound to a peer (RFC 6062 §4.3).
    pub fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.buffer.split_off(self.consumed);
        *self = Self::default();
        rest
    }

    /// Returns true if bytes are buffered that were not returned as a frame.
    pub fn is_mid_frame(&self) -> bool {
        self.consumed < self.buffer.len()
    }
}

/// Returns the length of the first frame without and with its padding, once enough has arrived.
fn frame_len(bytes: &[u8]) -> Result<Option<(usize, usize)>, StreamError> {
    let kind = Kind::of(bytes);
    if kind == Kind::Other && !bytes.is_empty() {
        return Err(StreamError::NotTurn);
    }
    let Some(&[_, _, l0, l1]) = bytes.first_chunk::<4>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    if kind == Kind::ChannelData {
        let len = CHANNEL_HEADER_LEN + length;
        return Ok(Some((len, len.next_multiple_of(4))));
    }
    let Some(cookie) = bytes.get(4..8) else { return Ok(None) };
    if cookie != MAGIC_COOKIE.to_be_bytes() || length % 4 != 0 {
        return Err(StreamError::NotTurn);
    }
    Ok(Some((HEADER_LEN + length, HEADER_LEN + length)))
}

#[cfg(test)]
mod tests;
