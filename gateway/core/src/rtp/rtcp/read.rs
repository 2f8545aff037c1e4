//! Reading: every length comes from the network and is checked before it is used.

use bytes::Buf;

use super::{
    APPLICATION, CNAME, DESCRIPTION, FIR, GOODBYE, MAX_ENTRIES, MAX_NACKED, MAX_PACKETS, NACK,
    PAYLOAD_FEEDBACK, PLI, Packet, RECEIVER_REPORT, ReportBlock, RtcpError, SENDER_REPORT,
    TRANSPORT_CC, TRANSPORT_FEEDBACK, VERSION,
};
use crate::rtp::NtpTime;

/// Reads a compound, or a lone packet (RFC 5506).
///
/// # Errors
/// When it is cut off or no RTCP. What stands before the damage is lost with it: an authenticated
/// sender does not damage its packets.
pub fn read(mut compound: &[u8]) -> Result<Vec<Packet>, RtcpError> {
    let mut packets = Vec::new();
    let mut nacked = MAX_NACKED;
    while !compound.is_empty() {
        if packets.len() == MAX_PACKETS {
            return Err(RtcpError::TooMany);
        }
        let (head, body, rest) = split(compound)?;
        packets.push(packet(head, body, &mut nacked)?);
        compound = rest;
    }
    Ok(packets)
}

#[derive(Clone, Copy)]
struct Head {
    /// Report count, source count or feedback format.
    count: u8,
    kind: u8,
}

/// Header and body of the first packet, and what follows it.
fn split(compound: &[u8]) -> Result<(Head, &[u8], &[u8]), RtcpError> {
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
    Ok((Head { count: first & 0x1f, kind }, body, rest))
}

fn packet(head: Head, body: &[u8], nacked: &mut usize) -> Result<Packet, RtcpError> {
    match head.kind {
        SENDER_REPORT => sender_report(head, body),
        RECEIVER_REPORT => receiver_report(head, body),
        DESCRIPTION => Ok(Packet::Description { cname: cname(head, body) }),
        GOODBYE => goodbye(head, body),
        TRANSPORT_FEEDBACK if head.count == NACK => nack(body, nacked),
        TRANSPORT_FEEDBACK if head.count == TRANSPORT_CC => Ok(Packet::TransportFeedback),
        PAYLOAD_FEEDBACK if head.count == PLI => picture_loss(body),
        PAYLOAD_FEEDBACK if head.count == FIR => full_intra(body),
        PAYLOAD_FEEDBACK if head.count == APPLICATION && body.get(8..12) == Some(b"REMB") => {
            Ok(Packet::BandwidthEstimate)
        }
        other => Ok(Packet::Other(other)),
    }
}

const CUT_OFF: RtcpError = RtcpError::Truncated;

fn u32_of(body: &mut &[u8]) -> Result<u32, RtcpError> {
    body.try_get_u32().map_err(|_| CUT_OFF)
}

fn sender_report(head: Head, mut body: &[u8]) -> Result<Packet, RtcpError> {
    Ok(Packet::SenderReport {
        ssrc: u32_of(&mut body)?,
        ntp: NtpTime(body.try_get_u64().map_err(|_| CUT_OFF)?),
        timestamp: u32_of(&mut body)?,
        packets: u32_of(&mut body)?,
        octets: u32_of(&mut body)?,
        blocks: blocks(head, body)?,
    })
}

fn receiver_report(head: Head, mut body: &[u8]) -> Result<Packet, RtcpError> {
    Ok(Packet::ReceiverReport { ssrc: u32_of(&mut body)?, blocks: blocks(head, body)? })
}

/// As many as the header says; at most 31. Extensions of a profile behind them are passed over.
fn blocks(head: Head, mut body: &[u8]) -> Result<Vec<ReportBlock>, RtcpError> {
    (0..head.count).map(|_| block(&mut body)).collect()
}

fn block(body: &mut &[u8]) -> Result<ReportBlock, RtcpError> {
    let ssrc = u32_of(body)?;
    let [fraction_lost, lost @ ..] = u32_of(body)?.to_be_bytes();
    let [l0, l1, l2] = lost;
    Ok(ReportBlock {
        ssrc,
        fraction_lost,
        // Shifted down with its sign.
        lost: i32::from_be_bytes([l0, l1, l2, 0]) >> 8,
        highest_sequence: u32_of(body)?,
        jitter: u32_of(body)?,
        last_report: u32_of(body)?,
        delay: u32_of(body)?,
    })
}

/// The items of the first source; a name that is no text counts as none.
fn cname(head: Head, body: &[u8]) -> Option<String> {
    if head.count == 0 {
        return None;
    }
    let mut items = body.get(4..)?;
    // Each turn takes two bytes at least.
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

fn goodbye(head: Head, mut body: &[u8]) -> Result<Packet, RtcpError> {
    let count = usize::from(head.count).min(MAX_ENTRIES);
    let ssrcs = (0..count).map(|_| u32_of(&mut body)).collect::<Result<_, _>>()?;
    Ok(Packet::Goodbye { ssrcs })
}

/// Pairs of a number and a map of the 16 after it (RFC 4585 §6.2.1).
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

/// RFC 5104 §4.3.1.1: the media source of the header is unused.
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
