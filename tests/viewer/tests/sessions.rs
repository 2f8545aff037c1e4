//! A gateway's session and a viewer's, in virtual time.

#![expect(clippy::unwrap_used, reason = "unexpected values fail the test")]

mod pair;

use std::time::{Duration, Instant};

use porthole_gateway_core::Datagram;
use porthole_gateway_core::camera::StreamId;
use porthole_gateway_core::dtls_srtp::DtlsRole;
use porthole_gateway_core::ice::LocalBase;
use porthole_gateway_core::media::{Codec, MediaPacket};
use porthole_gateway_core::rtp::rtcp::Packet;
use porthole_gateway_core::sdp;
use porthole_gateway_core::session::{EXPIRY_GRACE, Session, SessionError};
use porthole_gateway_core::transport::{LOST_TIMEOUT, SILENCE_TIMEOUT};

use pair::{FORGER, GATEWAY, Pair, address, config};

#[test]
fn a_viewer_in_the_lan_gets_the_first_frame_after_a_few_round_trips() {
    let mut pair = Pair::new();
    let begin = pair.now;
    while !pair.both_started() {
        pair.run(Duration::from_millis(1));
        assert!(pair.now - begin < Duration::from_millis(200), "{:?}", pair.gateway);
    }
    pair.send_key_frame(1);
    assert_eq!(pair.frames, 1);
    assert_eq!(pair.gateway.describe_path(), "direct");
    assert_eq!(pair.gateway.sections()[0].codec(), Some(Codec::H264.into()));
}

#[test]
fn r14_a_forged_packet_from_an_unvalidated_address_changes_nothing() {
    let mut pair = Pair::new();
    pair.run(Duration::from_millis(1));
    let now = pair.now;
    let base = LocalBase::Socket(address(GATEWAY));
    // A ClientHello, an alert, RTP, RTCP, and everything that was really sent, from a wrong
    // address.
    let hello = [&[22, 254, 253][..], &[0; 40]].concat();
    let alert = [21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0];
    let captured = pair.seen.iter().map(|bytes| bytes.to_vec());
    let forged: Vec<Vec<u8>> = [hello, alert.to_vec(), vec![0x80, 96, 0, 1], vec![0x80, 203, 0, 1]]
        .into_iter()
        .chain(captured)
        .collect();
    for datagram in forged {
        pair.gateway.handle_datagram(now, base, address(FORGER), &datagram);
    }
    pair.run(Duration::from_secs(1));
    assert!(pair.both_started() && pair.ended.is_empty(), "{:?}", pair.ended);
}

#[test]
fn cve_2023_51443_a_hello_from_any_address_ends_no_call() {
    // A ClientHello as good as the viewer's, from an attacker who sends it first and repeatedly.
    let mut elsewhere = Pair::new();
    elsewhere.run(Duration::from_secs(1));
    let hello = elsewhere.handshake.remove(0);
    assert_eq!((hello[0], hello[13]), (22, 1), "a ClientHello");
    let mut pair = Pair::new();
    for _ in 0..500 {
        let base = LocalBase::Socket(address(GATEWAY));
        pair.gateway.handle_datagram(pair.now, base, address(FORGER), &hello);
        pair.run(Duration::from_millis(1));
    }
    assert!(pair.both_started() && pair.ended.is_empty(), "{:?}", pair.ended);
    pair.send_key_frame(1);
    assert_eq!(pair.frames, 1);
}

#[test]
fn a_viewer_that_leaves_ends_the_session() {
    let mut pair = Pair::new();
    pair.run(Duration::from_millis(200));
    assert!(pair.both_started());
    let now = pair.now;
    pair.viewer.as_mut().unwrap().close(now);
    pair.exchange_outputs();
    assert_eq!(pair.ended, ["the viewer left"]);
}

#[test]
fn a_session_ends_at_its_expiry() {
    for (name, extended, expected) in [("not extended", false, 1), ("extended", true, 0)] {
        let mut pair = Pair::new();
        pair.gateway.set_expiry(pair.now + Duration::from_secs(2));
        pair.run(Duration::from_secs(1));
        if extended {
            pair.gateway.set_expiry(pair.now + Duration::from_secs(3600));
        }
        pair.run(Duration::from_secs(2) + EXPIRY_GRACE);
        assert_eq!(pair.ended.len(), expected, "{name}: {:?}", pair.ended);
    }
}

#[test]
fn a_lost_path_is_restarted_and_the_picture_returns() {
    let mut pair = Pair::new();
    pair.run(Duration::from_millis(200));
    pair.cut = true;
    pair.run(Duration::from_secs(10));
    assert_eq!(pair.offers.len(), 2, "the first one and one for the restart");
    pair.cut = false;
    pair.run(Duration::from_secs(5));
    pair.send_key_frame(1);
    assert_eq!(pair.frames, 1, "{:?} {:?}", pair.gateway, pair.ended);
    assert!(pair.ended.is_empty(), "{:?}", pair.ended);
}

#[test]
fn a_path_that_stays_lost_ends_the_session() {
    let mut pair = Pair::new();
    pair.run(Duration::from_millis(200));
    // The address that the path used is gone, so no check can be sent.
    pair.gateway.set_addresses(pair.now, &[]);
    pair.cut = true;
    pair.run(LOST_TIMEOUT + Duration::from_secs(1));
    assert_eq!(pair.ended.iter().filter(|reason| !reason.starts_with("viewer")).count(), 1);
}

#[test]
fn a_section_goes_on_when_another_stream_feeds_it() {
    let mut pair = Pair::new();
    pair.run(Duration::from_millis(200));
    pair.send_key_frame(10);
    pair.run(Duration::from_millis(40));
    pair.gateway.set_source(0, StreamId::sub("door".parse().unwrap()));
    // Numbers and timestamps of the other stream have nothing to do with those of the first.
    pair.send_key_frame(7000);
    pair.run(Duration::from_secs(3));
    assert_eq!(pair.frames, 2);
    assert_eq!(pair.key_frames_requested, 0);
    assert_eq!(pair.gateway.sections()[0].source(), &StreamId::sub("door".parse().unwrap()));
}

#[test]
fn a_round_trip_of_a_second_and_a_half_delays_the_start_and_does_not_end_it() {
    // The viewer is client or server in the DTLS handshake; then every seventh datagram is lost.
    let lossless: fn(usize, &Datagram) -> bool = |_, _| false;
    let lossy: fn(usize, &Datagram) -> bool = |count, _| count.is_multiple_of(7);
    for role in [DtlsRole::Client, DtlsRole::Server] {
        for (lose, limit) in [(lossless, 12), (lossy, 40)] {
            let mut pair = Pair::new();
            (pair.role, pair.delay, pair.lose) = (role, Duration::from_millis(750), lose);
            pair.run(Duration::from_secs(limit));
            assert!(pair.both_started(), "{role:?} {limit}: {:?} {:?}", pair.gateway, pair.ended);
            pair.lose = lossless;
            pair.send_key_frame(1);
            pair.run(Duration::from_secs(1));
            assert_eq!((pair.frames, pair.ended.len()), (1, 0), "{role:?}: {:?}", pair.ended);
        }
    }
}

#[test]
fn the_viewer_is_told_that_the_stream_ends_before_the_association_does() {
    let mut pair = Pair::new();
    pair.run(Duration::from_millis(200));
    pair.send_key_frame(1);
    pair.run(Duration::from_secs(1));
    pair.gateway.close(pair.now);
    pair.exchange_outputs();
    let (_, last) = pair.reports.last().unwrap();
    let offer = sdp::parse(&pair.offers[0]).unwrap();
    let ssrcs = [offer.sections[0].ssrc, offer.sections[0].rtx_ssrc].map(Option::unwrap);
    assert_eq!(last.last(), Some(&Packet::Goodbye { ssrcs: ssrcs.to_vec() }));
    assert_eq!(pair.ended, ["viewer: the gateway has closed the session"]);
}

#[test]
fn a_session_that_has_sent_nothing_ends_no_stream() {
    let mut pair = Pair::new();
    pair.run(Duration::from_millis(200));
    pair.gateway.close(pair.now);
    pair.exchange_outputs();
    assert!(pair.reports.is_empty(), "{:?}", pair.reports);
    assert_eq!(pair.ended.len(), 1);
}

#[test]
fn the_canonical_name_is_the_sessions_and_the_stream_id_the_cameras() {
    let names = |seed: u64| {
        let now = Instant::now();
        let session = Session::offering(now, config(now, seed)).unwrap();
        let mut pair = Pair::with(now, session);
        pair.run(Duration::from_millis(200));
        pair.send_key_frame(1);
        let offer = pair.offers[0].clone();
        let value = |prefix: &str| {
            let line = offer.lines().find(|line| line.contains(prefix)).unwrap();
            line.split_once(prefix).unwrap().1.to_owned()
        };
        let (cname, msid) = (value(" cname:"), value("a=msid:"));
        let described = pair.reports.iter().flat_map(|(_, packets)| packets);
        let described = described.filter(|packet| matches!(packet, Packet::Description { .. }));
        let described: Vec<_> = described.collect();
        assert_eq!(described, [&Packet::Description { cname: Some(cname.clone()) }]);
        (cname, msid)
    };
    let ((one, stream), (two, same)) = (names(1), names(2));
    assert_ne!(one, two);
    assert_eq!((one.len(), stream.as_str()), (16, same.as_str()));
    assert!(stream.starts_with("porthole-door "), "{stream}");
}

#[test]
fn a_viewer_that_never_sends_anything_ends_early() {
    let mut pair = Pair::new();
    pair.cut = true;
    pair.run(SILENCE_TIMEOUT - Duration::from_secs(1));
    assert!(pair.ended.iter().all(|reason| reason.starts_with("viewer")), "{:?}", pair.ended);
    pair.run(Duration::from_secs(2));
    let reason = pair.ended.iter().find(|reason| !reason.starts_with("viewer")).unwrap();
    assert!(reason.contains("nothing has arrived from the viewer"), "{reason}");
}

#[test]
fn a_viewer_that_takes_whole_units_only_gets_them_or_a_reason() {
    let mut pair = Pair::new();
    pair.rewrite = |answer| answer.replace("packetization-mode=1", "packetization-mode=0");
    pair.run(Duration::from_millis(200));
    let aggregate = [24, 0, 2, 0x67, 1, 0, 2, 0x68, 1, 0, 2, 0x65, 0x88];
    let packet = MediaPacket { payload: aggregate.to_vec().into(), ..pair.key_frame(1) };
    assert!(pair.gateway.sections()[0].check_group(std::slice::from_ref(&packet)).is_ok());
    pair.gateway.send_packets(pair.now, 0, &[packet]);
    pair.exchange_outputs();
    assert_eq!((pair.frames, pair.ended.len()), (1, 0), "{:?}", pair.ended);
    let frame = pair.last_frame.unwrap();
    assert_eq!((frame.packets, frame.bytes), (3, 6), "three units, one packet each");
    let fragment = MediaPacket { payload: vec![28, 0x85, 1].into(), ..pair.key_frame(2) };
    let refused = pair.gateway.sections()[0].check_group(std::slice::from_ref(&fragment));
    assert_eq!(refused, Err(SessionError::Fragmented));
    pair.gateway.send_packets(pair.now, 0, &[fragment]);
    pair.exchange_outputs();
    assert_eq!(pair.ended, [SessionError::Fragmented.to_string()]);
    assert_eq!(pair.frames, 1);
}
