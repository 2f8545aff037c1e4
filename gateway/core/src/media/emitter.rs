//! The way out of a feed, the same for all codecs.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::access_unit::AccessUnit;
use super::codec::Format;
use super::gop::Gop;
use super::reference::Reference;
use super::stream::{FeedOutput, FeedStatistics, MediaPacket};

/// Numbers packets and puts them into the group of pictures and the output.
#[derive(Debug, Default)]
pub(super) struct Emitter {
    next_sequence: u64,
    pub(super) gop: Gop,
    pub(super) output: VecDeque<FeedOutput>,
    pub(super) statistics: FeedStatistics,
    /// The format that was last announced.
    pub(super) format: Option<Format>,
    /// A moment of the timestamps on our clock; without one, the arrival counts.
    pub(super) reference: Option<Reference>,
}

impl Emitter {
    /// Announces the format of the next packets, if it is known and has changed.
    pub(super) fn announce_format(&mut self, format: Option<Format>) {
        if format.is_some() && format != self.format {
            self.format.clone_from(&format);
            self.output.extend(format.map(FeedOutput::Format));
        }
    }

    /// Leaves a gap in the numbers for packets that never arrived.
    pub(super) fn skip(&mut self, lost: u64) {
        self.next_sequence += lost;
        self.statistics.lost += lost;
        self.gop.clear();
    }

    /// Puts out a packet of an access unit.
    pub(super) fn push(
        &mut self,
        unit: &AccessUnit,
        payload: Bytes,
        marker: bool,
        starts_key_frame: bool,
    ) {
        self.push_packet(unit.timestamp, unit.arrival, payload, marker, starts_key_frame);
    }

    /// Numbers a packet and puts it out.
    pub(super) fn push_packet(
        &mut self,
        timestamp: u32,
        arrival: Instant,
        payload: Bytes,
        marker: bool,
        starts_key_frame: bool,
    ) {
        let sequence = self.next_sequence;
        let captured = self.reference.map_or(arrival, |known| known.time_of(timestamp));
        let packet = MediaPacket {
            payload,
            timestamp,
            marker,
            sequence,
            starts_key_frame,
            arrival,
            captured,
        };
        self.next_sequence += 1;
        self.statistics.forwarded += 1;
        self.gop.push(&packet);
        self.output.push_back(FeedOutput::Packet(packet));
    }
}
