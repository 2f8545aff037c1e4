//! ChannelData (RFC 8656 §12.4) and the framing of both message kinds on a stream (§12.5).

use crate::stun::{HEADER_LEN, MAGIC_COOKIE};

/// Channel number and length.
pub const CHANNEL_HEADER_LEN: usize = 4;
/// The largest frame on a stream: a full ChannelData or STUN message, padded.
pub const MAX_FRAME: usize = 65_552;

/// A channel number.
///
/// RFC 8656 §12 ends the range at 0x4FFF, RFC 5766 §11 ended it at 0x7FFE. Clients of the older
/// one exist (coturn's until 4.16, pion), and on a TURN server's port nothing else begins with
/// such bytes: so a server may take both, and our client uses the newer range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelNumber(u16);

impl ChannelNumber {
    /// The first one.
    pub const MIN: Self = Self(0x4000);
    /// The last one.
    pub const MAX: Self = Self(0x4FFF);
    /// The last one of RFC 5766.
    pub const MAX_RFC_5766: Self = Self(0x7FFE);

    /// `None` outside the wider range.
    pub const fn new(number: u16) -> Option<Self> {
        if number >= Self::MIN.0 && number <= Self::MAX_RFC_5766.0 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number itself.
    pub const fn value(self) -> u16 {
        self.0
    }
}

/// What the first byte of a datagram or frame says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 0 to 3.
    Stun,
    /// 64 to 127.
    ChannelData,
    /// Not for this crate.
    Other,
}

/// Looks at the first byte only.
pub fn kind_of(bytes: &[u8]) -> Kind {
    match bytes.first() {
        Some(0..=3) => Kind::Stun,
        Some(0x40..=0x7F) => Kind::ChannelData,
        Some(_) | None => Kind::Other,
    }
}

/// The channel and the payload, which begins at [`CHANNEL_HEADER_LEN`]. Padding behind the
/// payload is ignored: UDP may carry it, too.
pub fn read_channel_data(bytes: &[u8]) -> Option<(ChannelNumber, &[u8])> {
    let (&[n0, n1, l0, l1], rest) = bytes.split_first_chunk::<CHANNEL_HEADER_LEN>()?;
    let channel = ChannelNumber::new(u16::from_be_bytes([n0, n1]))?;
    let payload = rest.get(..usize::from(u16::from_be_bytes([l0, l1])))?;
    Some((channel, payload))
}

/// The header of a payload of this length; `None` when it is too long for one.
pub fn channel_header(channel: ChannelNumber, len: usize) -> Option<[u8; CHANNEL_HEADER_LEN]> {
    let [l0, l1] = u16::try_from(len).ok()?.to_be_bytes();
    let [n0, n1] = channel.0.to_be_bytes();
    Some([n0, n1, l0, l1])
}

/// The stream carries something that is neither STUN nor ChannelData: it cannot be found again
/// where the next message begins, so the connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The bytes are no message of this protocol.
    #[error("the stream carries neither STUN nor ChannelData")]
    NotTurn,
    /// More was pushed than one frame and one read, without taking frames out.
    #[error("more was pushed than may be buffered")]
    Overflow,
}

/// Cuts a TCP or TLS stream into frames.
///
/// Push what was read, then take frames until there is none; holds at most [`Self::MAX_BUFFERED`].
#[derive(Debug, Default)]
pub struct StreamDecoder {
    buffer: Vec<u8>,
    /// Bytes at the front that were handed out already.
    taken: usize,
    /// Where the last frame begins.
    last: usize,
}

impl StreamDecoder {
    /// One unfinished frame and one generous read behind it.
    pub const MAX_BUFFERED: usize = 2 * MAX_FRAME;

    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        self.buffer.drain(..self.taken);
        (self.taken, self.last) = (0, 0);
        if self.buffer.len() + bytes.len() > Self::MAX_BUFFERED {
            return Err(StreamError::Overflow);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// The next whole frame without its padding, if it has arrived.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, StreamError> {
        let rest = self.buffer.get(self.taken..).unwrap_or_default();
        let Some((len, padded)) = frame_len(rest)? else { return Ok(None) };
        if rest.len() < padded {
            return Ok(None);
        }
        let start = self.taken;
        self.last = start;
        self.taken += padded;
        Ok(self.buffer.get(start..start + len))
    }

    /// The frame that was handed out last is the next one again, if nothing was pushed since.
    pub fn put_back(&mut self) {
        self.taken = self.last;
    }

    /// What came behind the last frame, when the stream is one of frames no longer
    /// (RFC 6062 §4.3).
    pub fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.buffer.split_off(self.taken);
        *self = Self::default();
        rest
    }

    /// Whether part of a frame waits for the rest.
    pub fn is_mid_frame(&self) -> bool {
        self.taken < self.buffer.len()
    }
}

/// Length without and with padding, once enough has arrived to tell.
fn frame_len(bytes: &[u8]) -> Result<Option<(usize, usize)>, StreamError> {
    let kind = kind_of(bytes);
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
