//! The stream of an RTSP connection: messages and interleaved frames (RFC 2326 §10.12), with
//! whatever else a camera puts between them.

use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use thiserror::Error;

use super::message::{Message, Start};

/// Maximum length of the head of a message in bytes: twenty times what cameras send.
pub(super) const MAX_HEAD: usize = 16 * 1024;

/// Maximum length of the body of a message in bytes; a session description has 1 or 2 kB.
pub(super) const MAX_BODY: usize = 256 * 1024;

/// Maximum number of bytes that are skipped in a row to find a message or a frame: a few of the
/// largest frames.
pub(super) const MAX_JUNK: usize = 256 * 1024;

/// Time without data after which a body without a length is complete: cameras send a description in
/// one piece.
const OPEN_BODY_PATIENCE: Duration = Duration::from_millis(500);

/// Time without data after which a message is complete that should go on: longer than TCP needs to
/// send a lost segment again.
const MESSAGE_PATIENCE: Duration = Duration::from_secs(3);

/// Length of the header of an interleaved frame: `$`, channel, length.
const FRAME_HEADER: usize = 4;

/// Mark of an interleaved frame.
const DOLLAR: u8 = b'$';

/// A part of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A reply or a request.
    Message(Message),
    /// An interleaved frame.
    Frame {
        /// The channel, which SETUP assigned to a track.
        channel: u8,
        /// The packet in the frame.
        payload: Bytes,
    },
}

/// Reasons for giving a stream up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum FramingError {
    /// The head of a message exceeds [`MAX_HEAD`].
    #[error("it sends a message with a header of more than {MAX_HEAD} bytes")]
    Head,
    /// A body exceeds [`MAX_BODY`].
    #[error("its session description is longer than {MAX_BODY} bytes")]
    Body,
    /// More than [`MAX_JUNK`] bytes are neither a message nor a frame.
    #[error("it sends more than {MAX_JUNK} bytes that are neither RTSP nor RTP")]
    Junk,
}

/// A message whose body is still arriving.
#[derive(Debug)]
struct Incomplete {
    message: Message,
    /// Length of the body; `None`: it ends where something else begins.
    len: Option<usize>,
}

/// Outcome of looking at the front of the buffer.
enum Front {
    /// An item begins, and is complete.
    Item(Item),
    /// An item may begin; more bytes are needed.
    Partial,
    /// This many bytes are skipped.
    Skip(usize),
}

/// Splits the stream of a connection into its items.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    buffer: BytesMut,
    incomplete: Option<Incomplete>,
    /// Bytes of an incomplete head that are known to have no end.
    scanned: usize,
    /// Bytes skipped since the last item.
    junk: usize,
    /// The next reply should have a session description, even if its headers do not say so.
    expects_body: bool,
    /// Channels that SETUP assigned: their frames are not questioned.
    channels: Vec<u8>,
    /// The last byte that was skipped is in the middle of a line.
    is_in_noise: bool,
    /// True if no byte has arrived since [`Self::finish`] found no message to end.
    is_finished: bool,
}

impl Decoder {
    /// Sets the expectation that the next reply carries a session description.
    pub(super) fn set_expects_body(&mut self, expects_body: bool) {
        self.expects_body = expects_body;
    }

    /// Marks a channel as assigned to a track.
    pub(super) fn add_channel(&mut self, channel: u8) {
        if !self.channels.contains(&channel) {
            self.channels.push(channel);
        }
    }

    /// Appends bytes that arrived. Drain [`Self::next`] afterwards, so that the buffer stays small.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.is_finished = false;
    }

    /// Returns the time without data after which [`Self::finish`] should end an incomplete message;
    /// `None` if there is none.
    pub(super) fn patience(&self) -> Option<Duration> {
        match &self.incomplete {
            Some(Incomplete { len: None, .. }) => Some(OPEN_BODY_PATIENCE),
            Some(_) => Some(MESSAGE_PATIENCE),
            None if self.is_finished => None,
            None if self.buffer.first().is_some_and(u8::is_ascii_alphabetic) => {
                Some(MESSAGE_PATIENCE)
            }
            None => None,
        }
    }

    /// Returns the next item; `None` until more bytes arrive.
    pub(super) fn next(&mut self) -> Result<Option<Item>, FramingError> {
        loop {
            if self.incomplete.is_some() {
                let Some(message) = self.body(false)? else { return Ok(None) };
                return Ok(Some(self.found(Item::Message(message))));
            }
            match self.front(false)? {
                Front::Item(Item::Message(message)) => self.begin_body(message)?,
                Front::Item(frame) => return Ok(Some(self.found(frame))),
                Front::Partial => return Ok(None),
                Front::Skip(len) => self.skip(len)?,
            }
        }
    }

    /// Ends an incomplete message: the camera has been quiet since, so nothing more belongs to it.
    pub(super) fn finish(&mut self) -> Result<Option<Item>, FramingError> {
        self.is_finished = true;
        if self.incomplete.is_none() {
            match self.front(true)? {
                Front::Item(Item::Message(message)) => self.begin_body(message)?,
                Front::Item(_) | Front::Partial | Front::Skip(_) => return Ok(None),
            }
        }
        let message = self.body(true)?;
        Ok(message.map(|message| self.found(Item::Message(message))))
    }

    fn found(&mut self, item: Item) -> Item {
        self.junk = 0;
        self.is_in_noise = false;
        item
    }

    fn skip(&mut self, len: usize) -> Result<(), FramingError> {
        let skipped = self.buffer.split_to(len.min(self.buffer.len()));
        self.is_in_noise = skipped.last().is_some_and(|byte| *byte != b'\n');
        self.scanned = 0;
        self.junk += len;
        if self.junk > MAX_JUNK { Err(FramingError::Junk) } else { Ok(()) }
    }

    fn front(&mut self, ends: bool) -> Result<Front, FramingError> {
        match self.buffer.first() {
            None => Ok(Front::Partial),
            Some(&DOLLAR) => Ok(self.frame()),
            Some(byte) if byte.is_ascii_alphabetic() && !self.is_in_noise => self.head(ends),
            Some(_) if self.is_in_noise && begins_protocol(&self.buffer) => self.head(ends),
            Some(_) => Ok(Front::Skip(self.resync())),
        }
    }

    /// Reads an interleaved frame, unless the mark is part of something else.
    fn frame(&mut self) -> Front {
        let Some(&[_, channel, high, low]) = self.buffer.first_chunk::<FRAME_HEADER>() else {
            return Front::Partial;
        };
        let len = usize::from(u16::from_be_bytes([high, low]));
        if !self.channels.contains(&channel) {
            // RTP and RTCP both begin with version 2 (RFC 3550 §5.1, §6.4.1).
            match self.buffer.get(FRAME_HEADER) {
                None if len > 0 => return Front::Partial,
                Some(first) if len > 0 && first >> 6 == 2 => {}
                _ => return Front::Skip(self.resync()),
            }
        }
        if self.buffer.len() < FRAME_HEADER + len {
            return Front::Partial;
        }
        self.buffer.advance(FRAME_HEADER);
        Front::Item(Item::Frame { channel, payload: self.buffer.split_to(len).freeze() })
    }

    /// Reads the head of a message, up to and including the empty line.
    fn head(&mut self, ends: bool) -> Result<Front, FramingError> {
        let Some(first_end) = line_end(&self.buffer) else {
            let is_text = self.buffer.iter().all(|byte| is_text(*byte));
            return match (is_text, self.buffer.len() > MAX_HEAD) {
                (false, _) => Ok(Front::Skip(self.resync())),
                (true, true) => Err(FramingError::Head),
                (true, false) => Ok(Front::Partial),
            };
        };
        let first = self.buffer.get(..first_end).unwrap_or_default();
        let is_start = first.iter().all(|byte| is_text(*byte))
            && Start::read(&String::from_utf8_lossy(first)).is_some();
        if !is_start {
            return Ok(Front::Skip(self.resync()));
        }
        let Some((end, next)) = self.head_end(first_end + 1, ends) else {
            let too_long = self.buffer.len() > MAX_HEAD;
            return if too_long { Err(FramingError::Head) } else { Ok(Front::Partial) };
        };
        self.scanned = 0;
        let head = self.buffer.split_to(next.min(self.buffer.len()));
        let message = Message::read_head(head.get(..end).unwrap_or_default());
        Ok(message.map_or(Front::Skip(0), |message| Front::Item(Item::Message(message))))
    }

    /// Finds the empty line. Returns the end of the head, and where the rest begins.
    fn head_end(&mut self, after_first: usize, ends: bool) -> Option<(usize, usize)> {
        let mut start = self.scanned.max(after_first);
        loop {
            let rest = self.buffer.get(start..).unwrap_or_default();
            // A camera that forgets the empty line goes on with a frame.
            if matches!(rest, [DOLLAR, channel, ..] if *channel < 0x20) {
                return Some((start, start));
            }
            let Some(len) = line_end(rest) else {
                self.scanned = start;
                let len = self.buffer.len();
                return ends.then_some((len, len));
            };
            let line = rest.get(..len).unwrap_or_default();
            if line.iter().all(|byte| *byte == b'\r') {
                return Some((start, start + len + 1));
            }
            start += len + 1;
        }
    }

    fn begin_body(&mut self, message: Message) -> Result<(), FramingError> {
        let declared = message.content_length().filter(|len| *len > 0);
        if declared.is_some_and(|len| len > MAX_BODY) && !message.is_http {
            return Err(FramingError::Body);
        }
        let describes = self.expects_body && message.start == Start::Reply(200);
        // The reply to a tunnel's request announces a body that is the stream itself.
        let len = match declared {
            _ if message.is_http && !describes => Some(0),
            None if describes => None,
            declared => Some(declared.unwrap_or(0)),
        };
        self.incomplete = Some(Incomplete { message, len });
        Ok(())
    }

    /// Reads the body of the incomplete message; `None` until it is complete.
    fn body(&mut self, ends: bool) -> Result<Option<Message>, FramingError> {
        let Some(Incomplete { message, len }) = &mut self.incomplete else { return Ok(None) };
        if let Some(declared) = *len {
            let goes_on = self.expects_body && declared > 0 && {
                let (body, rest) = self.buffer.split_at(declared.min(self.buffer.len()));
                !body.ends_with(b"\n") && rest.first().is_some_and(|byte| !b"$R\r\n".contains(byte))
                    || matches!(rest, [key, b'=', ..] if key.is_ascii_lowercase())
            };
            if goes_on {
                *len = None;
            }
        }
        let end = match *len {
            Some(len) if self.buffer.len() >= len || ends => len.min(self.buffer.len()),
            Some(_) => return Ok(None),
            None => {
                let (end, is_complete) = description_end(&self.buffer);
                if end > MAX_BODY {
                    return Err(FramingError::Body);
                }
                if !is_complete && !ends {
                    return Ok(None);
                }
                end
            }
        };
        message.body = self.buffer.split_to(end).freeze();
        let complete = self.incomplete.take();
        Ok(complete.map(|incomplete| incomplete.message))
    }

    /// Returns how many bytes to skip to the next place where an item may begin.
    fn resync(&self) -> usize {
        let begins = |at: usize| {
            let rest = self.buffer.get(at..).unwrap_or_default();
            let name = rest.get(..rest.len().min(5)).unwrap_or_default();
            let after_line =
                at.checked_sub(1).is_some_and(|before| self.buffer.get(before) == Some(&b'\n'));
            match name.first() {
                Some(&DOLLAR) => true,
                // At the end of the buffer the rest of the name may follow.
                Some(b'R' | b'r') => {
                    b"RTSP/"
                        .get(..name.len())
                        .is_some_and(|expected| name.eq_ignore_ascii_case(expected))
                        || after_line
                }
                Some(byte) => after_line && byte.is_ascii_alphabetic(),
                None => true,
            }
        };
        (1..self.buffer.len()).find(|at| begins(*at)).unwrap_or(self.buffer.len())
    }
}

/// Returns true if bytes begin with the name of the protocol, or end before they differ from it.
fn begins_protocol(bytes: &[u8]) -> bool {
    const NAME: &[u8] = b"RTSP/";
    let len = bytes.len().min(NAME.len());
    let name = bytes.get(..len).unwrap_or_default();
    NAME.get(..len).is_some_and(|expected| name.eq_ignore_ascii_case(expected))
}

/// Returns the position of the next line feed.
fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

fn is_text(byte: u8) -> bool {
    byte >= 0x20 || matches!(byte, b'\t' | b'\r')
}

/// Returns the length of the lines of SDP at the beginning, and true if something else follows.
fn description_end(bytes: &[u8]) -> (usize, bool) {
    let mut end = 0;
    loop {
        let rest = bytes.get(end..).unwrap_or_default();
        let Some(len) = line_end(rest) else {
            let is_partial = matches!(rest, [] | [b'\r'] | [_]) || is_description_line(rest);
            // The last line may have no end.
            return if is_partial { (bytes.len(), false) } else { (end, true) };
        };
        if !is_description_line(rest.get(..len).unwrap_or_default()) {
            return (end, true);
        }
        end += len + 1;
    }
}

/// Returns true for an empty line, and for `x=…` with blanks anywhere before the sign.
fn is_description_line(line: &[u8]) -> bool {
    let mut bytes = line.iter().filter(|byte| !byte.is_ascii_whitespace());
    match bytes.next() {
        None => true,
        Some(key) => key.is_ascii_alphabetic() && bytes.next() == Some(&b'='),
    }
}

#[cfg(test)]
mod tests;
