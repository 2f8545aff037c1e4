use super::*;

const AUDIO_RATE: u32 = 8_000;
const MS: Duration = Duration::from_millis(1);

/// A camera whose clock began at some time, with the timestamps of its tracks.
struct Camera {
    start: Instant,
    /// Time of its clock at the start, in seconds since 1900.
    epoch: u64,
    /// First timestamps of picture and sound.
    first: (u32, u32),
    /// Parts in a million by which the clock of the sound is fast.
    drift: u32,
    sync: LipSync,
}

impl Camera {
    fn new(epoch: u64, drift: u32) -> Self {
        let first = (0xffff_0000, 77);
        Self { start: Instant::now(), epoch, first, drift, sync: LipSync::default() }
    }

    fn timestamp(&self, track: MediaKind, at: Duration) -> u32 {
        let ticks = match track {
            MediaKind::Video => at.as_micros() * 9 / 100,
            MediaKind::Audio => {
                at.as_micros() * 8 / 1_000 * (1_000_000 + u128::from(self.drift)) / 1_000_000
            }
        };
        let first = if track == MediaKind::Video { self.first.0 } else { self.first.1 };
        first.wrapping_add(u32::try_from(ticks & 0xffff_ffff).unwrap())
    }

    fn report(&mut self, track: MediaKind, at: Duration) {
        let rate = if track == MediaKind::Video { 90_000 } else { AUDIO_RATE };
        let fraction = (u64::from(at.subsec_nanos()) << 32) / 1_000_000_000;
        let ntp = (self.epoch + at.as_secs()) << 32 | fraction;
        let timestamp = self.timestamp(track, at);
        self.sync.handle_report(track, ClockReport { ntp, timestamp }, rate);
    }

    /// Lets a picture arrive that was recorded at `at` and took `delay`.
    fn picture(&mut self, at: Duration, delay: Duration) {
        let timestamp = self.timestamp(MediaKind::Video, at);
        self.sync.handle_picture(self.start + at + delay, timestamp);
    }

    /// Returns when something of `at` was recorded, by our clock, relative to the start.
    fn time_of(&self, track: MediaKind, at: Duration) -> Option<Duration> {
        let reference = self.sync.reference(track)?;
        Some(reference.time_of(self.timestamp(track, at)) - self.start)
    }
}

fn difference(one: Duration, other: Duration) -> Duration {
    one.max(other) - one.min(other)
}

#[test]
fn sound_and_picture_of_one_moment_get_one_time_whatever_the_camera_thinks_it_is() {
    // The camera's clock, and delays of the network that take turns, in milliseconds.
    let table: [(u64, &[u32]); 5] = [
        (3_900_000_000, &[40]),
        (5, &[40]),
        (2_208_988_800, &[0, 80]),
        (u64::from(u32::MAX) - 30, &[40]),
        (1, &[10, 10, 10, 200]),
    ];
    for (epoch, delays) in table {
        let mut camera = Camera::new(epoch, 0);
        for second in 0..60 {
            let at = Duration::from_secs(second);
            camera.report(MediaKind::Video, at);
            camera.report(MediaKind::Audio, at + 333 * MS);
            for frame in 0..25 {
                let delay = delays[frame as usize % delays.len()];
                camera.picture(at + 40 * MS * frame, MS * delay);
            }
        }
        let at = Duration::from_secs(60);
        let video = camera.time_of(MediaKind::Video, at).unwrap();
        let audio = camera.time_of(MediaKind::Audio, at).unwrap();
        assert!(difference(video, audio) < MS, "{epoch}: {video:?} {audio:?}");
        let mean = MS * delays.iter().sum::<u32>() / u32::try_from(delays.len()).unwrap();
        assert!(difference(video, at + mean) < 30 * MS, "{epoch}: {video:?}, {mean:?}");
    }
}

#[test]
fn nothing_is_said_until_both_tracks_have_reports_and_pictures_arrive() {
    let mut camera = Camera::new(100, 0);
    let at = Duration::from_secs(1);
    let mut known = Vec::new();
    camera.picture(at, MS);
    known.push(camera.time_of(MediaKind::Video, at).is_some());
    camera.report(MediaKind::Video, at);
    camera.picture(at, MS);
    known.push(camera.time_of(MediaKind::Video, at).is_some());
    camera.report(MediaKind::Audio, at);
    known.push(camera.time_of(MediaKind::Video, at).is_some());
    known.push(camera.time_of(MediaKind::Audio, at).is_some());
    assert_eq!(known, [false, false, true, true]);
    let without = ClockReport { ntp: 0, timestamp: 5 };
    let mut sync = LipSync::default();
    sync.handle_report(MediaKind::Video, without, 90_000);
    sync.handle_picture(Instant::now(), 5);
    assert_eq!(sync.distance, None, "a sender without a clock writes zero");
}

#[test]
fn a_camera_that_sets_its_clock_is_in_sync_again_with_the_next_reports() {
    for step in [3_600_i64, -3_600, 1] {
        let mut camera = Camera::new(1_000_000, 0);
        for second in 0..10 {
            let at = Duration::from_secs(second);
            camera.report(MediaKind::Video, at);
            camera.report(MediaKind::Audio, at);
            camera.picture(at, 40 * MS);
        }
        camera.epoch = camera.epoch.checked_add_signed(step).unwrap();
        let at = Duration::from_secs(10);
        camera.report(MediaKind::Video, at);
        camera.picture(at, 40 * MS);
        assert_eq!(
            camera.time_of(MediaKind::Audio, at),
            None,
            "{step}: only one is of the new clock"
        );
        camera.report(MediaKind::Audio, at + 500 * MS);
        let video = camera.time_of(MediaKind::Video, at).unwrap();
        let audio = camera.time_of(MediaKind::Audio, at).unwrap();
        assert!(difference(video, audio) < MS, "{step}: {video:?} {audio:?}");
        assert!(difference(video, at + 40 * MS) < MS, "{step}: {video:?}");
    }
}

#[test]
fn sound_whose_clock_is_fast_stays_in_sync_for_a_day() {
    for drift in [0, 100, 1_000] {
        let mut camera = Camera::new(3_900_000_000, drift);
        let mut worst = Duration::ZERO;
        for second in 0..24 * 3_600 {
            let at = Duration::from_secs(second);
            if second % 5 == 0 {
                camera.report(MediaKind::Video, at);
                camera.report(MediaKind::Audio, at);
            }
            camera.picture(at, 40 * MS);
            let video = camera.time_of(MediaKind::Video, at).unwrap();
            let audio = camera.time_of(MediaKind::Audio, at).unwrap();
            worst = worst.max(difference(video, audio));
        }
        // Between two reports a clock that is fast by 0.1 % is off by 5 ms.
        assert!(worst <= 6 * MS, "{drift}: {worst:?}");
    }
}
