use porthole_gateway_core::media::{CLOCK_RATE, MediaPacket};
use porthole_gateway_core::rtp::{Clock, Sender, SenderConfig};
use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A sender and a receiver, and a path between them with delay and loss.
struct Pair {
    now: Instant,
    sender: Sender,
    receiver: Receiver,
    /// Packets on the path: arrival time, true for RTCP, bytes.
    to_receiver: VecDeque<(Instant, bool, Vec<u8>)>,
    to_sender: VecDeque<(Instant, Vec<u8>)>,
    frame: u32,
    /// Number of frames from one key frame to the next.
    group: u32,
    sequence: u64,
    key_frames_requested: u32,
    received: Vec<ReceivedFrame>,
}

const DELAY: Duration = Duration::from_millis(20);

impl Pair {
    fn new(rtx: bool) -> Self {
        let now = Instant::now();
        let rtx_payload_type = rtx.then_some(97);
        let sender = Sender::new(SenderConfig {
            ssrc: 1,
            rtx_ssrc: 2,
            payload_type: 96,
            clock_rate: CLOCK_RATE,
            rtx_payload_type,
            cname: "camera".to_owned(),
            mid: None,
            playout_delay: None,
            transport_cc: None,
            first_sequence: 65_500,
            first_rtx_sequence: 65_535,
            first_timestamp: u32::MAX - 5000,
            seed: 1,
            clock: Clock::since(now),
        });
        let receiver = Receiver::new(ReceiverConfig {
            ssrc: 3,
            cname: "viewer".to_owned(),
            codec: Codec::H264,
            payload_type: 96,
            rtx_payload_type,
            remote_ssrc: Some(1),
        });
        Self {
            now,
            sender,
            receiver,
            to_receiver: VecDeque::new(),
            to_sender: VecDeque::new(),
            frame: 0,
            group: 25,
            sequence: 0,
            key_frames_requested: 0,
            received: Vec::new(),
        }
    }

    /// Returns the next frame of a camera, in `packets` fragments.
    fn frame(&mut self, packets: u32) -> Vec<MediaPacket> {
        let key = self.frame.is_multiple_of(self.group);
        let timestamp = self.frame * 3600;
        self.frame += 1;
        let kind = if key { 5 } else { 1 };
        let fragments = (0..packets).map(|index| {
            self.sequence += 1;
            let start = if index == 0 { 0x80 } else { 0 };
            MediaPacket {
                payload: Bytes::from(vec![0x7c, start | kind, 0, 1, 2, 3]),
                timestamp,
                marker: index + 1 == packets,
                sequence: self.sequence,
                starts_key_frame: key && index == 0,
                arrival: self.now,
                captured: self.now,
            }
        });
        fragments.collect()
    }

    fn send(&mut self, packets: &[MediaPacket], mut lost: impl FnMut() -> bool) {
        for packet in packets {
            let mut out = Vec::new();
            self.sender.write_packet(self.now, packet, &mut out);
            if !lost() {
                self.to_receiver.push_back((self.now + DELAY, false, out));
            }
        }
    }

    /// Lets time pass, a millisecond at a time.
    fn pass(&mut self, ms: u32, mut lost: impl FnMut() -> bool) {
        for _ in 0..ms {
            self.now += MS;
            let now = self.now;
            while self.to_receiver.front().is_some_and(|(at, ..)| *at <= now) {
                let (_, rtcp, bytes) = self.to_receiver.pop_front().unwrap();
                match rtcp {
                    true => drop(self.receiver.handle_rtcp(now, &bytes)),
                    false => self.receiver.handle_rtp(now, bytes.into()),
                }
            }
            while self.to_sender.front().is_some_and(|(at, _)| *at <= now) {
                let (_, bytes) = self.to_sender.pop_front().unwrap();
                let feedback = self.sender.handle_rtcp(now, &bytes);
                self.key_frames_requested += u32::from(feedback.key_frame_requested);
            }
            let mut out = Vec::new();
            while self.sender.poll_retransmission(now, &mut out) {
                if !lost() {
                    self.to_receiver.push_back((now + DELAY, false, out.clone()));
                }
            }
            if self.sender.poll_report(now, &mut out) {
                self.to_receiver.push_back((now + DELAY, true, out.clone()));
            }
            self.receiver.handle_timeout(now);
            while self.receiver.poll_rtcp(now, &mut out) {
                self.to_sender.push_back((now + DELAY, out.clone()));
            }
            while let Some(frame) = self.receiver.poll_frame() {
                self.received.push(frame);
            }
        }
    }

    fn run(&mut self, frames: u32, mut lost: impl FnMut() -> bool) {
        for _ in 0..frames {
            let packets = self.frame(4);
            self.send(&packets, &mut lost);
            self.pass(40, &mut lost);
        }
    }
}

#[test]
fn a_number_is_extended_to_the_nearest_one() {
    let table: [(u16, u64, u64); 6] = [
        (5, 4, 5),
        (4, 5, 4),
        (0, 65_535, 65_536),
        (65_535, 65_536, 65_535),
        (3, 65_536 * 9 + 65_530, 65_536 * 10 + 3),
        (65_535, 3, 65_535),
    ];
    for (sequence, reference, expected) in table {
        assert_eq!(extend(sequence, reference), expected, "{sequence} near {reference}");
    }
}

#[test]
fn without_loss_every_frame_arrives_whole() {
    let mut pair = Pair::new(true);
    pair.run(100, || false);
    pair.pass(50, || false);
    let statistics = pair.receiver.statistics();
    assert_eq!((statistics.frames, statistics.key_frames), (100, 4));
    assert_eq!((statistics.nacks, statistics.plis, statistics.duplicates), (0, 0, 0));
    assert!(pair.received.iter().all(|frame| frame.packets == 4 && frame.bytes == 24));
    let steps = pair.received.windows(2).map(|w| ahead(w[1].timestamp, w[0].timestamp));
    assert!(steps.into_iter().all(|step| step == 3600));
    let report = pair.sender.statistics().report.unwrap();
    assert_eq!((report.fraction_lost, report.lost), (0, 0));
    let round_trip = pair.sender.statistics().round_trip.unwrap();
    assert!(round_trip.abs_diff(DELAY * 2) <= MS * 2, "{round_trip:?}");
}

#[test]
fn losses_are_repaired() {
    for rtx in [true, false] {
        let mut pair = Pair::new(rtx);
        let mut count = 0_u32;
        // Every tenth packet, retransmissions included.
        let mut lost = || {
            count += 1;
            count % 10 == 7
        };
        pair.run(100, &mut lost);
        pair.pass(500, || false);
        let statistics = pair.receiver.statistics();
        assert_eq!(statistics.frames, 100, "rtx {rtx}: {statistics:?}");
        assert!(statistics.recovered >= 36, "rtx {rtx}: {statistics:?}");
        assert_eq!((statistics.lost, statistics.plis), (0, 0), "rtx {rtx}");
        let sent = pair.sender.statistics();
        assert!(sent.retransmitted >= 40 && sent.nacks >= sent.retransmitted, "{sent:?}");
        // Retransmissions within the media stream hide the loss from the report.
        assert_eq!(sent.report.unwrap().lost > 20, rtx, "{sent:?}");
    }
}

#[test]
fn after_an_outage_the_stream_continues_with_a_key_frame() {
    let mut pair = Pair::new(true);
    pair.group = 75;
    pair.run(30, || false);
    // Frames 30 to 45 are lost, and every retransmission.
    pair.run(16, || true);
    let before = usize::try_from(pair.receiver.statistics().frames).unwrap();
    for _ in 46..110 {
        let packets = pair.frame(4);
        pair.send(&packets, || false);
        pair.pass(40, || true);
    }
    pair.pass(50, || false);
    let statistics = pair.receiver.statistics();
    assert_eq!((before, statistics.lost), (30, 16 * 4), "{statistics:?}");
    assert!(statistics.plis > 0 && pair.key_frames_requested > 0, "{statistics:?}");
    assert_eq!(statistics.frames, 30 + 35, "the next key frame is number 75");
    assert!(pair.received[before].is_key, "a picture begins with a key frame");
}

#[test]
fn a_viewer_that_joins_late_gets_the_group_at_once() {
    let mut pair = Pair::new(true);
    let mut group: Vec<_> = Vec::new();
    for _ in 0..20 {
        group.extend(pair.frame(4));
        pair.now += MS * 40;
    }
    let now = pair.now;
    pair.sender.begin_burst(now, &group, &vec![now; group.len()]);
    pair.send(&group, || false);
    pair.sender.end_burst();
    pair.pass(21, || false);
    assert_eq!(pair.received.len(), 20);
    assert!(pair.received[0].is_key);
    let newest = pair.received[19].timestamp;
    assert_eq!(ahead(newest, pair.received[0].timestamp), 19 * 9, "0.1 ms apart");
    pair.run(10, || false);
    let live: Vec<_> = pair.received[20..].iter().map(|frame| frame.timestamp).collect();
    assert!(live.windows(2).all(|two| ahead(two[1], two[0]) == 3600), "the live frames follow");
    assert_eq!(pair.receiver.statistics().plis, 0);
}

#[test]
fn packets_of_other_streams_are_dropped() {
    let now = Instant::now();
    let mut pair = Pair::new(true);
    pair.run(2, || false);
    let table: [(&str, &[u8]); 5] = [
        ("not RTP", b"hello"),
        ("another source", b"\x80\xe0\0\x01\0\0\0\0\0\0\0\x09x"),
        ("another payload type", b"\x80\x7f\0\x01\0\0\0\0\0\0\0\x01x"),
        ("an empty retransmission", b"\x80\x61\0\x01\0\0\0\0\0\0\0\x02"),
        ("RTCP", b"\x80\xc8\0\x01\0\0\0\0\0\0\0\x01x"),
    ];
    let before = pair.receiver.statistics();
    for (case, bytes) in table {
        pair.receiver.handle_rtp(now, Bytes::from_static(bytes));
        assert_eq!(pair.receiver.statistics(), before, "{case}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_loss_is_repaired(
        pattern in prop::collection::vec(0_u8..100, 50..400),
        percent in 0_u8..20,
    ) {
        let mut pair = Pair::new(true);
        let mut dice = pattern.iter().cycle();
        let mut lost = || *dice.next().unwrap() < percent;
        let first = pair.frame(1);
        pair.send(&first, || false);
        pair.run(30, &mut lost);
        pair.pass(600, || false);
        let statistics = pair.receiver.statistics();
        let tail = statistics.frames + statistics.broken_frames;
        // A loss at the very end is only detected with the next packet.
        prop_assert!(tail >= 26, "{:?}", statistics);
    }

    #[test]
    fn nothing_grows_without_bound(
        packets in prop::collection::vec((any::<u16>(), any::<bool>(), 0_u32..100), 0..2000),
    ) {
        let mut pair = Pair::new(true);
        let mut out = Vec::new();
        for (sequence, rtx, ms) in packets {
            pair.now += MS * ms;
            let mut bytes = vec![0x80, 96 + u8::from(rtx)];
            bytes.extend(sequence.to_be_bytes());
            bytes.extend([0, 0, sequence as u8, 0, 0, 0, 0, 1]);
            bytes.extend(sequence.to_be_bytes());
            pair.receiver.handle_rtp(pair.now, bytes.into());
            pair.receiver.handle_timeout(pair.now);
            let _ = pair.receiver.poll_rtcp(pair.now, &mut out);
            prop_assert!(pair.receiver.held.len() <= MAX_HELD + 1);
            prop_assert!(pair.receiver.missing.len() <= MAX_MISSING);
            prop_assert!(pair.receiver.frames.len() <= MAX_FRAMES);
            prop_assert!(out.len() < 1200);
        }
    }
}
