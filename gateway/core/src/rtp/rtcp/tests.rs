use proptest::prelude::*;

use super::*;

fn written(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut Writer::new(&mut out, 7));
    out
}

const BLOCK: ReportBlock = ReportBlock {
    ssrc: 9,
    fraction_lost: 64,
    lost: -3,
    highest_sequence: 0x1_0005,
    jitter: 90,
    last_report: 0x1234_5678,
    delay: 65_536,
};

#[test]
fn written_packets_are_read_back() {
    let table = [
        (
            "sender report",
            written(|w| w.sender_report(NtpTime(5 << 32), 1, 2, 3)),
            Packet::SenderReport {
                ssrc: 7,
                ntp: NtpTime(5 << 32),
                timestamp: 1,
                packets: 2,
                octets: 3,
                blocks: vec![],
            },
        ),
        (
            "receiver report",
            written(|w| w.receiver_report(Some(&BLOCK))),
            Packet::ReceiverReport { ssrc: 7, blocks: vec![BLOCK] },
        ),
        (
            "empty report",
            written(|w| w.receiver_report(None)),
            Packet::ReceiverReport { ssrc: 7, blocks: vec![] },
        ),
        (
            "description",
            written(|w| w.description("camera")),
            Packet::Description { cname: Some("camera".to_owned()) },
        ),
        (
            "a name cut at a letter",
            written(|w| w.description(&"é".repeat(200))),
            Packet::Description { cname: Some("é".repeat(127)) },
        ),
        ("goodbye", written(|w| w.goodbye(None)), Packet::Goodbye { ssrcs: vec![7] }),
        ("two sources", written(|w| w.goodbye(Some(8))), Packet::Goodbye { ssrcs: vec![7, 8] }),
        (
            "picture loss",
            written(|w| w.picture_loss(9)),
            Packet::PictureLoss { sender: 7, media: 9 },
        ),
        (
            "nack",
            written(|w| w.nack(9, &[65_530, 65_535, 0, 10, 11, 500])),
            Packet::Nack { sender: 7, media: 9, lost: vec![65_530, 65_535, 0, 10, 11, 500] },
        ),
    ];
    for (case, bytes, expected) in table {
        assert_eq!(bytes.len() % 4, 0, "{case}");
        assert_eq!(read(&bytes), Ok(vec![expected]), "{case}");
    }
    let compound = written(|w| {
        w.receiver_report(None);
        w.description("x");
        w.picture_loss(1);
    });
    assert_eq!(read(&compound).unwrap().len(), 3);
}

#[test]
fn packets_of_browsers_are_understood() {
    let table: [(&str, &[u8], Packet); 9] = [
        (
            "full intra",
            b"\x84\xce\0\x04\0\0\0\x07\0\0\0\0\0\0\0\x09\x05\0\0\0",
            Packet::FullIntra { sender: 7, entries: vec![(9, 5)] },
        ),
        ("REMB", b"\x8f\xce\0\x05\0\0\0\x07\0\0\0\0REMB\x01\x11\x34\x56\0\0\0\x09", {
            Packet::BandwidthEstimate(BandwidthEstimate { bits_per_second: 0x1_3456 << 4 })
        }),
        ("another application's", b"\x8f\xce\0\x03\0\0\0\x07\0\0\0\0XYZW", Packet::Other(206)),
        ("a cut REMB", b"\x8f\xce\0\x03\0\0\0\x07\0\0\0\0REMB", Packet::Other(206)),
        ("empty transport-wide", b"\x8f\xcd\0\x02\0\0\0\x07\0\0\0\x09", Packet::Other(205)),
        ("extended report", b"\x80\xcf\0\x01\0\0\0\x07", Packet::Other(207)),
        (
            "padding",
            b"\xa1\xce\0\x03\0\0\0\x07\0\0\0\x09\0\0\0\x04",
            Packet::PictureLoss { sender: 7, media: 9 },
        ),
        ("a description without source", b"\x80\xca\0\0", Packet::Description { cname: None }),
        ("a name after a note", b"\x81\xca\0\x03\0\0\0\x07\x07\x01!\x01\x01a\0\0", {
            Packet::Description { cname: Some("a".to_owned()) }
        }),
    ];
    for (case, bytes, expected) in table {
        assert_eq!(read(bytes), Ok(vec![expected]), "{case}");
    }
}

#[test]
fn damage_is_refused() {
    let table: [(&str, Vec<u8>, RtcpError); 7] = [
        ("short", b"\x80\xc8".to_vec(), RtcpError::Truncated),
        ("cut off", b"\x80\xc9\0\x05\0\0\0\0".to_vec(), RtcpError::Truncated),
        ("too few blocks", b"\x82\xc9\0\x01\0\0\0\x07".to_vec(), RtcpError::Truncated),
        ("version 1", b"\x40\xc9\0\0".to_vec(), RtcpError::Version(1)),
        ("padding too long", b"\xa0\xc9\0\x01\0\0\0\xff".to_vec(), RtcpError::Padding),
        ("padding of nothing", b"\xa0\xc9\0\0".to_vec(), RtcpError::Padding),
        ("too many", b"\x80\xcf\0\0".repeat(MAX_PACKETS + 1), RtcpError::TooMany),
    ];
    for (case, bytes, expected) in table {
        assert_eq!(read(&bytes), Err(expected), "{case}");
    }
}

#[test]
fn a_flood_of_losses_is_truncated() {
    let pair = b"\0\0\xff\xff".repeat(500);
    let mut bytes = b"\x81\xcd\x01\xf6\0\0\0\x07\0\0\0\x09".to_vec();
    bytes.extend(&pair);
    let twice = [bytes.clone(), bytes].concat();
    let lost: usize = read(&twice)
        .unwrap()
        .iter()
        .map(|packet| if let Packet::Nack { lost, .. } = packet { lost.len() } else { 0 })
        .sum();
    assert_eq!(lost, MAX_NACKED);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
    }

    /// Tests nearly valid packets, which reach further into the parser.
    #[test]
    fn any_body_is_read_or_refused(
        packets in prop::collection::vec(
            (0_u8..32, 200_u8..208, any::<bool>(), prop::collection::vec(any::<u32>(), 0..20)),
            0..5,
        ),
    ) {
        let mut bytes = Vec::new();
        for (count, kind, padded, words) in packets {
            bytes.extend([0x80 | u8::from(padded) << 5 | count, kind, 0, words.len() as u8]);
            bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        }
        if let Ok(packets) = read(&bytes) {
            prop_assert!(packets.len() <= MAX_PACKETS);
        }
    }

    #[test]
    fn losses_read_as_they_were_written(
        start in any::<u16>(),
        gaps in prop::collection::vec(1_u16..40, 0..100),
    ) {
        let lost = gaps.iter().scan(start, |number, gap| {
            *number = number.wrapping_add(*gap);
            Some(*number)
        });
        let lost: Vec<_> = lost.collect();
        let expected = Packet::Nack { sender: 7, media: 9, lost: lost.clone() };
        prop_assert_eq!(read(&written(|w| w.nack(9, &lost))), Ok(vec![expected]));
    }
}
