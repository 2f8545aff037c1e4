//! Writer for RTCP: appends packets to one buffer, which becomes a compound.

use super::{
    CNAME, DESCRIPTION, GOODBYE, MAX_CNAME_LEN, MAX_WRITTEN, NACK, PAYLOAD_FEEDBACK, PLI,
    RECEIVER_REPORT, ReportBlock, SENDER_REPORT, TRANSPORT_CC, TRANSPORT_FEEDBACK, VERSION,
    congestion,
};
use crate::rtp::NtpTime;

/// Writes the packets of one sender into a compound. The methods append one packet each.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    ssrc: u32,
}

impl<'a> Writer<'a> {
    /// Creates a writer that appends to `out`; `ssrc` is that of the sender.
    pub fn new(out: &'a mut Vec<u8>, ssrc: u32) -> Self {
        Self { out, ssrc }
    }

    /// Writes a sender report without reception reports (RFC 3550 §6.4.1).
    pub fn sender_report(&mut self, ntp: NtpTime, timestamp: u32, packets: u32, octets: u32) {
        self.packet(SENDER_REPORT, 0, |out| {
            out.extend(ntp.0.to_be_bytes());
            out.extend(timestamp.to_be_bytes());
            out.extend(packets.to_be_bytes());
            out.extend(octets.to_be_bytes());
        });
    }

    /// Writes a receiver report with at most one block (RFC 3550 §6.4.2).
    pub fn receiver_report(&mut self, block: Option<&ReportBlock>) {
        self.packet(RECEIVER_REPORT, u8::from(block.is_some()), |out| {
            let Some(block) = block else { return };
            out.extend(block.ssrc.to_be_bytes());
            let [_, lost @ ..] = block.lost.clamp(-0x80_0000, 0x7f_ffff).to_be_bytes();
            out.push(block.fraction_lost);
            out.extend(lost);
            out.extend(block.highest_sequence.to_be_bytes());
            out.extend(block.jitter.to_be_bytes());
            out.extend(block.last_report.to_be_bytes());
            out.extend(block.delay.to_be_bytes());
        });
    }

    /// Writes a source description with the canonical name (RFC 3550 §6.5).
    pub fn description(&mut self, cname: &str) {
        let mut end = cname.len().min(MAX_CNAME_LEN);
        while !cname.is_char_boundary(end) {
            end -= 1;
        }
        let name = cname.as_bytes().get(..end).unwrap_or_default();
        self.packet(DESCRIPTION, 1, |out| {
            out.push(CNAME);
            out.push(u8::try_from(name.len()).unwrap_or(0));
            out.extend_from_slice(name);
            // At least one zero byte ends the list.
            out.push(0);
        });
    }

    /// Writes a BYE of the sender and of another of its sources, if it has one (RFC 3550 §6.6).
    pub fn goodbye(&mut self, other: Option<u32>) {
        self.packet(GOODBYE, 1 + u8::from(other.is_some()), |out| {
            out.extend(other.into_iter().flat_map(u32::to_be_bytes));
        });
    }

    /// Writes a picture loss indication for the stream `media` (RFC 4585 §6.3.1).
    pub fn picture_loss(&mut self, media: u32) {
        self.packet(PAYLOAD_FEEDBACK, PLI, |out| out.extend(media.to_be_bytes()));
    }

    /// Writes a NACK for at most [`MAX_WRITTEN`] sequence numbers, in order (RFC 4585 §6.2.1).
    pub fn nack(&mut self, media: u32, lost: &[u16]) {
        self.packet(TRANSPORT_FEEDBACK, NACK, |out| {
            out.extend(media.to_be_bytes());
            let mut lost = lost.iter().copied().take(MAX_WRITTEN).peekable();
            while let Some(first) = lost.next() {
                let mut map = 0_u16;
                while let Some(bit) = lost
                    .peek()
                    .map(|next| next.wrapping_sub(first).wrapping_sub(1))
                    .filter(|bit| *bit < 16)
                {
                    map |= 1 << bit;
                    lost.next();
                }
                out.extend(first.to_be_bytes());
                out.extend(map.to_be_bytes());
            }
        });
    }

    /// Writes the arrival times of the packets of a transport, from the number `first` on, at most
    /// [`MAX_WRITTEN`] of them. Each time is in [`TICK`](super::TICK)s, `None` for a packet that
    /// has not arrived. Times too far apart to be written are left out, with all that follow.
    pub fn transport_feedback(
        &mut self,
        media: u32,
        first: u16,
        count: u8,
        arrivals: &[Option<i64>],
    ) {
        self.packet(TRANSPORT_FEEDBACK, TRANSPORT_CC, |out| {
            out.extend(media.to_be_bytes());
            congestion::write_arrivals(out, first, count, arrivals);
        });
    }

    /// Writes header, our SSRC and the body, padded with zeros to whole words; then sets the
    /// length.
    fn packet(&mut self, kind: u8, count: u8, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.out.len();
        self.out.extend([VERSION << 6 | count & 0x1f, kind, 0, 0]);
        self.out.extend(self.ssrc.to_be_bytes());
        body(self.out);
        let len = (self.out.len() - start).next_multiple_of(4);
        self.out.resize(start + len, 0);
        let words = u16::try_from(len / 4 - 1).unwrap_or(u16::MAX);
        if let Some(field) = self.out.get_mut(start + 2..start + 4) {
            field.copy_from_slice(&words.to_be_bytes());
        }
    }
}
