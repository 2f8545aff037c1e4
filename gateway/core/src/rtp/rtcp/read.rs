//! Parser for RTCP: every length comes from the network and is checked before it is used.

use bytes::Buf;

use super::congestion::{bandwidth_estimate, transport_feedback};
use super::{
    APPLICATION, CNAME, DESCRIPTION, FIR, GOODBYE, MAX_ENTRIES, MAX_NACKED, MAX_PACKETS,
    MAX_REPORTED, NACK, PAYLOAD_FEEDBACK, PLI, Packet, RECEIVER_REPORT, ReportBlock, RtcpError,
    SENDER_REPORT, TRANSPORT_CC, TRANSPORT_FEEDBACK, VERSION,
};
use crate::rtp::NtpTime;

/// Parses a compound, or a single packet (RFC 5506).
///
/// # Errors
/// If any packet is malformed. The packets before it are then lost, too: the sender is
/// authenticated and does not damage its packets.
pub fn read(mut compound: &[u8]) -> Result<Vec<Packet>, RtcpError> {
    let mut packets = Vec::new();
    let mut left = Left { nacked: MAX_NACKED, reported: MAX_REPORTED };
    while !compound.is_empty() {
        if packets.len() == MAX_PACKETS {
            return Err(RtcpError::TooMany);
        }
        let (header, body, rest) = split(compound)?;
        packets.push(packet(header, body, &mut left)?);
        compound = rest;
    }
    Ok(packets)
}

/// The entries of lists that may still be read from a compound, in which few bytes can stand for
/// many of them.
struct Left {
    nacked: usize,
    reported: usize,
}

#[derive(Clone, Copy)]
struct Header {
    /// The report count, source count or feedback format.
    count: u8,
    kind: u8,
}

/// Splits off the first packet: returns its header, its body and the rest.
fn split(compound: &[u8]) -> Result<(Header, &[u8], &[u8]), RtcpError> {
    let &[first, kind, l0, l1, ref rest @ ..] = compound else {
        return Err(RtcpError::Truncated);
    };
    if first >> 6 != VERSION {
        return Err(RtcpError::Version(first >> 6));
    }
    let len = 4 * usize::from(u16::from_be_bytes([l0, l1]));
    let (mut body, rest) = rest.split_at_checked(len).ok_or(RtcpError::Truncated)?;
    if first & 0x20 != 0 {
        let padding = usize::from(*body.last().ok_or(RtcpError::Padding)?);
        let end = body.len().checked_sub(padding).filter(|_| padding > 0);
        body = end.and_then(|end| body.get(..end)).ok_or(RtcpError::Padding)?;
    }
    Ok((Header { count: first & 0x1f, kind }, body, rest))
}

fn packet(header: Header, body: &[u8], left: &mut Left) -> Result<Packet, RtcpError> {
    match header.kind {
        SENDER_REPORT => sender_report(header, body),
        RECEIVER_REPORT => receiver_report(header, body),
        DESCRIPTION => Ok(Packet::Description { cname: cname(header, body) }),
        GOODBYE => goodbye(header, body),
        TRANSPORT_FEEDBACK if header.count == NACK => nack(body, &mut left.nacked),
        TRANSPORT_FEEDBACK if header.count == TRANSPORT_CC => {
            // What is around it counts, even if a player writes this in a way of its own.
            let feedback = transport_feedback(body, &mut left.reported);
            Ok(feedback.map_or(Packet::Other(header.kind), Packet::TransportFeedback))
        }
        PAYLOAD_FEEDBACK if header.count == PLI => picture_loss(body),
        PAYLOAD_FEEDBACK if header.count == FIR => full_intra(body),
        PAYLOAD_FEEDBACK if header.count == APPLICATION && body.get(8..12) == Some(b"REMB") => {
            let estimate = bandwidth_estimate(body);
            Ok(estimate.map_or(Packet::Other(header.kind), Packet::BandwidthEstimate))
        }
        other => Ok(Packet::Other(other)),
    }
}

const CUT_OFF: RtcpError = RtcpError::Truncated;

fn u32_of(body: &mut &[u8]) -> Result<u32, RtcpError> {
    body.try_get_u32().map_err(|_| CUT_OFF)
}

fn sender_report(header: Header, mut body: &[u8]) -> Result<Packet, RtcpError> {
    Ok(Packet::SenderReport {
        ssrc: u32_of(&mut body)?,
        ntp: NtpTime(body.try_get_u64().map_err(|_| CUT_OFF)?),
        timestamp: u32_of(&mut body)?,
        packets: u32_of(&mut body)?,
        octets: u32_of(&mut body)?,
        blocks: blocks(header, body)?,
    })
}

fn receiver_report(header: Header, mut body: &[u8]) -> Result<Packet, RtcpError> {
    Ok(Packet::ReceiverReport { ssrc: u32_of(&mut body)?, blocks: blocks(header, body)? })
}

/// Reads the number of blocks that the header says, at most 31. Ignores profile-specific extensions
/// after them.
fn blocks(header: Header, mut body: &[u8]) -> Result<Vec<ReportBlock>, RtcpError> {
    (0..header.count).map(|_| block(&mut body)).collect()
}

fn block(body: &mut &[u8]) -> Result<ReportBlock, RtcpError> {
    let ssrc = u32_of(body)?;
    let [fraction_lost, lost @ ..] = u32_of(body)?.to_be_bytes();
    let [l0, l1, l2] = lost;
    Ok(ReportBlock {
        ssrc,
        fraction_lost,
        // An arithmetic shift keeps the sign.
        lost: i32::from_be_bytes([l0, l1, l2, 0]) >> 8,
        highest_sequence: u32_of(body)?,
        jitter: u32_of(body)?,
        last_report: u32_of(body)?,
        delay: u32_of(body)?,
    })
}

/// Reads the canonical name from the items of the first source; `None` if it is not UTF-8.
fn cname(header: Header, body: &[u8]) -> Option<String> {
    if header.count == 0 {
        return None;
    }
    let mut items = body.get(4..)?;
    // Each iteration consumes at least two bytes.
    while let &[kind, len, ref rest @ ..] = items {
        if kind == 0 {
            break;
        }
        let (value, rest) = rest.split_at_checked(usize::from(len))?;
        if kind == CNAME {
            return std::str::from_utf8(value).ok().map(str::to_owned);
        }
        items = rest;
    }
    None
}

fn goodbye(header: Header, mut body: &[u8]) -> Result<Packet, RtcpError> {
    let count = usize::from(header.count).min(MAX_ENTRIES);
    let ssrcs = (0..count).map(|_| u32_of(&mut body)).collect::<Result<_, _>>()?;
    Ok(Packet::Goodbye { ssrcs })
}

/// Reads pairs of a sequence number and a bit mask of the 16 following it (RFC 4585 §6.2.1).
fn nack(mut body: &[u8], left: &mut usize) -> Result<Packet, RtcpError> {
    let (sender, media) = (u32_of(&mut body)?, u32_of(&mut body)?);
    let mut lost = Vec::new();
    while body.has_remaining() && *left > 0 {
        let [p0, p1, m0, m1] = u32_of(&mut body)?.to_be_bytes();
        let (first, map) = (u16::from_be_bytes([p0, p1]), u16::from_be_bytes([m0, m1]));
        let before = lost.len();
        lost.push(first);
        let set = (1..=16).filter(|bit| map & (1 << (bit - 1)) != 0);
        lost.extend(set.map(|bit: u16| first.wrapping_add(bit)).take(left.saturating_sub(1)));
        *left = left.saturating_sub(lost.len() - before);
    }
    Ok(Packet::Nack { sender, media, lost })
}

fn picture_loss(mut body: &[u8]) -> Result<Packet, RtcpError> {
    Ok(Packet::PictureLoss { sender: u32_of(&mut body)?, media: u32_of(&mut body)? })
}

/// Reads a full intra request; the media source in its header is unused (RFC 5104 §4.3.1.1).
fn full_intra(mut body: &[u8]) -> Result<Packet, RtcpError> {
    let (sender, _) = (u32_of(&mut body)?, u32_of(&mut body)?);
    let mut entries = Vec::new();
    while body.has_remaining() && entries.len() < MAX_ENTRIES {
        let ssrc = u32_of(&mut body)?;
        let [sequence, ..] = u32_of(&mut body)?.to_be_bytes();
        entries.push((ssrc, sequence));
    }
    Ok(Packet::FullIntra { sender, entries })
}
