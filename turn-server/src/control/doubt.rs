//! The log line about credentials whose end suggests that two clocks differ.

use std::sync::atomic::{AtomicU64, Ordering};

use porthole_turn_proto::server::Doubt;

/// Shortest time between two lines, whichever worker writes them, in seconds.
const INTERVAL_S: u64 = 600;

/// The time before which no line is written, in seconds since 1970.
static QUIET_UNTIL_S: AtomicU64 = AtomicU64::new(0);

/// Logs credentials that end at `expiry_s`, seen at `now_s`, both in seconds since 1970: one line
/// in ten minutes, without the user.
pub(crate) fn log(doubt: Doubt, expiry_s: u64, now_s: u64) {
    if is_due(&QUIET_UNTIL_S, now_s) {
        tracing::warn!("{}", sentence(doubt, expiry_s, now_s));
    }
}

fn is_due(quiet_until_s: &AtomicU64, now_s: u64) -> bool {
    let until_s = quiet_until_s.load(Ordering::Relaxed);
    // A clock that was set back must not silence the lines for longer than the interval.
    let due = until_s <= now_s || until_s > now_s + INTERVAL_S;
    let next_s = now_s + INTERVAL_S;
    let exchanged = || {
        let order = Ordering::Relaxed;
        quiet_until_s.compare_exchange(until_s, next_s, order, order).is_ok()
    };
    due && exchanged()
}

fn sentence(doubt: Doubt, expiry_s: u64, now_s: u64) -> String {
    let (end, now) = (utc(expiry_s), utc(now_s));
    let (what, span) = match doubt {
        Doubt::Expired => ("expired", format!("{} ago", span(now_s.saturating_sub(expiry_s)))),
        Doubt::FarFuture => ("end only", format!("in {}", span(expiry_s.saturating_sub(now_s)))),
    };
    let happened = match doubt {
        Doubt::Expired => "refused",
        Doubt::FarFuture => "accepted",
    };
    format!(
        "time-limited credentials that {what} {span}, at {end}, were {happened}; by this server's \
         clock it is {now}: compare it with the clock of the signaling server"
    )
}

/// Returns a span of time in its largest fitting unit.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Returns a time in seconds since 1970 as date and time in UTC. What does not fit the calendar,
/// after the year 9999, is returned as a number.
fn utc(unix_s: u64) -> String {
    /// The end of the year 9999.
    const CALENDAR_END_S: u64 = 253_402_300_800;
    if unix_s >= CALENDAR_END_S {
        return format!("{unix_s} s after 1970");
    }
    let (mut days, time) = (unix_s / 86_400, unix_s % 86_400);
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hours, minutes, seconds) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year}-{month:02}-{:02} {hours:02}:{minutes:02}:{seconds:02}Z", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_both_times() {
        // date -u -d @1700000000
        let now_s = 1_700_000_000;
        for (doubt, expiry_s, beginning) in [
            (
                Doubt::Expired,
                now_s - 660,
                "time-limited credentials that expired 11 min ago, at 2023-11-14 22:02:20Z, were \
                 refused; by this server's clock it is 2023-11-14 22:13:20Z: ",
            ),
            (
                Doubt::FarFuture,
                now_s + 3 * 86_400,
                "time-limited credentials that end only in 3 days, at 2023-11-17 22:13:20Z, were \
                 accepted; by this server's clock it is 2023-11-14 22:13:20Z: ",
            ),
        ] {
            let line = sentence(doubt, expiry_s, now_s);
            assert!(line.starts_with(beginning), "{line}");
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (unix_s, text) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_399, "2000-02-28 23:59:59Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (4_107_542_400, "2100-03-01 00:00:00Z"),
            (1_798_761_599, "2026-12-31 23:59:59Z"),
            (253_402_300_799, "9999-12-31 23:59:59Z"),
            (253_402_300_800, "253402300800 s after 1970"),
            (u64::MAX, "18446744073709551615 s after 1970"),
        ] {
            assert_eq!(utc(unix_s), text);
        }
        for (seconds, text) in
            [(119, "119 s"), (7199, "119 min"), (7200, "2 h"), (200_000, "2 days")]
        {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn there_is_one_line_in_ten_minutes_even_after_the_clock_was_set() {
        let quiet = AtomicU64::new(0);
        for (now_s, due) in
            [(10_000, true), (10_000, false), (10_599, false), (10_600, true), (9_000, true)]
        {
            assert_eq!(is_due(&quiet, now_s), due, "{now_s}");
        }
    }
}
