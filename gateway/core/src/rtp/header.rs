//! Writer for RTP packets: the fixed header and one-byte header extensions (RFC 8285 §4.2).

use crate::media::RtpHeader;

/// Maximum length of all header extensions in bytes, as [`crate::media::MAX_PAYLOAD`] assumes.
const MAX_EXTENSION_LEN: usize = 16;

/// The profile of one-byte header extensions (RFC 8285 §4.2).
const ONE_BYTE: [u8; 2] = [0xbe, 0xde];

/// The header extensions that a viewer understands, ready to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ExtensionBlock(Vec<u8>);

impl ExtensionBlock {
    /// Creates the block. `mid`: id and value of the extension; `playout_delay`: id of the
    /// extension, whose value is always "play at once".
    ///
    /// A mid that does not fit is omitted: the SSRC is announced in the SDP, so the mid is
    /// redundant.
    pub(super) fn new(mid: Option<(u8, &str)>, playout_delay: Option<u8>) -> Self {
        let mut elements = Vec::new();
        if let Some(id) = playout_delay {
            // Minimum and maximum delay in 12 bits each, both zero.
            elements.extend([element(id, 3), 0, 0, 0]);
        }
        if let Some((id, mid)) = mid.filter(|(_, mid)| !mid.is_empty())
            && ONE_BYTE.len() + 2 + elements.len() + 1 + mid.len() <= MAX_EXTENSION_LEN
        {
            elements.push(element(id, mid.len()));
            elements.extend_from_slice(mid.as_bytes());
        }
        if elements.is_empty() {
            return Self::default();
        }
        elements.resize(elements.len().next_multiple_of(4), 0);
        let words = u16::try_from(elements.len() / 4).expect("it has at most 16 bytes");
        let mut block = ONE_BYTE.to_vec();
        block.extend(words.to_be_bytes());
        block.append(&mut elements);
        Self(block)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Returns the header of an element of at most 16 bytes: its id and its length less one.
fn element(id: u8, len: usize) -> u8 {
    let len = u8::try_from(len.saturating_sub(1)).unwrap_or(0);
    id << 4 | len & 0x0f
}

/// Writes header and extensions; the payload follows.
pub(super) fn write(out: &mut Vec<u8>, header: &RtpHeader, extensions: Option<&ExtensionBlock>) {
    let extensions = extensions.filter(|block| !block.is_empty());
    out.push(0x80 | u8::from(extensions.is_some()) << 4);
    out.push(u8::from(header.marker) << 7 | header.payload_type & 0x7f);
    out.extend(header.sequence.to_be_bytes());
    out.extend(header.timestamp.to_be_bytes());
    out.extend(header.ssrc.to_be_bytes());
    if let Some(block) = extensions {
        out.extend_from_slice(&block.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_fit_into_their_space() {
        type Case<'a> = (&'a str, Option<(u8, &'a str)>, Option<u8>, &'a [u8]);
        let table: [Case<'_>; 6] = [
            ("none", None, None, b""),
            ("an empty mid", Some((1, "")), None, b""),
            ("mid", Some((1, "0")), None, b"\xbe\xde\0\x01\x100\0\0"),
            ("delay", None, Some(2), b"\xbe\xde\0\x01\x22\0\0\0"),
            ("both", Some((1, "v12")), Some(2), b"\xbe\xde\0\x02\x22\0\0\0\x12v12"),
            ("a mid too long", Some((1, "12345678")), Some(2), b"\xbe\xde\0\x01\x22\0\0\0"),
        ];
        for (case, mid, delay, expected) in table {
            let block = ExtensionBlock::new(mid, delay);
            assert_eq!(block.0, expected, "{case}");
            assert!(block.0.len() <= MAX_EXTENSION_LEN, "{case}");
        }
    }
}
