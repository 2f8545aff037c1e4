//! Tests of the order of packets.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::media::RtpHeader;

fn packet(sequence: u16) -> RtpPacket {
    let header = RtpHeader { marker: false, payload_type: 96, sequence, timestamp: 0, ssrc: 1 };
    RtpPacket { header, payload: Bytes::new() }
}

/// Returns the sequence numbers that come out, each with the number of packets lost before it.
fn run(delivery: Delivery, input: &[u16]) -> Vec<(u16, u64)> {
    let now = Instant::now();
    let mut reorder_buffer = ReorderBuffer::new(delivery);
    let mut output = Vec::new();
    for &sequence in input {
        reorder_buffer.insert(now, packet(sequence));
        while let Some(ordered) = reorder_buffer.pop(now) {
            output.push((ordered.packet.header.sequence, ordered.lost));
        }
    }
    while let Some(ordered) = reorder_buffer.pop(now + MAX_HOLD) {
        output.push((ordered.packet.header.sequence, ordered.lost));
    }
    output
}

#[test]
fn once_a_packet_came_late_the_next_ones_are_waited_for() {
    let start = Instant::now();
    let mut reorder_buffer = ReorderBuffer::new(Delivery::Udp);
    let mut handle = |ms: u64, sequence: u16| {
        let now = start + Duration::from_millis(ms);
        let mut out = Vec::new();
        while let Some(ordered) = reorder_buffer.pop(now) {
            out.push((ordered.packet.header.sequence, ordered.lost));
        }
        reorder_buffer.insert(now, packet(sequence));
        while let Some(ordered) = reorder_buffer.pop(now) {
            out.push((ordered.packet.header.sequence, ordered.lost));
        }
        out
    };
    let minute = 60_000;
    type Step = (u64, u16, &'static [(u16, u64)]);
    let table: [Step; 10] = [
        (0, 7, &[(7, 0)]),
        (1, 9, &[]),
        // The first one that is late is given up.
        (30, 10, &[(9, 1), (10, 0)]),
        (31, 8, &[]),
        (40, 12, &[]),
        (90, 11, &[(11, 0), (12, 0)]),
        // One that is lost costs more time for a while.
        (100, 14, &[]),
        (205, 15, &[(14, 1), (15, 0)]),
        // All in time for a minute.
        (minute + 200, 17, &[]),
        (minute + 230, 18, &[(17, 1), (18, 0)]),
    ];
    for (ms, sequence, expected) in table {
        assert_eq!(handle(ms, sequence), expected, "{sequence} at {ms} ms");
    }
}

#[test]
fn order_and_loss() {
    use Delivery::{InOrder, Tcp, Udp};
    type Case<'a> = (&'a str, Delivery, &'a [u16], &'a [(u16, u64)]);
    let table: [Case<'_>; 12] = [
        ("in order", Udp, &[7, 8, 9], &[(7, 0), (8, 0), (9, 0)]),
        ("across the wrap", Udp, &[65535, 0, 1], &[(65535, 0), (0, 0), (1, 0)]),
        ("overtaken", Udp, &[7, 9, 8, 10], &[(7, 0), (8, 0), (9, 0), (10, 0)]),
        ("overtaken over TCP", Tcp, &[7, 9, 8, 10], &[(7, 0), (8, 0), (9, 0), (10, 0)]),
        ("overtaken at the wrap", Udp, &[65534, 0, 65535], &[(65534, 0), (65535, 0), (0, 0)]),
        ("duplicates", Udp, &[7, 7, 8, 7], &[(7, 0), (8, 0)]),
        ("duplicates over TCP", Tcp, &[7, 7, 8, 7], &[(7, 0), (8, 0)]),
        ("lost", Udp, &[7, 10], &[(7, 0), (10, 2)]),
        ("lost in order", InOrder, &[7, 10, 11], &[(7, 0), (10, 2), (11, 0)]),
        ("left out over TCP", Tcp, &[7, 10, 11], &[(7, 0), (10, 2), (11, 0)]),
        ("one far off is noise", Udp, &[7, 30000, 8], &[(7, 0), (8, 0)]),
        (
            "two far off are a restart",
            Udp,
            &[7, 30000, 30001, 30002],
            &[(7, 0), (30000, 0), (30001, 0), (30002, 0)],
        ),
    ];
    for (case, delivery, input, expected) in table {
        assert_eq!(run(delivery, input), expected, "{case}");
    }
}

/// Inserts packets (number, timestamp, SSRC), and returns the outcomes that are not ordinary,
/// each with the index of its packet.
fn outcomes(
    delivery: Delivery,
    input: impl IntoIterator<Item = (u16, u32, u32)>,
) -> Vec<(usize, InsertOutcome)> {
    let now = Instant::now();
    let mut reorder_buffer = ReorderBuffer::new(delivery);
    let mut outcomes = Vec::new();
    for (index, (sequence, timestamp, ssrc)) in input.into_iter().enumerate() {
        let header = RtpHeader { timestamp, ssrc, ..packet(sequence).header };
        let packet = RtpPacket { header, ..packet(sequence) };
        let outcome = reorder_buffer.insert(now, packet.clone());
        if outcome != InsertOutcome::Accepted {
            outcomes.push((index, outcome));
        }
        let popped = std::iter::from_fn(|| reorder_buffer.pop(now + MAX_HOLD)).last();
        let is_kept = popped.is_some_and(|ordered| ordered.packet == packet);
        let is_dropped = matches!(outcome, InsertOutcome::Late | InsertOutcome::Suspect);
        assert_eq!(is_kept, !is_dropped, "packet {index} of {delivery:?}: {outcome:?}");
    }
    outcomes
}

#[test]
fn numbers_begin_again_without_a_restart_where_nothing_can_be_lost() {
    type Case = (&'static str, fn(u32) -> (u16, u32, u32), Vec<usize>, Vec<usize>);
    // Name, packet by index, and where it is renumbered over TCP, and restarted over UDP.
    let table: [Case; 5] = [
        ("at 90", |index| ((index % 90) as u16, index * 900, 1), vec![90, 180], vec![]),
        ("far off", |index| ((index / 99 * 9999 + index) as u16, index, 1), vec![99, 198], {
            vec![100, 199]
        }),
        ("another SSRC, the next number", |index| (index as u16, index, index), vec![], vec![]),
        (
            "another SSRC, another number",
            |index| ((index / 100 * 9999 + index) as u16, index, index / 100),
            vec![100],
            vec![100],
        ),
        (
            "another SSRC, another time",
            |index| (index as u16, index / 100 * 9_000_000, index / 100),
            vec![],
            vec![100],
        ),
    ];
    for (case, input, renumbered, restarted) in table {
        let found = |delivery, wanted| {
            let all = outcomes(delivery, (0..200).map(input)).into_iter();
            all.filter(|(_, outcome)| *outcome == wanted).map(|(at, _)| at).collect::<Vec<_>>()
        };
        let found_over_tcp = found(Delivery::Tcp, InsertOutcome::Renumbered);
        assert_eq!(found_over_tcp, renumbered, "{case}, over TCP");
        assert_eq!(found(Delivery::Udp, InsertOutcome::Restarted), restarted, "{case}");
    }
}

#[test]
fn numbers_that_are_used_again_over_udp_interrupt_the_stream_at_once() {
    for (case, count) in [("few", 40_u32), ("most", 100)] {
        let input = (0..300).map(|index| ((index % count) as u16, index * 900, 1));
        let all = outcomes(Delivery::Udp, input);
        let expected = (count..300).step_by(count as usize);
        let expected: Vec<_> =
            expected.map(|index| (index as usize, InsertOutcome::Interrupted)).collect();
        assert_eq!(all, expected, "{case}");
    }
}

#[test]
fn what_comes_twice_after_others_is_late_and_not_irregular() {
    for delivery in [Delivery::Tcp, Delivery::Udp] {
        let now = Instant::now();
        let mut reorder_buffer = ReorderBuffer::new(delivery);
        let mut output = Vec::new();
        for picture in 0..60_u16 {
            for sequence in (0..10).chain(0..10).map(|index| picture * 10 + index) {
                let payload = vec![sequence as u8; 20].into();
                let packet = RtpPacket { payload, ..packet(sequence) };
                reorder_buffer.insert(now, packet);
                output.extend(std::iter::from_fn(|| reorder_buffer.pop(now)));
            }
        }
        let numbers: Vec<_> = output.iter().map(|out| out.packet.header.sequence).collect();
        assert_eq!(numbers, (0..600).collect::<Vec<_>>(), "{delivery:?}");
    }
}

#[test]
fn a_missing_packet_is_given_up_in_time() {
    let now = Instant::now();
    let mut reorder_buffer = ReorderBuffer::new(Delivery::Udp);
    reorder_buffer.insert(now, packet(1));
    assert!(reorder_buffer.pop(now).is_some());
    reorder_buffer.insert(now, packet(3));
    assert_eq!(reorder_buffer.pop(now), None);
    let timeout = reorder_buffer.timeout().unwrap();
    assert_eq!(timeout, now + MAX_HOLD);
    assert_eq!(reorder_buffer.pop(timeout).unwrap().lost, 1);
    assert_eq!(reorder_buffer.timeout(), None);
}

#[test]
fn numbers_that_mean_nothing_are_ignored_and_believed_again_later() {
    type Case = (&'static str, fn(u16) -> u16);
    let table: [Case; 4] = [
        ("every second number", |index| index * 2),
        ("one number skipped after each third packet", |index| index + index / 3),
        ("one number for all", |_| 7),
        ("one number for three packets", |index| index / 3),
    ];
    for (case, number) in table {
        let mut packets: Vec<_> = (0..600)
            .map(|index| RtpPacket { payload: vec![index as u8].into(), ..packet(number(index)) })
            .collect();
        let last = number(599);
        packets.extend((1..200).map(|index| packet(last.wrapping_add(index))));
        // Then one is really lost.
        packets.push(packet(last.wrapping_add(202)));
        let now = Instant::now();
        let mut reorder_buffer = ReorderBuffer::new(Delivery::Udp);
        let mut output = Vec::new();
        for packet in packets {
            reorder_buffer.insert(now, packet);
            output.extend(std::iter::from_fn(|| reorder_buffer.pop(now + MAX_HOLD)));
        }
        let count = output.len();
        assert!(count > 800 - 150, "{case}: {count} packets");
        let late_half = &output[count - 500..count - 1];
        assert!(late_half.iter().all(|packet| packet.lost == 0), "{case}");
        assert_eq!(output.last().map(|packet| packet.lost), Some(2), "{case}");
    }
}

#[test]
fn packets_that_overtake_each_other_or_come_twice_keep_their_numbers() {
    let swapped = |index: u16| if index == 0 { 0 } else { ((index - 1) ^ 1) + 1 };
    let swapped: Vec<u16> = (0..301).map(swapped).collect();
    let twice: Vec<u16> = (0..300).map(|index| index / 2).collect();
    for (case, input, count) in [("swapped", swapped, 301), ("twice", twice, 150)] {
        let output = run(Delivery::Udp, &input);
        assert_eq!(output.len(), count, "{case}");
        assert!(output.windows(2).all(|two| two[1].0 == two[0].0 + 1), "{case}");
    }
}

proptest! {
    #[test]
    fn a_shuffled_stream_comes_out_in_order(
        start in any::<u16>(),
        // The delay of each packet, in packets.
        delays in prop::collection::vec(0_u16..6, 1..200),
    ) {
        let when = |(i, delay): (u16, &u16)| (i + if i == 0 { 0 } else { *delay }, i);
        let mut input: Vec<(u16, u16)> = (0..).zip(&delays).map(when).collect();
        input.sort_by_key(|&(when, index)| (when, index));
        let input: Vec<_> = input.iter().map(|&(_, i)| start.wrapping_add(i)).collect();
        let output = run(Delivery::Udp, &input);
        prop_assert_eq!(output.len(), delays.len());
        for (index, (sequence, lost)) in (0_u16..).zip(output) {
            prop_assert_eq!((sequence, lost), (start.wrapping_add(index), 0));
        }
    }

    #[test]
    fn nothing_is_held_beyond_the_bound(
        delivery in prop::sample::select(vec![Delivery::Tcp, Delivery::Udp]),
        input in prop::collection::vec((any::<u16>(), any::<u32>(), 0_u32..3), 0..300),
    ) {
        let now = Instant::now();
        let mut reorder_buffer = ReorderBuffer::new(delivery);
        for (sequence, timestamp, ssrc) in input {
            let timestamp = timestamp >> 12;
            let header = RtpHeader { timestamp, ssrc, ..packet(sequence).header };
            reorder_buffer.insert(now, RtpPacket { header, ..packet(sequence) });
            prop_assert!(reorder_buffer.seen.len() <= MAX_SEEN);
            while reorder_buffer.pop(now).is_some() {}
            prop_assert!(reorder_buffer.held.len() <= MAX_HELD);
        }
    }
}
