use std::collections::HashMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::media::{CLOCK_RATE, MAX_PAYLOAD, RtpPacket};
use crate::rtp::NtpTime;

const MS: Duration = Duration::from_millis(1);
const SSRC: u32 = 0x1111;

fn config(now: Instant) -> SenderConfig {
    SenderConfig {
        ssrc: SSRC,
        rtx_ssrc: 0x2222,
        clock_rate: CLOCK_RATE,
        payload_type: 98,
        rtx_payload_type: Some(99),
        cname: "camera".to_owned(),
        mid: Some((1, "0".to_owned())),
        playout_delay: Some(2),
        transport_cc: None,
        first_sequence: 65_530,
        first_rtx_sequence: 7,
        first_timestamp: 1000,
        seed: 1,
        clock: Clock::since(now),
    }
}

fn video(now: Instant, sequence: u64, payload: &[u8]) -> MediaPacket {
    MediaPacket {
        payload: Bytes::copy_from_slice(payload),
        timestamp: u32::try_from(sequence).unwrap().wrapping_mul(3600),
        marker: true,
        sequence,
        starts_key_frame: sequence == 0,
        arrival: now,
        captured: now,
    }
}

fn sent(sender: &mut Sender, now: Instant, packet: &MediaPacket) -> RtpPacket {
    let mut out = vec![0xff; 3];
    sender.write_packet(now, packet, &mut out);
    RtpPacket::parse(out.into()).unwrap()
}

fn retransmission(sender: &mut Sender, now: Instant) -> Option<RtpPacket> {
    let mut out = Vec::new();
    sender.poll_retransmission(now, &mut out).then(|| RtpPacket::parse(out.into()).unwrap())
}

fn rtcp(write: impl FnOnce(&mut rtcp::Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut rtcp::Writer::new(&mut out, 5));
    out
}

/// A full intra request, which our writer does not have.
fn full_intra(ssrc: u32, number: u8) -> Vec<u8> {
    let mut out = b"\x84\xce\0\x04\0\0\0\x05\0\0\0\0".to_vec();
    out.extend(ssrc.to_be_bytes());
    out.extend([number, 0, 0, 0]);
    out
}

#[test]
fn a_packet_is_renumbered_and_nothing_else() {
    let now = Instant::now();
    let mut sender = Sender::new(config(now));
    for number in 0..20 {
        let packet = video(now, number, format!("payload {number}").as_bytes());
        let sent = sent(&mut sender, now, &packet);
        let expected = RtpHeader {
            marker: true,
            payload_type: 98,
            sequence: 65_530_u16.wrapping_add(u16::try_from(number).unwrap()),
            timestamp: 1000 + u32::try_from(number).unwrap() * 3600,
            ssrc: SSRC,
        };
        assert_eq!((sent.header, sent.payload), (expected, packet.payload));
    }
    let SenderStatistics { packets, bytes, .. } = sender.statistics();
    assert_eq!((packets, bytes), (20, 9 * 10 + 10 * 10));
}

#[test]
fn extensions_are_sent_until_the_viewer_knows_the_stream() {
    let now = Instant::now();
    let mut sender = Sender::new(config(now));
    let mut out = Vec::new();
    let extended = b"\x90";
    sender.write_packet(now, &video(now, 1, b"x"), &mut out);
    assert_eq!(&out[..1], extended);
    assert_eq!(&out[12..24], b"\xbe\xde\0\x02\x22\0\0\0\x100\0\0");
    assert!(out.len() - 1 <= 12 + 16);
    let block = ReportBlock { ssrc: SSRC, ..ReportBlock::default() };
    sender.handle_rtcp(now, &rtcp(|w| w.receiver_report(Some(&block))));
    sender.write_packet(now, &video(now, 2, b"x"), &mut out);
    assert_eq!(out.len(), 13, "a report has named the stream");
    let key = MediaPacket { starts_key_frame: true, ..video(now, 3, b"x") };
    sender.write_packet(now, &key, &mut out);
    assert_eq!(&out[..1], extended, "a key frame");
}

#[test]
fn every_packet_has_room_for_its_transport_wide_number() {
    let now = Instant::now();
    let mut sender = Sender::new(SenderConfig { transport_cc: Some(3), ..config(now) });
    let mut out = Vec::new();
    assert!(!sender.write_padding(&mut out), "nothing was sent");
    let block = ReportBlock { ssrc: SSRC, ..ReportBlock::default() };
    sender.handle_rtcp(now, &rtcp(|w| w.receiver_report(Some(&block))));
    for (case, number) in [("a packet", 1), ("a key frame", 0), ("again", 2), ("padding", 3)] {
        match case {
            "again" => {
                sender.handle_rtcp(now, &rtcp(|w| w.nack(SSRC, &[65_530])));
                assert!(sender.poll_retransmission(now, &mut out), "{case}");
            }
            "padding" => assert!(sender.write_padding(&mut out), "{case}"),
            _ => sender.write_packet(now, &video(now, number, &[1; 300]), &mut out),
        }
        assert!(crate::rtp::stamp(&mut out, 3, 0x1234), "{case}");
        let packet = RtpPacket::parse(out.clone().into()).unwrap();
        let is_again = matches!(case, "again" | "padding");
        assert_eq!(packet.header.ssrc, if is_again { 0x2222 } else { SSRC }, "{case}");
        assert_eq!(packet.payload.len(), if is_again { 302 } else { 300 }, "{case}");
        assert_eq!(crate::rtp::transport_number(&out, 3), Some(0x1234), "{case}");
    }
    assert_eq!(sender.statistics().padding_bytes, 300);
    let none = SenderConfig { transport_cc: Some(3), rtx_payload_type: None, ..config(now) };
    let mut sender = Sender::new(none);
    sender.write_packet(now, &video(now, 1, &[1; 300]), &mut out);
    assert!(!sender.write_padding(&mut out), "without RTX it would be taken for the stream");
}

#[test]
fn a_lost_packet_is_retransmitted() {
    let now = Instant::now();
    for rtx in [Some(99), None] {
        let mut sender = Sender::new(SenderConfig { rtx_payload_type: rtx, ..config(now) });
        let packets: Vec<_> = (0..5).map(|number| video(now, number, &[number as u8; 9])).collect();
        let originals: Vec<_> = packets.iter().map(|p| sent(&mut sender, now, p)).collect();
        sender.handle_rtcp(now, &rtcp(|w| w.nack(SSRC, &[65_531, 65_533])));
        sender.handle_rtcp(now, &rtcp(|w| w.nack(SSRC + 1, &[65_530])));
        for (count, original) in [&originals[1], &originals[3]].into_iter().enumerate() {
            let again = retransmission(&mut sender, now).unwrap();
            if rtx.is_none() {
                assert_eq!(&again, original);
                continue;
            }
            assert_eq!(
                again.header,
                RtpHeader {
                    payload_type: 99,
                    sequence: 7 + u16::try_from(count).unwrap(),
                    ssrc: 0x2222,
                    ..original.header
                }
            );
            assert_eq!(again.payload[..2], original.header.sequence.to_be_bytes());
            assert_eq!(again.payload[2..], original.payload);
        }
        assert_eq!(retransmission(&mut sender, now), None);
        let statistics = sender.statistics();
        assert_eq!((statistics.nacks, statistics.retransmitted), (2, 2));
        assert_eq!(statistics.packets, 5, "retransmissions are counted separately");
    }
}

#[test]
fn key_frames_are_requested_twice_a_second_at_most() {
    let start = Instant::now();
    let mut sender = Sender::new(config(start));
    let pli = || rtcp(|w| w.picture_loss(SSRC));
    let table = [
        ("the first", 0, pli(), true),
        ("again at once", 10, pli(), false),
        ("another way, too soon", 20, full_intra(SSRC, 1), false),
        ("still too soon", 499, pli(), false),
        ("after half a second", 500, pli(), true),
        ("the same request, repeated", 2000, full_intra(SSRC, 1), false),
        ("the next request", 2001, full_intra(SSRC, 2), true),
        ("for another stream", 4000, rtcp(|w| w.picture_loss(9)), false),
        ("an intra frame of another stream", 4000, full_intra(9, 3), false),
        ("damaged", 4000, pli()[..9].to_vec(), false),
        ("after all that", 4001, pli(), true),
    ];
    for (case, ms, bytes, expected) in table {
        let feedback = sender.handle_rtcp(start + MS * ms, &bytes);
        assert_eq!(feedback.key_frame_requested, expected, "{case}");
    }
    let SenderStatistics { plis, firs, .. } = sender.statistics();
    assert_eq!((plis, firs), (5, 2));
}

#[test]
fn reports_give_the_round_trip() {
    let start = Instant::now();
    let mut sender = Sender::new(config(start));
    let mut out = Vec::new();
    assert_eq!(sender.poll_timeout(), None);
    assert!(!sender.poll_report(start, &mut out), "nothing was sent yet");
    sent(&mut sender, start, &video(start, 0, b"payload"));
    assert!(sender.poll_report(start, &mut out));
    let due = sender.poll_timeout().unwrap();
    assert!((500..1500).contains(&(due - start).as_millis()), "{:?}", due - start);
    assert!(!sender.poll_report(due - MS, &mut out));
    let now = start + MS * 1500;
    assert!(sender.poll_report(now, &mut out));
    let ntp = Clock::since(start).ntp(now);
    let [report, name] = rtcp::read(&out).unwrap().try_into().unwrap();
    assert_eq!(
        report,
        Packet::SenderReport {
            ssrc: SSRC,
            ntp,
            timestamp: 1000 + 135_000,
            packets: 1,
            octets: 7,
            blocks: vec![],
        }
    );
    assert_eq!(name, Packet::Description { cname: Some("camera".to_owned()) });

    let block = |last_report: NtpTime, delay_ms: u32| ReportBlock {
        ssrc: SSRC,
        fraction_lost: 25,
        lost: 3,
        jitter: 900,
        last_report: last_report.compact(),
        delay: delay_ms * 65_536 / 1000,
        ..ReportBlock::default()
    };
    let table = [
        ("80 ms, of which the viewer held it 30", block(ntp, 30), Some(50)),
        ("no report came yet", ReportBlock { last_report: 0, ..block(ntp, 0) }, None),
        ("an impossible delay", block(ntp, 5000), None),
        ("a report never sent", block(NtpTime(77 << 32), 0), None),
    ];
    for (case, block, expected) in table {
        let bytes = rtcp(|w| w.receiver_report(Some(&block)));
        let report = sender.handle_rtcp(now + MS * 80, &bytes).report.unwrap();
        assert_eq!((report.fraction_lost, report.lost), (25, 3), "{case}");
        assert_eq!(report.jitter, MS * 10, "{case}");
        let expected = expected.map(|ms: u32| MS * ms);
        let near = |a: Duration, b: Duration| a.abs_diff(b) < MS;
        assert!(report.round_trip.zip(expected).is_none_or(|(a, b)| near(a, b)), "{case}");
        assert_eq!(report.round_trip.is_some(), expected.is_some(), "{case}");
    }
    assert!(sender.statistics().round_trip.is_some(), "the last good one is kept");
    let other = rtcp(|w| w.receiver_report(Some(&ReportBlock { ssrc: 3, ..block(ntp, 0) })));
    assert_eq!(sender.handle_rtcp(now, &other), Feedback::default());
}

#[test]
fn goodbye_in_both_directions() {
    let now = Instant::now();
    let mut sender = Sender::new(config(now));
    assert!(sender.handle_rtcp(now, &rtcp(|w| w.goodbye(None))).goodbye);
    let mut out = Vec::new();
    assert!(!sender.write_goodbye(now, &mut out), "nothing has been sent");
    sent(&mut sender, now, &video(now, 0, b"payload"));
    assert!(sender.write_goodbye(now, &mut out));
    let ssrcs = vec![SSRC, 0x2222];
    assert_eq!(rtcp::read(&out).unwrap().last(), Some(&Packet::Goodbye { ssrcs }));
}

#[test]
fn reports_are_spread_over_half_to_one_and_a_half_of_their_interval() {
    let start = Instant::now();
    let mut gaps = Vec::new();
    for seed in 0..20 {
        let mut sender = Sender::new(SenderConfig { seed, ..config(start) });
        sent(&mut sender, start, &video(start, 0, b"payload"));
        let mut out = Vec::new();
        let mut last = start;
        assert!(sender.poll_report(start, &mut out));
        for _ in 0..20 {
            let due = sender.poll_timeout().unwrap();
            assert!(sender.poll_report(due, &mut out));
            gaps.push((due - last).as_millis());
            last = due;
        }
    }
    assert!(gaps.iter().all(|gap| (500..=1500).contains(gap)), "{gaps:?}");
    for tenth in [500..600, 900..1000, 1400..1500] {
        let count = gaps.iter().filter(|gap| tenth.contains(*gap)).count();
        assert!((15..80).contains(&count), "{count} of {} in {tenth:?}", gaps.len());
    }
}

proptest! {
    /// Tests that whatever cameras, bursts and viewers do, sequence numbers follow each other,
    /// retransmissions equal the original and every packet fits.
    #[test]
    fn sequence_numbers_follow_and_retransmissions_equal_the_original(
        events in prop::collection::vec((0_u8..10, any::<u16>()), 1..300),
    ) {
        let mut now = Instant::now();
        let mut sender = Sender::new(config(now));
        let mut known: HashMap<u16, (u32, Bytes)> = HashMap::new();
        let (mut camera, mut last) = (0_u64, None::<u16>);
        for (event, value) in events {
            now += MS * u32::from(value % 40);
            match event {
                0 => {
                    let wanted = last.unwrap_or(0).wrapping_sub(value % 50);
                    sender.handle_rtcp(now, &rtcp(|w| w.nack(SSRC, &[wanted])));
                }
                1 => sender.splice(),
                2 => sender.begin_burst(now, &[video(now, camera + 1, b"")], &[now]),
                _ => {
                    let gap = if event == 3 { u64::from(value) } else { 0 };
                    camera += 1 + gap;
                    let payload = vec![value as u8; usize::from(value) % (MAX_PAYLOAD + 1)];
                    let packet = MediaPacket {
                        timestamp: value.into(),
                        ..video(now, camera % 100_000, &payload)
                    };
                    let mut out = Vec::new();
                    sender.write_packet(now, &packet, &mut out);
                    prop_assert!(out.len() <= MAX_PAYLOAD + 12 + 16);
                    let sent = RtpPacket::parse(out.into()).unwrap();
                    let step = last.map_or(1, |last| sent.header.sequence.wrapping_sub(last));
                    prop_assert!((1..=65).contains(&step), "{step}");
                    last = Some(sent.header.sequence);
                    known.insert(sent.header.sequence, (sent.header.timestamp, sent.payload));
                }
            }
            while let Some(again) = retransmission(&mut sender, now) {
                let original = u16::from_be_bytes([again.payload[0], again.payload[1]]);
                let (timestamp, payload) = &known[&original];
                prop_assert_eq!(again.header.timestamp, *timestamp);
                prop_assert_eq!(&again.payload[2..], &payload[..]);
            }
        }
    }

    #[test]
    fn no_feedback_panics(
        compounds in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
    ) {
        let now = Instant::now();
        let mut sender = Sender::new(config(now));
        sent(&mut sender, now, &video(now, 0, b"x"));
        for bytes in compounds {
            sender.handle_rtcp(now, &bytes);
        }
    }
}
