//! Media of a session: packets to the viewer, and its feedback.

use std::time::Instant;

use super::{Section, Session, SessionOutput};
use crate::camera::StreamId;
use crate::congestion::{Congestion, Sent};
use crate::media::MediaPacket;
use crate::rtp::rtcp;
use crate::stats::{EndReason, SessionTraffic};
use crate::transport::PeerTransport;

impl Session {
    /// Returns the sections of the session. Their indices are the `section` of other calls.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Feeds a section from another stream from now on, of the same or another camera. Its first
    /// packet should begin a key frame.
    pub fn set_source(&mut self, section: usize, source: StreamId) {
        if let Some(section) = self.sections.get_mut(section) {
            section.set_source(source);
        }
    }

    /// Sends live packets of the stream that feeds this section; ignored before the session has
    /// started.
    pub fn send_packets(&mut self, now: Instant, section: usize, packets: &[MediaPacket]) {
        if !self.started {
            return;
        }
        let Some(section) = self.sections.get_mut(section) else { return };
        let Some(transport) = self.transports.ready(section.transport()) else { return };
        let send = numbered(now, &mut self.congestion, transport);
        if let Err(error) = section.send_live(now, packets, &mut self.plain, send) {
            self.end(EndReason::Packets, &error.to_string());
        }
        self.note_first_packet(now);
        self.send_due_packets(now);
        self.process_transport(now);
    }

    /// Sends the cached group of pictures at a pace; live packets follow it. Ignored before the
    /// session has started.
    pub fn send_burst(&mut self, now: Instant, section: usize, group: &[MediaPacket]) {
        if !self.started {
            return;
        }
        if let Some(section) = self.sections.get_mut(section) {
            section.begin_burst(now, group);
        }
        self.send_due_packets(now);
        self.process_transport(now);
    }

    /// Sends the cached group of pictures again, for a viewer that lost too much of it. Each group
    /// is sent once only, and a large one never: a path that lost it would lose it again.
    pub fn send_recovery_burst(&mut self, now: Instant, section: usize, group: &[MediaPacket]) {
        let admitted = self.sections.get_mut(section).map(|s| s.admit_recovery_burst(group));
        if admitted == Some(true) {
            self.send_burst(now, section, group);
        }
    }

    /// Sends the queued packets, retransmissions and reports that are due.
    pub(super) fn send_due_packets(&mut self, now: Instant) {
        if !self.started {
            return;
        }
        let mut failed = None;
        for section in &mut self.sections {
            let Some(transport) = self.transports.ready(section.transport()) else { continue };
            let mut send = numbered(now, &mut self.congestion, transport);
            failed = failed.or(section.send_queued(now, &mut self.plain, &mut send).err());
            let Some(sender) = section.sender() else { continue };
            while sender.poll_retransmission(now, &mut self.plain) {
                send(&mut self.plain);
            }
            drop(send);
            while sender.poll_report(now, &mut self.plain) {
                transport.send_rtcp(now, &self.plain);
            }
        }
        self.send_padding(now);
        self.note_first_packet(now);
        if let Some(error) = failed {
            self.end(EndReason::Packets, &error.to_string());
        }
    }

    /// Tells when the first packet was sent.
    fn note_first_packet(&mut self, now: Instant) {
        if !self.has_sent && self.sections.iter().any(|section| section.statistics().packets > 0) {
            self.has_sent = true;
            let time = now.saturating_duration_since(self.created_at);
            self.outbox.push_back(SessionOutput::FirstPacket(time));
        }
    }

    /// Returns what was sent to the viewer until now.
    #[must_use]
    pub fn traffic(&self) -> SessionTraffic {
        let mut traffic = SessionTraffic::default();
        for statistics in self.sections.iter().map(Section::statistics) {
            traffic.packets += statistics.packets;
            traffic.bytes += statistics.bytes;
            traffic.retransmitted_packets += statistics.retransmitted;
            traffic.retransmitted_bytes += statistics.retransmitted_bytes;
            traffic.padding_bytes += statistics.padding_bytes;
            traffic.lost_packets += statistics.lost;
        }
        traffic.relayed_bytes = self.transports.iter().map(PeerTransport::relayed_bytes).sum();
        traffic
    }

    /// Ends the stream of each section (RFC 3550 §6.6).
    pub(super) fn send_goodbyes(&mut self, now: Instant) {
        for section in &mut self.sections {
            let Some(transport) = self.transports.ready(section.transport()) else { continue };
            let Some(sender) = section.sender() else { continue };
            if sender.write_goodbye(now, &mut self.plain) {
                transport.send_rtcp(now, &self.plain);
            }
        }
    }

    pub(super) fn handle_rtcp(&mut self, now: Instant, compound: &[u8]) {
        let packets = rtcp::read(compound).unwrap_or_default();
        let mut goodbye = false;
        let mut report = None;
        for (index, section) in self.sections.iter_mut().enumerate() {
            let feedback = section.handle_feedback(now, &packets);
            if feedback.key_frame_requested {
                self.outbox.push_back(SessionOutput::KeyFrame { section: index });
            }
            goodbye |= feedback.goodbye;
            // What a viewer loses of the sound says nothing about the picture.
            if self.following.as_ref().is_none_or(|it| it.is_of(index))
                && let (None, Some(latest), Some(sender)) =
                    (&report, feedback.report, section.sender())
            {
                let statistics = sender.statistics();
                let (packets, again) = (statistics.packets, statistics.retransmitted);
                report = Some((latest, Sent { packets, again }));
            }
        }
        self.handle_line(now, &packets, report);
        if goodbye {
            self.end(EndReason::ViewerLeft, "the viewer left");
        }
        self.send_due_packets(now);
    }
}

/// Returns a function that numbers packets, as far as their section has it negotiated, and sends
/// them.
pub(super) fn numbered<'a>(
    now: Instant,
    congestion: &'a mut Option<Congestion>,
    transport: &'a mut PeerTransport,
) -> impl FnMut(&mut [u8]) + 'a {
    move |packet| {
        if let Some(congestion) = congestion {
            congestion.stamp(now, packet);
        }
        transport.send_rtp(now, packet);
    }
}
