//! The findings of a probe, each with its sentence.

mod told;

use std::fmt;

/// Seconds of a day; from there a difference of clocks is told in days.
const DAY: u64 = 86_400;

/// Fact that a probe has found out about a camera. `Display` is the sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// No port answers at the address.
    NothingAnswers {
        /// The address that was asked.
        host: String,
    },
    /// The device is there and does not speak ONVIF.
    NoOnvif {
        /// The address that was asked.
        host: String,
    },
    /// The device has answered and then stopped.
    StoppedAnswering,
    /// The device sends an answer that is larger than any camera's.
    EndlessAnswer,
    /// The device sends us to another one; that address.
    Redirects(String),
    /// The camera requires user and password.
    PasswordMissing,
    /// The camera refuses user and password.
    WrongPassword {
        /// Number of refused requests with the password.
        refused: u8,
        /// True if the camera may want the password as readable text, which was not allowed.
        may_want_text: bool,
    },
    /// The camera has locked the account.
    AccountLocked,
    /// The camera takes the password as readable text only, which was not allowed.
    WantsText,
    /// The password was sent as readable text, as was allowed.
    SentText,
    /// The user may not do something that helps, but is not necessary.
    NotPermitted,
    /// The camera's clock differs from ours by this many seconds; positive: it is ahead.
    ClockOff(i64),
    /// The camera's clock was never set.
    ClockUnset,
    /// The camera gives the address of another machine for itself.
    OtherAddress {
        /// The host that the camera names.
        named: String,
        /// The host that is used instead.
        used: String,
    },
    /// A stream is at another machine of the gateway's networks; its host.
    StreamElsewhere(String),
    /// The camera has no profile with video that can be carried.
    NoVideo,
    /// No stream of a camera is H.264; the number of the camera, from one.
    NoH264(usize),
    /// A camera has no small stream, and none can be made of another one; its number, from one.
    NoSubStream(usize),
    /// The picture works without ONVIF.
    PictureWithoutOnvif,
    /// The port of RTSP is closed.
    RtspOff,
    /// RTSP refuses the user and password that ONVIF has accepted.
    SeparateUser,
    /// A stream gives no picture.
    NoPicture {
        /// Name of the stream, such as `main 1`.
        stream: String,
        /// The reason, as the RTSP client tells it.
        reason: String,
    },
    /// The key frames of a stream are far apart.
    FarKeyFrames {
        /// Name of the stream, such as `main 1`.
        stream: String,
        /// Seconds between two of them; `None`: more than were waited for.
        seconds: Option<u32>,
    },
    /// A stream has B pictures; its name, such as `main 1`.
    BPictures(String),
}

impl Finding {
    /// Returns the name of the finding for programs; it does not change.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::NothingAnswers { .. } => "nothing-answers",
            Self::NoOnvif { .. } => "no-onvif",
            Self::StoppedAnswering => "stopped-answering",
            Self::EndlessAnswer => "endless-answer",
            Self::Redirects(_) => "redirects",
            Self::PasswordMissing => "password-missing",
            Self::WrongPassword { .. } => "wrong-password",
            Self::AccountLocked => "account-locked",
            Self::WantsText => "wants-text",
            Self::SentText => "sent-text",
            Self::NotPermitted => "not-permitted",
            Self::ClockOff(_) => "clock-off",
            Self::ClockUnset => "clock-unset",
            Self::OtherAddress { .. } => "other-address",
            Self::StreamElsewhere(_) => "stream-elsewhere",
            Self::NoVideo => "no-video",
            Self::NoH264(_) => "no-h264",
            Self::NoSubStream(_) => "no-sub-stream",
            Self::PictureWithoutOnvif => "picture-without-onvif",
            Self::RtspOff => "rtsp-off",
            Self::SeparateUser => "separate-user",
            Self::NoPicture { .. } => "no-picture",
            Self::FarKeyFrames { .. } => "far-key-frames",
            Self::BPictures(_) => "b-pictures",
        }
    }

    /// Returns true if there is no picture because of it.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        match self {
            Self::NothingAnswers { .. }
            | Self::NoOnvif { .. }
            | Self::StoppedAnswering
            | Self::EndlessAnswer
            | Self::Redirects(_)
            | Self::PasswordMissing
            | Self::WrongPassword { .. }
            | Self::AccountLocked
            | Self::WantsText
            | Self::NoVideo
            | Self::RtspOff
            | Self::SeparateUser
            | Self::NoPicture { .. } => true,
            Self::SentText
            | Self::NotPermitted
            | Self::ClockOff(_)
            | Self::ClockUnset
            | Self::OtherAddress { .. }
            | Self::StreamElsewhere(_)
            | Self::NoH264(_)
            | Self::NoSubStream(_)
            | Self::PictureWithoutOnvif
            | Self::FarKeyFrames { .. }
            | Self::BPictures(_) => false,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingAnswers { host } => write!(
                f,
                "nothing answers at {host}: check that the camera is switched on and in the same \
                 network as this gateway"
            ),
            Self::NoOnvif { host } => write!(
                f,
                "{host} is there but does not speak ONVIF: switch ONVIF on in the camera's own \
                 settings, or try the RTSP paths of its vendor with --vendor"
            ),
            Self::Redirects(to) => write!(
                f,
                "the device sends us on to {to}, which is not followed: use that address if you \
                 trust it"
            ),
            Self::WrongPassword { refused, may_want_text } => {
                f.write_str(&wrong_password(*refused))?;
                if *may_want_text {
                    f.write_str(
                        "; if it is right, the camera may want it as readable text (--allow-text)",
                    )?;
                }
                Ok(())
            }
            Self::ClockOff(seconds) => {
                let direction = if *seconds < 0 { "behind" } else { "ahead" };
                let span = span(seconds.unsigned_abs());
                write!(f, "the camera's clock is {span} {direction}, which is allowed for")
            }
            Self::OtherAddress { named, used } => {
                write!(f, "the camera calls itself {named}; {used} is used instead")
            }
            Self::StreamElsewhere(host) => write!(
                f,
                "a stream of the camera is at {host}, another machine: it was not tried, use it if \
                 you trust it"
            ),
            Self::NoH264(camera) => f.write_str(&no_h264(*camera)),
            Self::NoSubStream(camera) => f.write_str(&no_sub_stream(*camera)),
            Self::NoPicture { stream, reason } => write!(f, "no picture from {stream}: {reason}"),
            Self::FarKeyFrames { stream, seconds } => {
                f.write_str(&far_key_frames(stream, *seconds))
            }
            Self::BPictures(stream) => write!(
                f,
                "{stream} has B pictures, which WebRTC cannot show in order: set the camera to the \
                 profile Baseline or Main without them"
            ),
            Self::StoppedAnswering
            | Self::EndlessAnswer
            | Self::PasswordMissing
            | Self::AccountLocked
            | Self::WantsText
            | Self::SentText
            | Self::NotPermitted
            | Self::ClockUnset
            | Self::NoVideo
            | Self::PictureWithoutOnvif
            | Self::RtspOff
            | Self::SeparateUser => f.write_str(self.plain_sentence()),
        }
    }
}

impl Finding {
    /// Returns the sentence of a finding whose sentence has no values; empty for the others.
    fn plain_sentence(&self) -> &'static str {
        match self {
            Self::StoppedAnswering => "the camera has stopped answering: restart it, and try again",
            Self::EndlessAnswer => {
                "the device sends an answer without end, as no camera does: check the address"
            }
            Self::PasswordMissing => {
                "the camera requires user and password: give those of its ONVIF user"
            }
            Self::AccountLocked => {
                "the camera has locked the account: wait for some minutes, then try again"
            }
            Self::WantsText => {
                "the camera takes the password as readable text only, which others in its network \
                 could read: allow that with --allow-text if you trust the network"
            }
            Self::SentText => {
                "the camera takes the password as readable text only, and it was sent so: others \
                 in its network could have read it"
            }
            Self::NotPermitted => {
                "this user may not read everything about the camera, which does no harm; an \
                 administrator may"
            }
            Self::ClockUnset => {
                "the camera's clock was never set, which is allowed for: set it, or give the \
                 camera a time server"
            }
            Self::NoVideo => {
                "the camera has no profile with H.264 or H.265: set one of its streams to H.264"
            }
            Self::PictureWithoutOnvif => {
                "the picture works without ONVIF, but moving the camera and motion events do not"
            }
            Self::RtspOff => {
                "the camera is there, but RTSP is switched off: switch it on in the camera's own \
                 settings"
            }
            Self::SeparateUser => {
                "RTSP refuses the user and password that ONVIF takes: this camera has separate \
                 users, give one that may do both"
            }
            Self::NothingAnswers { .. }
            | Self::NoOnvif { .. }
            | Self::Redirects(_)
            | Self::WrongPassword { .. }
            | Self::ClockOff(_)
            | Self::OtherAddress { .. }
            | Self::StreamElsewhere(_)
            | Self::NoH264(_)
            | Self::NoSubStream(_)
            | Self::NoPicture { .. }
            | Self::FarKeyFrames { .. }
            | Self::BPictures(_) => "",
        }
    }
}

fn wrong_password(refused: u8) -> String {
    let times = if refused == 1 { "once" } else { "twice" };
    format!(
        "wrong user or password, refused {times}, and no further try is made because cameras lock \
         accounts: check both, and that this user may use ONVIF"
    )
}

fn no_h264(camera: usize) -> String {
    format!(
        "no stream of camera {camera} is H.264, and not every browser plays H.265: set its sub \
         stream to H.264"
    )
}

fn no_sub_stream(camera: usize) -> String {
    format!(
        "camera {camera} has no small stream for tiles and slow connections: switch a second \
         stream on in the camera's own settings"
    )
}

fn far_key_frames(stream: &str, seconds: Option<u32>) -> String {
    let distance = match seconds {
        Some(seconds) => format!("{seconds} s"),
        None => "more than 5 s".to_owned(),
    };
    format!(
        "the key frames of {stream} are {distance} apart, so that a picture may start that late: \
         switch its smart codec off, or set a key frame every two seconds"
    )
}

/// Writes a span of time in its largest unit.
pub(super) fn span(seconds: u64) -> String {
    let (number, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / DAY, "day"),
    };
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_of_clocks_are_told_in_words() {
        for (seconds, expected) in [
            (-15_811_200, "183 days behind"),
            (90, "90 seconds ahead"),
            (-600, "10 minutes behind"),
            (10_800, "3 hours ahead"),
        ] {
            let sentence = Finding::ClockOff(seconds).to_string();
            assert!(sentence.contains(expected), "{sentence}");
        }
    }

    /// Returns one finding of each kind.
    fn all() -> Vec<Finding> {
        let text = || "192.168.1.20".to_owned();
        vec![
            Finding::NothingAnswers { host: text() },
            Finding::NoOnvif { host: text() },
            Finding::StoppedAnswering,
            Finding::EndlessAnswer,
            Finding::Redirects(text()),
            Finding::PasswordMissing,
            Finding::WrongPassword { refused: 2, may_want_text: true },
            Finding::AccountLocked,
            Finding::WantsText,
            Finding::SentText,
            Finding::NotPermitted,
            Finding::ClockOff(-600),
            Finding::ClockUnset,
            Finding::OtherAddress { named: text(), used: text() },
            Finding::StreamElsewhere(text()),
            Finding::NoVideo,
            Finding::NoH264(1),
            Finding::NoSubStream(1),
            Finding::PictureWithoutOnvif,
            Finding::RtspOff,
            Finding::SeparateUser,
            Finding::NoPicture { stream: text(), reason: text() },
            Finding::FarKeyFrames { stream: text(), seconds: None },
            Finding::BPictures(text()),
        ]
    }

    #[test]
    fn every_finding_is_one_sentence_with_a_row_in_the_reference() {
        let reference = include_str!("../../../../docs/ref/onvif.md");
        for finding in all() {
            let sentence = finding.to_string();
            let is_one = !sentence.is_empty() && !sentence.contains(". ") && sentence.len() <= 300;
            assert!(is_one, "{sentence}");
            let told = finding.told();
            assert!(!told.contains("--") && !told.contains(". "), "{told}");
            for (name, value) in finding.values() {
                let is_shown = told.contains(&value)
                    || ["refused", "mayWantText", "seconds"].contains(&&*name);
                assert!(is_shown, "{name} is {value}: {told}");
            }
            let row = format!("| `{}` |", finding.key());
            let row = reference.lines().find(|line| line.starts_with(&row));
            let row = row.unwrap_or_else(|| panic!("{} has no row", finding.key()));
            let fails = row.split('|').nth(3).is_some_and(|cell| cell.trim().starts_with("yes"));
            assert_eq!(fails, finding.is_failure(), "{}", finding.key());
        }
        let rows =
            reference.lines().filter(|line| line.ends_with("| yes |") || line.ends_with("| no |"));
        assert_eq!(rows.count() + 1, all().len(), "a row for each, one of which says more");
    }
}
