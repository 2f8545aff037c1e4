//! RTCP packets: reading compounds from a viewer, writing ours (RFC 3550 §6, 4585 §6, 5104 §4.3).

mod read;
mod write;

#[cfg(test)]
mod tests;

pub use read::read;
pub(super) use write::Writer;

use super::NtpTime;

/// Packets read from one compound; browsers send at most a handful.
pub const MAX_PACKETS: usize = 32;

/// Sequence numbers read from the NACKs of one compound: more than a second of 8 Mbit/s.
pub const MAX_NACKED: usize = 1024;

/// FIR entries and BYE sources read from one packet; there is one stream.
pub const MAX_ENTRIES: usize = 16;

/// A canonical name that is read or written (RFC 3550 §6.5.1); its length is one byte.
pub const MAX_CNAME_LEN: usize = 255;

/// Sequence numbers written into one NACK; it must fit a datagram.
pub const MAX_WRITTEN: usize = 128;

const VERSION: u8 = 2;
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;
const CNAME: u8 = 1;
const NACK: u8 = 1;
const TRANSPORT_CC: u8 = 15;
const PLI: u8 = 1;
const FIR: u8 = 4;
const APPLICATION: u8 = 15;

/// Why bytes are no RTCP compound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtcpError {
    #[error("an RTCP packet is cut off")]
    Truncated,
    #[error("RTCP version {0} instead of 2")]
    Version(u8),
    #[error("the padding of an RTCP packet is longer than the packet, or zero")]
    Padding,
    #[error("more than {MAX_PACKETS} RTCP packets in one")]
    TooMany,
}

/// One packet of a compound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    SenderReport {
        ssrc: u32,
        ntp: NtpTime,
        timestamp: u32,
        packets: u32,
        octets: u32,
        blocks: Vec<ReportBlock>,
    },
    ReceiverReport {
        ssrc: u32,
        blocks: Vec<ReportBlock>,
    },
    /// The canonical name of the first source that has one.
    Description {
        cname: Option<String>,
    },
    Goodbye {
        ssrcs: Vec<u32>,
    },
    /// The numbers are expanded, and in order of loss.
    Nack {
        sender: u32,
        media: u32,
        lost: Vec<u16>,
    },
    PictureLoss {
        sender: u32,
        media: u32,
    },
    /// A source and the number of the request for each.
    FullIntra {
        sender: u32,
        entries: Vec<(u32, u8)>,
    },
    /// The receiver's estimate of the bandwidth (REMB); not acted on.
    BandwidthEstimate,
    /// Transport-wide congestion control; not negotiated, not acted on.
    TransportFeedback,
    /// Something else, by type.
    Other(u8),
}

/// What a receiver says about one source (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReportBlock {
    pub ssrc: u32,
    /// Of 256, since the last report.
    pub fraction_lost: u8,
    /// In all; 24 bits with sign.
    pub lost: i32,
    pub highest_sequence: u32,
    /// In ticks of the RTP clock.
    pub jitter: u32,
    /// The middle bits of the last sender report's time, 0 for none.
    pub last_report: u32,
    /// Since then, in 1/65536 s.
    pub delay: u32,
}
