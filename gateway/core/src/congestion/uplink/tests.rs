use super::*;

const RATES: Rates = Rates { main: 4_000_000, sub: 500_000 };

fn shown(rung: Rung) -> Shown {
    Shown { rung, rates: RATES, is_fixed: false }
}

/// Returns a viewer that has chosen a stream of so many kbit/s.
fn fixed(kilobits: u64, rung: Rung) -> Shown {
    let rate = kilobits * 1000;
    Shown { rung, rates: Rates { main: rate, sub: rate }, is_fixed: true }
}

/// Returns what a cap leaves for each of these viewers, who came in this order; in kbit/s.
fn left(cap: u64, viewers: &[Shown]) -> Vec<u64> {
    let mut uplink = Uplink::new(Some(cap * 1000));
    for (key, shown) in viewers.iter().enumerate() {
        uplink.show(&key, *shown);
    }
    (0..viewers.len()).map(|key| uplink.left(&key).unwrap() / 1000).collect()
}

#[test]
fn the_main_stream_is_for_as_many_as_fit_and_the_sub_stream_for_all() {
    use Rung::{KeyFrames, Main, Still, Sub};
    // A place for the sub stream has 575 kbit/s, one for the main stream 4200 in all; where that is
    // too much, 500 and 4000 for those who see it.
    type Case<'a> = (&'a str, u64, &'a [Rung], &'a [u64]);
    let table: [Case<'_>; 11] = [
        ("both fit", 20_000, &[Main, Main], &[15_800, 15_800]),
        ("one fits", 6_000, &[Main, Main], &[5_425, 1_800]),
        ("the later one has it", 6_000, &[Sub, Main], &[1_800, 5_425]),
        ("one just fits", 4_575, &[Main, Sub], &[4_000, 575]),
        ("none fits", 4_574, &[Main, Sub], &[3_999, 4_574 - 575]),
        ("both would just fit for themselves", 4_650, &[Main, Main], &[4_075, 650]),
        ("one sub stream", 1_000, &[Main, Main], &[900, 1_000 - 575 - 100 + 100]),
        ("who comes takes nothing of it", 1_200, &[Sub, Sub, Main], &[625, 625, 50]),
        ("not even key frames for all", 250, &[KeyFrames, Still, KeyFrames], &[150, 50, 150]),
        ("just the sub stream", 500, &[Sub, Sub], &[500, 0]),
        ("nobody is stopped for what stands", 700, &[Still, Sub], &[125, 600]),
    ];
    for (case, cap, rungs, expected) in table {
        let viewers: Vec<_> = rungs.iter().map(|rung| shown(*rung)).collect();
        assert_eq!(left(cap, &viewers), expected, "{case}");
    }
}

#[test]
fn chosen_streams_have_their_place_after_the_sub_streams_and_none_while_they_stand() {
    use Rung::{Main, Still, Sub};
    type Case<'a> = (&'a str, &'a [Shown], &'a [u64]);
    let table: [Case<'_>; 9] = [
        ("one that just fits", &[fixed(8_000, Main)], &[8_000]),
        ("one whose rate has moved", &[fixed(8_200, Main), fixed(100, Main)], &[7_900, 210]),
        ("one that does not fit", &[fixed(9_000, Main)], &[8_000]),
        ("a sub stream goes before it", &[fixed(8_000, Main), shown(Sub)], &[7_425, 8_000]),
        ("a main stream does not", &[shown(Main), fixed(5_000, Main)], &[3_000, 7_425]),
        ("the earlier of two", &[fixed(5_000, Main), fixed(4_000, Main)], &[8_000, 3_000]),
        ("unless it stands", &[fixed(5_000, Still), fixed(4_000, Main)], &[4_000, 8_000]),
        ("it may return if both fit", &[fixed(4_000, Still), shown(Main)], &[4_000, 8_000]),
        ("two that stand", &[fixed(5_000, Still), fixed(5_000, Still)], &[8_000, 8_000]),
    ];
    for (case, viewers, expected) in table {
        assert_eq!(left(8_000, viewers), expected, "{case}");
    }
}

#[test]
fn what_all_see_together_stays_below_the_cap() {
    use super::super::{Decision, Ladder, Line};
    use std::time::{Duration, Instant};
    let path = Line {
        estimate: Some(100_000_000),
        is_clear: true,
        is_detailed: true,
        can_be_probed: true,
        ..Line::default()
    };
    // The cap in kbit/s, those that follow and those that have chosen the sub stream; how many of
    // the first see the main stream, the sub stream, its key frames and nothing at last.
    for (cap, following, chosen, expected) in [
        (100_000, 20, 0, [20, 0, 0, 0]),
        (30_000, 20, 0, [5, 15, 0, 0]),
        (8_000, 20, 2, [0, 13, 5, 2]),
        (4_650, 2, 0, [1, 1, 0, 0]),
        (1_000, 20, 0, [0, 1, 4, 15]),
        (1_000, 20, 4, [0, 1, 4, 15]),
        (300, 5, 1, [0, 0, 3, 2]),
        (100, 3, 0, [0, 0, 1, 2]),
    ] {
        let mut now = Instant::now();
        let mut uplink = Uplink::new(Some(cap * 1000));
        let mut viewers: Vec<_> = (0..following + chosen)
            .map(|key| match key < following {
                true => (Ladder::new(now), RATES),
                false => (Ladder::without_others(now), Rates { main: 500_000, sub: 500_000 }),
            })
            .collect();
        let show = |uplink: &mut Uplink<usize>, key, (ladder, rates): &(Ladder, Rates)| {
            let (rung, is_fixed) = (ladder.rung(), ladder.has_no_other());
            uplink.show(&key, Shown { rung, rates: *rates, is_fixed });
        };
        for (key, viewer) in viewers.iter().enumerate() {
            show(&mut uplink, key, viewer);
        }
        for second in 0..120 {
            now += Duration::from_secs(1);
            for (key, viewer) in viewers.iter_mut().enumerate() {
                let decision = viewer.0.decide(now, &path, uplink.left(&key), &viewer.1);
                if let Decision::Down(rung) | Decision::Up(rung) = decision {
                    viewer.0.handle_change(now, rung);
                    show(&mut uplink, key, viewer);
                }
            }
            let sum: u64 = viewers.iter().map(|(ladder, rates)| rates.of(ladder.rung())).sum();
            // From the main stream to nothing it takes three steps.
            assert!(second < 4 || sum <= cap * 1000, "{cap} kbit/s: {sum} bit/s at {second} s");
        }
        let seen = |rung| viewers[..following].iter().filter(|it| it.0.rung() == rung).count();
        let found = [Rung::Main, Rung::Sub, Rung::KeyFrames, Rung::Still].map(seen);
        assert_eq!(found, expected, "{cap} kbit/s, {following} and {chosen}");
    }
}

#[test]
fn without_a_cap_nobody_is_limited_and_who_leaves_makes_room() {
    let mut uplink = Uplink::new(None);
    uplink.show(&1, shown(Rung::Main));
    assert_eq!(uplink.left(&1), None);
    let mut uplink = Uplink::new(Some(6_000_000));
    for key in [1, 2] {
        uplink.show(&key, shown(Rung::Main));
    }
    assert_eq!(uplink.left(&2), Some(1_800_000));
    assert_eq!(uplink.left(&3), None, "it is in the local network");
    uplink.remove(&1);
    assert_eq!(uplink.left(&2), Some(6_000_000));
}
