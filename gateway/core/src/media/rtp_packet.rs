//! RTP packets (RFC 3550 §5.1).

use std::ops::RangeInclusive;

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

const HEADER_LEN: usize = 12;
const VERSION: u8 = 2;
/// The marker bit in the second byte.
const MARKER: u8 = 0x80;
/// The second bytes of RTCP packets (RFC 5761 §4).
const RTCP: RangeInclusive<u8> = 192..=223;

/// Reasons why a datagram is not an RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RtpError {
    /// The datagram has fewer bytes than the fixed header; its length.
    #[error("{0} bytes are too short for an RTP header")]
    Short(usize),
    /// The version field is not 2; its value.
    #[error("RTP version {0} instead of 2")]
    Version(u8),
    /// The packet ends within its header.
    #[error("the RTP header extension or CSRC list reaches beyond the packet")]
    Truncated,
    /// The datagram is RTCP; its packet type.
    #[error("payload type {0} is RTCP's (RFC 5761)")]
    Rtcp(u8),
}

/// The fields of the fixed RTP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpHeader {
    /// The marker bit: for video, the last packet of an access unit.
    pub marker: bool,
    /// The payload type, 0 to 127.
    pub payload_type: u8,
    /// The sequence number.
    pub sequence: u16,
    /// The timestamp, in ticks of the RTP clock.
    pub timestamp: u32,
    /// The synchronization source.
    pub ssrc: u32,
}

/// Header and payload of an RTP packet, without CSRC list, header extension and padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpPacket {
    /// The fixed header.
    pub header: RtpHeader,
    /// The payload, without padding.
    pub payload: Bytes,
}

impl RtpPacket {
    /// Parses a datagram. The payload shares its memory.
    ///
    /// # Errors
    /// If the datagram is not RTP, or is RTCP multiplexed on the same port (RFC 5761).
    pub fn parse(mut datagram: Bytes) -> Result<Self, RtpError> {
        let short = RtpError::Short(datagram.len());
        let fixed: &[u8; HEADER_LEN] = datagram.first_chunk().ok_or(short)?;
        let [first, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *fixed;
        if first >> 6 != VERSION {
            return Err(RtpError::Version(first >> 6));
        }
        // RTCP's 192..=223 shows as 64..=95 with the marker bit set (RFC 5761 §4).
        if RTCP.contains(&second) {
            return Err(RtpError::Rtcp(second));
        }
        let header = RtpHeader {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
        };
        let mut start = HEADER_LEN + 4 * usize::from(first & 0x0f);
        if first & 0x10 != 0 {
            let length = datagram.get(start + 2..start + 4).ok_or(RtpError::Truncated)?;
            let words = length.iter().fold(0, |words, &byte| words << 8 | usize::from(byte));
            start += 4 + 4 * words;
        }
        let mut end = datagram.len();
        if first & 0x20 != 0 {
            // Cameras set the bit without padding: a length that is impossible is none.
            let padding = usize::from(datagram.last().copied().unwrap_or(0));
            end = end.checked_sub(padding).filter(|end| *end >= start).unwrap_or(end);
        }
        if start > end {
            return Err(RtpError::Truncated);
        }
        Ok(Self { header, payload: datagram.split_to(end).split_off(start) })
    }

    /// Parses a datagram of a stream of this payload type. If that is one of 64 to 95, its packets
    /// with the marker look like RTCP, and are RTP all the same.
    ///
    /// # Errors
    /// As with [`Self::parse`].
    pub fn parse_as(payload_type: u8, datagram: Bytes) -> Result<Self, RtpError> {
        let second = datagram.get(1).copied().unwrap_or_default();
        if second != MARKER | payload_type || !RTCP.contains(&second) {
            return Self::parse(datagram);
        }
        let mut unmarked = BytesMut::from(&datagram[..]);
        if let Some(second) = unmarked.get_mut(1) {
            *second = payload_type;
        }
        let mut packet = Self::parse(unmarked.freeze())?;
        packet.header.marker = true;
        Ok(packet)
    }

    /// Returns the packet as a datagram.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut datagram = BytesMut::with_capacity(HEADER_LEN + self.payload.len());
        datagram.put_u8(VERSION << 6);
        datagram.put_u8(u8::from(self.header.marker) << 7 | self.header.payload_type & 0x7f);
        datagram.put_u16(self.header.sequence);
        datagram.put_u32(self.header.timestamp);
        datagram.put_u32(self.header.ssrc);
        datagram.put_slice(&self.payload);
        datagram.freeze()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(first: u8, second: u8, rest: &[u8]) -> Bytes {
        let mut bytes = vec![first, second, 0x12, 0x34, 0, 0, 0, 7, 0xde, 0xad, 0xbe, 0xef];
        bytes.extend_from_slice(rest);
        bytes.into()
    }

    #[test]
    fn what_a_packet_holds() {
        type Case = (&'static str, Bytes, Result<&'static [u8], RtpError>);
        let table: [Case; 13] = [
            ("plain", packet(0x80, 96, b"abc"), Ok(b"abc")),
            ("no payload", packet(0x80, 96, b""), Ok(b"")),
            ("one CSRC", packet(0x81, 96, b"\0\0\0\x01abc"), Ok(b"abc")),
            ("extension", packet(0x90, 96, b"\xbe\xde\0\x01....abc"), Ok(b"abc")),
            ("padding", packet(0xa0, 96, b"abc\0\0\x03"), Ok(b"abc")),
            ("too short", Bytes::from_static(b"\x80\x60"), Err(RtpError::Short(2))),
            ("version 0", packet(0x00, 96, b""), Err(RtpError::Version(0))),
            ("CSRC cut off", packet(0x8f, 96, b"abc"), Err(RtpError::Truncated)),
            ("extension cut off", packet(0x90, 96, b"\xbe\xde\0\xffabc"), Err(RtpError::Truncated)),
            ("padding of zero", packet(0xa0, 96, b"ab\0"), Ok(b"ab\0")),
            ("padding too long", packet(0xa0, 96, b"ab\xff"), Ok(b"ab\xff")),
            ("nothing but padding", packet(0xa0, 96, b"\0\0\x03"), Ok(b"")),
            ("a sender report", packet(0x80, 200, b""), Err(RtpError::Rtcp(200))),
        ];
        for (case, datagram, expected) in table {
            let payload = RtpPacket::parse(datagram).map(|p| p.payload);
            assert_eq!(payload.as_deref().map_err(|e| *e), expected, "{case}");
        }
    }

    #[test]
    fn packets_that_look_like_rtcp_are_those_of_a_stream_of_that_type() {
        for (described, second, expected) in [
            (72, 200, Ok((72, true))),
            (72, 72, Ok((72, false))),
            (73, 200, Err(RtpError::Rtcp(200))),
            (96, 224, Ok((96, true))),
            (96, 200, Err(RtpError::Rtcp(200))),
        ] {
            let parsed = RtpPacket::parse_as(described, packet(0x80, second, b"abc"));
            let parsed = parsed.map(|packet| (packet.header.payload_type, packet.header.marker));
            assert_eq!(parsed, expected, "{described}, {second}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(packet) = RtpPacket::parse(Bytes::from(bytes)) {
                prop_assert_eq!(RtpPacket::parse(packet.to_bytes()), Ok(packet));
            }
        }
    }
}
