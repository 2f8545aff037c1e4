//! The clock of a camera, and dates as SOAP writes them.

use super::xml::Element;

/// Seconds of a day, as POSIX counts them.
const DAY: i64 = 86_400;

/// Seconds of an hour.
const HOUR: i64 = 3600;

/// Year that a clock shows which was never set.
const UNSET_YEAR: i64 = 1970;

/// Last year that is believed; later ones are noise.
const LAST_YEAR: i64 = 2200;

/// The time of a camera's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CameraTime {
    /// Seconds since 1970, UTC.
    pub(super) unix_s: i64,
    /// False if the clock shows the year 1970.
    pub(super) is_set: bool,
}

/// Reads the answer to `GetSystemDateAndTime` (ONVIF Core §8.3.4). A device may leave out UTC, or
/// fill in zeros; then its local time and its time zone are used.
pub(super) fn read(root: &Element) -> Option<CameraTime> {
    let utc = root.find("UTCDateTime").and_then(date_time);
    if let Some((unix_s, year)) = utc
        && year > UNSET_YEAR
    {
        return Some(CameraTime { unix_s, is_set: true });
    }
    let local = root.find("LocalDateTime").and_then(date_time);
    if let Some((local_s, year)) = local
        && year > UNSET_YEAR
    {
        let zone = root.text_of("TZ").map_or(0, west_of_utc);
        let is_summer = root.text_of("DaylightSavings").is_some_and(|text| text == "true");
        let unix_s = local_s + zone - if is_summer { HOUR } else { 0 };
        return Some(CameraTime { unix_s, is_set: true });
    }
    utc.or(local).map(|(unix_s, _)| CameraTime { unix_s, is_set: false })
}

/// Returns the seconds since 1970 and the year of a date with its time.
fn date_time(element: &Element) -> Option<(i64, i64)> {
    let number = |name: &str| element.number(name).map(i64::from);
    let (year, month, day) = (number("Year")?, number("Month")?, number("Day")?);
    let (hour, minute) = (number("Hour")?, number("Minute")?);
    // A leap second is the first one of the next minute.
    let second = number("Second").unwrap_or(0);
    let is_valid = (UNSET_YEAR..=LAST_YEAR).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    let seconds = hour * HOUR + minute * 60 + second;
    is_valid.then(|| (days_since_1970(year, month, day) * DAY + seconds, year))
}

/// Returns the days from 1970-01-01 to a date of the Gregorian calendar. The year begins in March,
/// so that the leap day is its last one.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let month = (month + 9) % 12;
    let days_before_month = (153 * month + 2) / 5;
    year * 365 + year / 4 - year / 100 + year / 400 + days_before_month + day - 1 - 719_468
}

/// Returns year, month and day of a number of days since 1970-01-01.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day = days.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day_of_month)
}

/// Returns the seconds that a time zone is behind UTC: in POSIX's form `CET-1CEST` the number is
/// west of UTC, in `GMT+08:00` it is east of it.
fn west_of_utc(zone: &str) -> i64 {
    let start = zone.find(['+', '-']).or_else(|| zone.find(|c: char| c.is_ascii_digit()));
    let Some((name, offset)) = start.map(|at| zone.split_at(at)) else { return 0 };
    let is_negative = offset.starts_with('-');
    let digits = offset.trim_start_matches(['+', '-']);
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(digits.len());
    let mut parts = digits.split_at(end).0.split(':').map(|part| part.parse::<i64>().unwrap_or(0));
    let mut part = || parts.next().unwrap_or(0).clamp(0, 59);
    let seconds = part().min(24) * HOUR + part() * 60 + part();
    let is_east = matches!(name.trim(), "GMT" | "UTC");
    if is_negative == is_east { seconds } else { -seconds }
}

/// Reads a time as `xsd:dateTime`: seconds since 1970, without their fraction. Without a time zone
/// it is UTC.
pub(super) fn parse(text: &str) -> Option<i64> {
    let (date, time) = text.trim().split_once(['T', ' '])?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let zone_at = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (time, zone) = time.split_at(zone_at);
    let mut time = time.splitn(3, ':').map(|part| part.split('.').next()?.parse::<i64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let is_valid = (UNSET_YEAR..=LAST_YEAR).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..=24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    let east = match zone.split_at_checked(1) {
        Some((sign, offset)) if sign != "Z" => {
            let (hours, minutes) = offset.split_once(':')?;
            let offset = hours.parse::<i64>().ok()? * HOUR + minutes.parse::<i64>().ok()? * 60;
            if sign == "-" { -offset } else { offset }
        }
        _ => 0,
    };
    let seconds = hour * HOUR + minute * 60 + second - east.clamp(-DAY, DAY);
    is_valid.then(|| days_since_1970(year, month, day) * DAY + seconds)
}

/// The parts of a time in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
}

/// Returns the parts of a time in UTC.
pub(super) fn parts(unix_s: i64) -> Parts {
    let (days, seconds) = (unix_s.div_euclid(DAY), unix_s.rem_euclid(DAY));
    let (year, month, day) = date_of(days);
    let (hour, minute, second) = (seconds / HOUR, seconds / 60 % 60, seconds % 60);
    Parts { year, month, day, hour, minute, second }
}

/// Writes a time as `xsd:dateTime` in UTC.
pub(super) fn format(unix_s: i64) -> String {
    let Parts { year, month, day, hour, minute, second } = parts(unix_s);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(name: &str, date: (u32, u32, u32), time: (u32, u32, u32)) -> String {
        let ((year, month, day), (hour, minute, second)) = (date, time);
        format!(
            "<{name}><Time><Hour>{hour}</Hour><Minute>{minute}</Minute><Second>{second}</Second>\
             </Time><Date><Year>{year}</Year><Month>{month}</Month><Day>{day}</Day></Date></{name}>"
        )
    }

    #[test]
    fn the_clock_of_a_camera_is_read_from_what_it_fills_in() {
        let utc = |at, time| date("UTCDateTime", at, time);
        let local = |at, time| date("LocalDateTime", at, time);
        let noon = (12, 0, 0);
        let set = |unix_s| Some((unix_s, true));
        for (name, document, expected) in [
            ("UTC", utc((2026, 11, 28), noon), set(1_795_867_200)),
            ("the leap day", utc((2024, 2, 29), (23, 59, 60)), set(1_709_251_200)),
            (
                "local time only",
                format!("<TZ>CET-1CEST,M3.5.0,M10.5.0/3</TZ>{}", local((2026, 11, 28), noon)),
                set(1_795_863_600),
            ),
            (
                "local summer time",
                format!(
                    "<DaylightSavings>true</DaylightSavings><TZ>EST5EDT</TZ>{}",
                    local((2026, 7, 1), noon)
                ),
                set(1_782_921_600),
            ),
            (
                "zeros, and local time in words of people",
                format!(
                    "{}<TZ>GMT+08:00</TZ>{}",
                    utc((1970, 1, 1), (0, 0, 0)),
                    local((2026, 11, 28), noon)
                ),
                set(1_795_838_400),
            ),
            ("a clock that was never set", utc((1970, 1, 1), (0, 7, 0)), Some((420, false))),
            ("no such month", utc((2026, 13, 1), noon), None),
            ("no such day", utc((2026, 1, 0), noon), None),
            ("the year 9999", utc((9999, 1, 1), noon), None),
            ("nothing", String::new(), None),
        ] {
            let time = read(&Element::read(document.as_bytes()));
            assert_eq!(time.map(|time| (time.unix_s, time.is_set)), expected, "{name}");
        }
    }

    #[test]
    fn a_written_date_is_that_of_the_calendar() {
        for (unix_s, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (1_795_867_200, "2026-11-28T12:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(format(unix_s), text);
            let read = (unix_s >= 0).then_some(unix_s);
            assert_eq!(parse(text), read, "{text}");
        }
        for days in -1000..60_000 {
            let (year, month, day) = date_of(days);
            assert_eq!(days_since_1970(year, month, day), days);
        }
    }
}
