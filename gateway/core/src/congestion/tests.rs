use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::rtp::transport_number;

const MS: Duration = Duration::from_millis(1);
const ID: u8 = 3;

/// A path with a queue, in steps of a millisecond.
#[derive(Debug, Clone)]
struct Path {
    /// Rate in bits per second.
    rate: u64,
    /// Its round trip.
    delay: Duration,
    /// Limit of its queue.
    queue: Duration,
    /// Part of the packets that is lost at random, in percent.
    lost: u32,
    /// Time in each second for which nothing is delivered.
    pause: Duration,
    /// Parts per million by which the viewer's clock is too fast.
    drift: u64,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            rate: 100_000_000,
            delay: MS * 20,
            queue: MS * 500,
            lost: 0,
            pause: Duration::ZERO,
            drift: 0,
        }
    }
}

/// A sender, a viewer that reports every 100 ms, and a path between them.
struct Case {
    start: Instant,
    now: Instant,
    congestion: Congestion,
    path: Path,
    rng: StdRng,
    /// Time at which the queue of the path is empty.
    free: Instant,
    on_the_way: Vec<(Instant, u16)>,
    arrived: Vec<(u16, Instant)>,
    reported: u16,
    sent: u16,
    bytes_sent: u64,
}

impl Case {
    fn new(path: Path) -> Self {
        let now = Instant::now();
        Self {
            start: now,
            now,
            congestion: Congestion::new(now, Some(ID), true),
            path,
            rng: StdRng::seed_from_u64(1),
            free: now,
            on_the_way: Vec::new(),
            arrived: Vec::new(),
            reported: 0,
            sent: 0,
            bytes_sent: 0,
        }
    }

    fn send(&mut self, bytes: usize) {
        let mut packet = vec![0; bytes.max(20)];
        packet[0] = 0x90;
        packet[12..17].copy_from_slice(&[0xbe, 0xde, 0, 1, ID << 4 | 1]);
        self.congestion.stamp(self.now, &mut packet);
        let number = transport_number(&packet, ID).unwrap();
        assert_eq!(number, self.sent, "numbers have no gap");
        self.sent = self.sent.wrapping_add(1);
        self.bytes_sent += bytes as u64;
        let into = self.now - self.start;
        let second = Duration::from_millis(into.as_millis() as u64 % 1000);
        let free = self.free.max(self.now);
        let free = free.max(self.now + self.path.pause.saturating_sub(second));
        let is_lost = self.rng.random_range(0..100) < self.path.lost;
        if is_lost || free - self.now > self.path.queue.max(self.path.pause) {
            return;
        }
        let takes = (bytes + OVERHEAD) as u64 * 8_000_000_000 / self.path.rate;
        self.free = free + Duration::from_nanos(takes);
        self.on_the_way.push((self.free + self.path.delay, number));
    }

    /// Returns a time on the viewer's clock, in ticks.
    fn ticks(&self, at: Instant) -> i64 {
        let micros = (at - self.start).as_micros() as u64;
        ((micros + micros * self.path.drift / 1_000_000) / 250 + 7_000_000) as i64
    }

    /// Lets a millisecond pass. Returns true with a report.
    fn step(&mut self) -> bool {
        self.now += MS;
        let now = self.now;
        self.arrived.extend(
            self.on_the_way.extract_if(.., |(at, _)| *at <= now).map(|(at, number)| (number, at)),
        );
        if !(now - self.start).as_millis().is_multiple_of(100) || self.arrived.is_empty() {
            return false;
        }
        let last = self.arrived.iter().map(|(number, _)| number.wrapping_sub(self.reported));
        let count = last.max().unwrap() + 1;
        let arrival = |ahead: u16| {
            let number = self.reported.wrapping_add(ahead);
            let (_, at) = self.arrived.iter().find(|(arrived, _)| *arrived == number)?;
            Some(self.ticks(*at))
        };
        let arrivals = (0..count).map(arrival).collect();
        let feedback = TransportFeedback { first: self.reported, count: 0, arrivals };
        self.reported = self.reported.wrapping_add(count);
        self.arrived.clear();
        self.congestion.handle_feedback(now, &[Packet::TransportFeedback(feedback)])
    }

    /// Sends a camera's stream of so many kbit/s, 25 pictures a second, whose key frame every two
    /// seconds has `key` bytes. Returns the time at which the path first carried less than that.
    fn play(&mut self, kilobits: u64, key: usize, time: Duration) -> Option<Duration> {
        let begin = self.now;
        let group = (kilobits * 1000 / 8 * 2) as usize;
        let delta = (group - key) / 49;
        let mut found = None;
        while self.now < begin + time {
            let ms = (self.now - self.start).as_millis();
            if ms.is_multiple_of(40) {
                let mut left = if ms.is_multiple_of(2000) { key } else { delta };
                while left > 0 {
                    self.send(left.min(1200));
                    left = left.saturating_sub(1200);
                }
            }
            self.step();
            let line = self.congestion.line();
            let needed = kilobits * 1050;
            if line.is_congested && line.estimate.is_some_and(|estimate| estimate < needed) {
                found = found.or(Some(self.now - begin));
            }
        }
        found
    }
}

#[test]
fn a_path_that_carries_the_stream_is_never_taken_for_one_that_does_not() {
    let wide = Path::default();
    for (case, path, key) in [
        ("a wide path", wide.clone(), 100_000),
        ("key frames that fill its queue", Path { rate: 10_000_000, ..wide.clone() }, 150_000),
        ("hardly more than the stream", Path { rate: 5_000_000, ..wide.clone() }, 60_000),
        ("a tenth is lost", Path { lost: 10, ..wide.clone() }, 100_000),
        ("a radio that pauses", Path { pause: MS * 150, ..wide.clone() }, 60_000),
        ("a clock that is too fast", Path { drift: 300, ..wide.clone() }, 60_000),
        ("far away", Path { delay: MS * 300, ..wide.clone() }, 60_000),
    ] {
        let mut play = Case::new(path);
        let found = play.play(4000, key, Duration::from_secs(60));
        assert_eq!(found, None, "{case}: {:?}", play.congestion.line());
    }
}

#[test]
fn another_path_with_a_longer_delay_is_no_queue() {
    let mut case = Case::new(Path::default());
    assert_eq!(case.play(4000, 60_000, Duration::from_secs(10)), None);
    case.path.delay += MS * 200;
    assert_eq!(case.play(4000, 60_000, Duration::from_secs(20)), None);
    let queue = case.congestion.line().queue;
    assert!(queue < MS * 10, "the new delay is that of the path: {queue:?}");
}

#[test]
fn a_path_that_carries_less_is_noticed_soon_and_measured() {
    let wide = Path::default();
    // Kilobits per second from the tenth second on, the time until it is noticed in milliseconds,
    // and the kilobits per second that are estimated then.
    for (case, path, latest, least, most) in [
        ("a quarter", Path { rate: 1_000_000, ..wide.clone() }, 400, 850, 1100),
        ("three quarters", Path { rate: 3_000_000, ..wide.clone() }, 1000, 2500, 3100),
        ("a bit less", Path { rate: 3_600_000, ..wide.clone() }, 3000, 3000, 3700),
        (
            "with a short queue",
            Path { rate: 1_000_000, queue: MS * 80, ..wide.clone() },
            1200,
            800,
            1200,
        ),
        ("a policer", Path { rate: 2_000_000, queue: MS * 10, ..wide.clone() }, 1500, 500, 2100),
    ] {
        let mut play = Case::new(wide.clone());
        assert_eq!(play.play(4000, 60_000, Duration::from_secs(10)), None, "{case}");
        play.path = path;
        let begin = play.now;
        let mut found = None;
        while found.is_none() && play.now < begin + Duration::from_secs(10) {
            found = play.play(4000, 60_000, MS).map(|_| play.now - begin);
        }
        let took = found.unwrap_or_else(|| panic!("{case}: {:?}", play.congestion.line()));
        assert!(took <= MS * latest, "{case}: {took:?}");
        let estimate = play.congestion.line().estimate.unwrap() / 1000;
        assert!((least..=most).contains(&estimate), "{case}: {estimate} kbit/s");
    }
}

#[test]
fn a_viewer_without_numbers_is_judged_by_its_reports() {
    let now = Instant::now();
    let report = |fraction_lost| ReceptionReport {
        fraction_lost,
        lost: 0,
        jitter: Duration::ZERO,
        round_trip: None,
        highest_sequence: 0,
    };
    for (case, reports, expected) in [
        ("no loss", &[0, 0][..], false),
        ("a bad second", &[200, 0], false),
        ("a radio", &[25, 25, 25], false),
        ("two bad seconds", &[0, 80, 90], true),
        ("over", &[80, 90, 10], false),
    ] {
        let mut congestion = Congestion::new(now, None, true);
        for fraction in reports {
            assert!(congestion.handle_report(now, &report(*fraction), Sent::default()), "{case}");
        }
        assert_eq!(congestion.line().is_congested, expected, "{case}");
        assert!(!congestion.line().is_detailed && !congestion.line().can_be_probed);
        let mut packet = vec![0x90; 40];
        let before = packet.clone();
        congestion.stamp(now, &mut packet);
        assert_eq!(packet, before, "nothing was negotiated");
        congestion.set_goal(now, Some(1_000_000), now);
        assert!(!congestion.wants_padding(now) && congestion.poll_timeout().is_none());
    }
}

#[test]
fn reports_on_what_was_never_sent_change_nothing() {
    let now = Instant::now();
    let mut congestion = Congestion::new(now, Some(ID), true);
    let mut rng = StdRng::seed_from_u64(1);
    for step in 0..2000_u32 {
        let first = rng.random();
        let arrivals = (0..rng.random_range(0..300)).map(|_| {
            rng.random_bool(0.8).then(|| rng.random_range(-1_000_000..i64::from(u32::MAX)))
        });
        let feedback = TransportFeedback { first, count: 0, arrivals: arrivals.collect() };
        let at = now + MS * step;
        congestion.handle_feedback(at, &[Packet::TransportFeedback(feedback)]);
        assert_eq!(congestion.line().estimate, None);
        assert!(!congestion.line().is_congested);
    }
}

#[test]
fn a_path_of_which_nothing_is_sent_any_more_is_free() {
    let now = Instant::now();
    let bad = ReceptionReport {
        fraction_lost: 200,
        lost: 0,
        jitter: Duration::ZERO,
        round_trip: None,
        highest_sequence: 0,
    };
    let mut congestion = Congestion::new(now, None, false);
    for second in 1..10_u64 {
        let sent = Sent { packets: second * 400, again: 0 };
        congestion.handle_report(now + Duration::from_secs(second), &bad, sent);
    }
    let line = congestion.line();
    assert!(line.is_congested && line.is_tripped && line.is_losing && !line.is_clear, "{line:?}");
    congestion.handle_pause();
    let line = congestion.line();
    assert!(!line.is_congested && !line.is_tripped && !line.is_losing && line.is_clear, "{line:?}");
}

#[test]
fn a_path_whose_viewer_takes_no_packet_again_is_not_probed() {
    for takes_padding in [true, false] {
        let mut case = Case::new(Path::default());
        case.congestion = Congestion::new(case.now, Some(ID), takes_padding);
        case.play(500, 12_000, Duration::from_secs(4));
        let line = case.congestion.line();
        assert_eq!((line.is_detailed, line.can_be_probed), (true, takes_padding));
        case.congestion.set_goal(case.now, Some(5_000_000), case.start);
        assert_eq!(case.congestion.wants_padding(case.now), takes_padding);
    }
}

#[test]
fn a_viewer_that_no_longer_tells_of_each_packet_is_judged_by_its_reports() {
    let report = |fraction_lost, highest_sequence| ReceptionReport {
        fraction_lost,
        lost: 0,
        jitter: Duration::ZERO,
        round_trip: None,
        highest_sequence,
    };
    // Seconds for which packets are sent after the last feedback, part that is lost of them by the
    // reports in 256ths, and whether each packet counts as told, and the line as one that loses.
    for (case, seconds, lost, is_detailed, is_losing) in [
        ("a feedback that is late", 2, 150, true, true),
        ("no feedback any more", 8, 150, false, true),
        ("no feedback and nothing lost", 8, 0, false, false),
        ("nothing is sent", 0, 0, true, false),
    ] {
        let mut play = Case::new(Path::default());
        play.play(500, 12_000, Duration::from_secs(4));
        assert!(play.congestion.line().is_detailed, "{case}");
        for second in 0..seconds.max(8) {
            play.now += Duration::from_secs(1);
            let packets = if second < seconds { 400 } else { 0 };
            (0..packets).for_each(|_| play.send(1200));
            if second < seconds || seconds == 0 {
                let sent = Sent { packets: packets * (second + 1), again: 0 };
                let number = u32::try_from(second).unwrap();
                play.congestion.handle_report(play.now, &report(lost, number), sent);
            }
        }
        let line = play.congestion.line();
        assert_eq!((line.is_detailed, line.is_losing), (is_detailed, is_losing), "{case}");
        assert_eq!(line.can_be_probed, is_detailed, "{case}");
        let is_tripped = line.is_tripped && !line.is_detailed;
        assert_eq!(is_tripped, seconds == 8 && lost > 0, "{case}: {line:?}");
        play.on_the_way.clear();
        play.arrived.clear();
        play.reported = play.sent;
        play.play(500, 12_000, Duration::from_secs(4));
        let line = play.congestion.line();
        assert!(line.is_detailed && line.can_be_probed, "{case}: it tells again");
    }
}
