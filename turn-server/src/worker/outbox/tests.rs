use super::*;

/// Returns what was sent: for each call the destination and the lengths of the datagrams.
fn drained(outbox: &mut Outbox<u8>, memory: &[u8]) -> Vec<(u8, Vec<usize>)> {
    let mut sent = Vec::new();
    outbox.drain(memory, |runs| {
        for (to, what) in runs {
            let len: usize = what.parts.iter().map(|part| part.len()).sum();
            let mut lens = vec![what.segment; what.count];
            if let Some(last) = lens.last_mut() {
                *last = len - what.segment * (what.count - 1);
            }
            sent.push((*to, lens));
        }
    });
    sent
}

#[test]
fn a_run_has_one_destination_and_length_and_ends_with_a_shorter_datagram() {
    type Case<'a> = (&'a str, &'a [(u8, usize)], &'a [(u8, &'a [usize])]);
    let cases: &[Case<'_>] = &[
        ("nothing", &[], &[]),
        ("equal", &[(1, 9), (1, 9), (1, 9)], &[(1, &[9, 9, 9])]),
        ("a shorter last", &[(1, 9), (1, 9), (1, 4), (1, 4)], &[(1, &[9, 9, 4]), (1, &[4])]),
        ("a longer one", &[(1, 4), (1, 9), (1, 4)], &[(1, &[4]), (1, &[9, 4])]),
        ("empty ones", &[(1, 9), (1, 0), (1, 9)], &[(1, &[9]), (1, &[0]), (1, &[9])]),
        ("alternating", &[(1, 9), (2, 9), (1, 9), (2, 9)], &[(1, &[9, 9]), (2, &[9, 9])]),
        ("too long", &[(1, 1473), (1, 1473)], &[(1, &[1473]), (1, &[1473])]),
    ];
    let memory = vec![0; 4096];
    for (what, pushed, expected) in cases {
        let mut outbox = Outbox::new(true);
        for (to, len) in *pushed {
            outbox.push(*to, 0..*len, 0);
        }
        let expected: Vec<_> = expected.iter().map(|(to, lens)| (*to, lens.to_vec())).collect();
        assert_eq!(drained(&mut outbox, &memory), expected, "{what}");
        assert_eq!(drained(&mut outbox, &memory), [], "{what}: sent twice");
    }
}

#[test]
fn a_run_is_bounded_as_the_system_bounds_a_send() {
    let memory = vec![0; 4096];
    for (len, padding) in [(1, 0), (1, 3), (1400, 0)] {
        let mut outbox = Outbox::new(true);
        for _ in 0..1000 {
            outbox.push_with_header(1, &[1, 2, 3, 4], 0..len, padding);
        }
        let sent = drained(&mut outbox, &memory);
        let total = 4 + len + padding;
        assert_eq!(sent.iter().map(|(_, lens)| lens.len()).sum::<usize>(), 1000);
        for (_, lens) in sent {
            assert!(lens.len() <= MAX_SEGMENTS && lens.iter().sum::<usize>() <= MAX_SEND);
            assert!(lens.iter().all(|found| *found == total));
        }
    }
}

#[test]
fn without_segmentation_each_datagram_is_sent_alone() {
    let mut outbox = Outbox::new(false);
    (0..3).for_each(|_| outbox.push(1, 0..9, 0));
    let alone = (1, vec![9]);
    assert_eq!(drained(&mut outbox, &[0; 9]), [alone.clone(), alone.clone(), alone]);
}

#[test]
fn the_parts_of_a_datagram_are_sent_in_order() {
    let mut outbox = Outbox::new(true);
    outbox.push_with_header(1, b"head", 2..5, 1);
    outbox.push(1, 0..6, 2);
    let mut bytes = Vec::new();
    outbox.drain(b"abcdef", |runs| {
        let parts = runs.iter().flat_map(|(_, what)| what.parts);
        parts.for_each(|part| bytes.extend_from_slice(part));
    });
    assert_eq!(bytes, b"headcde\0abcdef\0\0");
}
