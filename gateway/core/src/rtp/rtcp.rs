//! RTCP packets: a parser for a viewer's compounds and a writer for ours (RFC 3550 §6, 4585 §6,
//! 5104 §4.3).

mod congestion;
mod read;
mod write;

#[cfg(test)]
mod tests;

use super::NtpTime;

pub use congestion::{BandwidthEstimate, MAX_REPORTED, TICK, TransportFeedback};
pub use read::read;
pub use write::Writer;

/// Maximum number of packets read from one compound; browsers send a handful.
pub const MAX_PACKETS: usize = 32;

/// Maximum number of sequence numbers read from the NACKs of one compound: more than a second at
/// 8 Mbit/s.
pub const MAX_NACKED: usize = 1024;

/// Maximum number of FIR entries and BYE sources read from one packet; there is one stream.
pub const MAX_ENTRIES: usize = 16;

/// Maximum length of a canonical name in bytes (RFC 3550 §6.5.1); its length field is one byte.
pub const MAX_CNAME_LEN: usize = 255;

/// Maximum number of sequence numbers written into one NACK, which must fit a datagram.
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

/// Reasons why a datagram is not an RTCP compound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtcpError {
    /// A packet ends before its length says.
    #[error("an RTCP packet is cut off")]
    Truncated,
    /// The version field is not 2; its value.
    #[error("RTCP version {0} instead of 2")]
    Version(u8),
    /// The padding length is impossible.
    #[error("the padding of an RTCP packet is longer than the packet, or zero")]
    Padding,
    /// The compound has more than [`MAX_PACKETS`] packets.
    #[error("more than {MAX_PACKETS} RTCP packets in one compound")]
    TooMany,
}

/// One packet of a compound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// A sender report (RFC 3550 §6.4.1).
    SenderReport {
        /// SSRC of the sender.
        ssrc: u32,
        /// Wall-clock time of the report.
        ntp: NtpTime,
        /// RTP timestamp for the same time.
        timestamp: u32,
        /// Cumulative number of packets sent, modulo 2³².
        packets: u32,
        /// Cumulative number of payload bytes sent, modulo 2³².
        octets: u32,
        /// Reports on the streams that the sender receives.
        blocks: Vec<ReportBlock>,
    },
    /// A receiver report (RFC 3550 §6.4.2).
    ReceiverReport {
        /// SSRC of the receiver.
        ssrc: u32,
        /// Reports on the streams that it receives.
        blocks: Vec<ReportBlock>,
    },
    /// A source description (RFC 3550 §6.5).
    Description {
        /// The canonical name of the first source, if there is one.
        cname: Option<String>,
    },
    /// The end of one or several sources (RFC 3550 §6.6).
    Goodbye {
        /// The sources that end.
        ssrcs: Vec<u32>,
    },
    /// A negative acknowledgement (RFC 4585 §6.2.1).
    Nack {
        /// SSRC of the packet's sender.
        sender: u32,
        /// SSRC of the stream with the loss.
        media: u32,
        /// Sequence numbers of the lost packets, with the bit masks expanded.
        lost: Vec<u16>,
    },
    /// A picture loss indication, PLI (RFC 4585 §6.3.1).
    PictureLoss {
        /// SSRC of the packet's sender.
        sender: u32,
        /// SSRC of the stream that needs a key frame.
        media: u32,
    },
    /// A full intra request, FIR (RFC 5104 §4.3.1).
    FullIntra {
        /// SSRC of the packet's sender.
        sender: u32,
        /// SSRC of each stream that needs a key frame, with the number of the request.
        entries: Vec<(u32, u8)>,
    },
    /// The receiver's bandwidth estimate (REMB).
    BandwidthEstimate(BandwidthEstimate),
    /// The arrival times of the packets of a transport.
    TransportFeedback(TransportFeedback),
    /// A packet of another type; its packet type.
    Other(u8),
}

/// A reception report block: a receiver's statistics of one source (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// SSRC of the source.
    pub ssrc: u32,
    /// Fraction of packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Cumulative number of packets lost, in 24 signed bits.
    pub lost: i32,
    /// Extended highest sequence number received.
    pub highest_sequence: u32,
    /// Interarrival jitter in ticks of the RTP clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP timestamp in the last sender report; 0 before the first one.
    pub last_report: u32,
    /// Delay since that sender report, in 1/65536 s.
    pub delay: u32,
}
