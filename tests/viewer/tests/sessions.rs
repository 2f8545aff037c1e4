//! A gateway's session and a viewer's, in virtual time.

mod pair;

use std::time::Duration;

use porthole_gateway_core::camera::StreamId;
use porthole_gateway_core::ice::LocalBase;
use porthole_gateway_core::media::Codec;
use porthole_gateway_core::session::EXPIRY_GRACE;
use porthole_gateway_core::transport::LOST_TIMEOUT;

use pair::{FORGER, GATEWAY, Pair, address};

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
    assert_eq!(pair.gateway.sections()[0].codec(), Some(Codec::H264));
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
