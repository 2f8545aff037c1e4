//! The stream with which a viewer begins.

use super::*;

/// Sends slices of 1200 bytes of one group of pictures to a stream, together more than is kept.
fn send_a_large_group(case: &mut Case, stream: &StreamId) {
    for sequence in 2..8000_u16 {
        let [high, low] = sequence.to_be_bytes();
        let mut bytes = vec![0x80, 96, high, low, 0, 0, high, low, 0, 0, 0, 1, 0x41, 0x9a, 0x84];
        bytes.resize(1200, 3);
        let packet = RtpPacket::parse(bytes.into()).unwrap();
        let event = SourceEvent::Packet { track: MediaKind::Video, arrival: case.now, packet };
        case.gateway.handle_source(case.now, stream, event);
    }
    case.signals();
}

#[test]
fn a_viewer_begins_with_the_sub_stream_while_the_group_of_the_main_one_is_too_large_to_be_kept() {
    let (yard, sub) = (main_stream("yard"), StreamId::sub("yard".parse().unwrap()));
    for (is_large, expected) in [(false, [1, 0]), (true, [0, 1])] {
        let mut case = Case::described();
        case.play(&sub, Case::description());
        if is_large {
            send_a_large_group(&mut case, &yard);
        }
        assert!(result_of::<Offer>(&case.offer("s1", "yard")).is_some(), "{is_large}");
        assert_eq!(case.viewers("yard"), expected, "{is_large}");
    }
    // Without a sub stream the viewer waits for the next key frame of the only one.
    let mut case = Case::described();
    send_a_large_group(&mut case, &main_stream("door"));
    assert!(result_of::<Offer>(&case.offer("s1", "door")).is_some());
}
