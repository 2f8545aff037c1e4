//! Writer for RTP packets: the fixed header and one-byte header extensions (RFC 8285 §4.2).

use crate::media::RtpHeader;

/// Maximum length of all header extensions in bytes, as [`crate::media::MAX_PAYLOAD`] assumes.
const MAX_EXTENSION_LEN: usize = 16;

/// The profile of one-byte header extensions (RFC 8285 §4.2).
const ONE_BYTE: [u8; 2] = [0xbe, 0xde];

/// Place of the transport-wide number in a packet: after the fixed header, that of the extensions
/// and that of the element, which is the first one.
const TRANSPORT_NUMBER: std::ops::Range<usize> = 17..19;

/// The header extensions that a viewer understands, ready to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ExtensionBlock(Vec<u8>);

impl ExtensionBlock {
    /// Creates the block. `transport_cc`: id of the transport-wide number, which is zero until
    /// [`stamp`] writes it; `mid`: id and value of the extension; `playout_delay`: id of the
    /// extension, whose value is always "play at once".
    ///
    /// A mid that does not fit is omitted: the SSRC is announced in the SDP, so the mid is
    /// redundant.
    pub(super) fn new(
        transport_cc: Option<u8>,
        mid: Option<(u8, &str)>,
        playout_delay: Option<u8>,
    ) -> Self {
        let mut elements = Vec::new();
        if let Some(id) = transport_cc {
            elements.extend([element(id, 2), 0, 0]);
        }
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

/// Writes the transport-wide number of a packet whose extensions begin with it. Returns false if
/// they do not.
pub(crate) fn stamp(packet: &mut [u8], id: u8, number: u16) -> bool {
    let has_element = packet.first().is_some_and(|first| first & 0x1f == 0x10)
        && packet.get(12..14) == Some(&ONE_BYTE)
        && packet.get(16) == Some(&element(id, 2));
    let place = packet.get_mut(TRANSPORT_NUMBER).filter(|_| has_element);
    place.map(|place| place.copy_from_slice(&number.to_be_bytes())).is_some()
}

/// Returns the transport-wide number of a packet, wherever it stands among the extensions.
#[must_use]
pub fn transport_number(packet: &[u8], id: u8) -> Option<u16> {
    let start = 12 + 4 * usize::from(packet.first()? & 0x0f);
    let (profile, rest) = packet.get(start..)?.split_first_chunk::<2>()?;
    let (words, rest) = rest.split_first_chunk::<2>()?;
    let mut elements = rest.get(..4 * usize::from(u16::from_be_bytes(*words)))?;
    if packet.first()? & 0x10 == 0 || *profile != ONE_BYTE {
        return None;
    }
    while let Some((head, rest)) = elements.split_first() {
        // Zeros between elements have no length.
        let len = if *head == 0 { 0 } else { usize::from(head & 0x0f) + 1 };
        let (value, rest) = rest.split_at_checked(len)?;
        if head >> 4 == id {
            return value.first_chunk().map(|number| u16::from_be_bytes(*number));
        }
        elements = rest;
    }
    None
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
        type Case<'a> = (&'a str, Option<u8>, Option<(u8, &'a str)>, Option<u8>, &'a [u8]);
        let table: [Case<'_>; 9] = [
            ("none", None, None, None, b""),
            ("an empty mid", None, Some((1, "")), None, b""),
            ("mid", None, Some((1, "0")), None, b"\xbe\xde\0\x01\x100\0\0"),
            ("delay", None, None, Some(2), b"\xbe\xde\0\x01\x22\0\0\0"),
            ("both", None, Some((1, "v12")), Some(2), b"\xbe\xde\0\x02\x22\0\0\0\x12v12"),
            ("a mid too long", None, Some((1, "12345678")), Some(2), b"\xbe\xde\0\x01\x22\0\0\0"),
            ("number", Some(3), None, None, b"\xbe\xde\0\x01\x31\0\0\0"),
            (
                "all",
                Some(3),
                Some((1, "v123")),
                Some(2),
                b"\xbe\xde\0\x03\x31\0\0\x22\0\0\0\x13v123",
            ),
            (
                "all, a mid too long",
                Some(3),
                Some((1, "v1234")),
                Some(2),
                b"\xbe\xde\0\x02\x31\0\0\x22\0\0\0\0",
            ),
        ];
        for (case, number, mid, delay, expected) in table {
            let block = ExtensionBlock::new(number, mid, delay);
            assert_eq!(block.0, expected, "{case}");
            assert!(block.0.len() <= MAX_EXTENSION_LEN, "{case}");
        }
    }

    #[test]
    fn a_transport_wide_number_is_written_in_its_place_only() {
        let header =
            RtpHeader { marker: true, payload_type: 96, sequence: 7, timestamp: 8, ssrc: 9 };
        let table = [
            ("with it", Some(3), Some((1, "0")), Some(0xabcd)),
            ("another id", Some(4), None, None),
            ("without it", None, Some((3, "0")), None),
            ("no extension", None, None, None),
        ];
        for (case, id, mid, expected) in table {
            let mut packet = Vec::new();
            write(&mut packet, &header, Some(&ExtensionBlock::new(id, mid, None)));
            packet.extend_from_slice(b"payload");
            let before = packet.clone();
            assert_eq!(stamp(&mut packet, 3, 0xabcd), expected.is_some(), "{case}");
            if expected.is_some() {
                assert_eq!(transport_number(&packet, 3), expected, "{case}");
                assert_eq!((&packet[..17], &packet[19..]), (&before[..17], &before[19..]));
            } else {
                assert_eq!(packet, before, "{case}");
            }
        }
        assert!(!stamp(&mut [0x90; 18], 3, 1), "a packet that is cut off");
        for packet in [&b""[..], b"\x90", b"\x90\0\0\0\0\0\0\0\0\0\0\0\xbe\xde\0\x01\x3f"] {
            assert_eq!(transport_number(packet, 3), None, "{packet:?}");
        }
    }
}
