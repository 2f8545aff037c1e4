//! The reasons why a camera's settings cannot be read or are not set.

use std::fmt;

use crate::onvif::Finding;

/// A reason why the settings cannot be read, or were not set. `Display` is the sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The camera cannot be asked.
    Finding(Finding),
    /// The device has no camera of this number any more.
    NoCamera(usize),
    /// The user may not do this.
    NotPermitted(Undone),
    /// The settings cannot be read.
    Unreadable,
    /// The settings are not those that were shown.
    Changed,
    /// The camera has refused a change, or has not answered.
    Refused {
        /// The change, such as `the settings of its main stream`.
        what: &'static str,
        /// The reason in the camera's own words; empty if it has given none.
        reason: String,
        /// State of the settings after it.
        undone: Undone,
    },
}

/// The state of the settings after a change was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// No setting was changed, because it was the first one.
    Nothing,
    /// The settings that had been set before were set back.
    Back,
    /// The settings that had been set before could not be set back; their values now.
    Stands(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finding(finding) => f.write_str(&finding.told()),
            Self::NoCamera(number) => write!(
                f,
                "the device has no camera {number} any more: find it again in the settings"
            ),
            Self::NotPermitted(undone) => write!(
                f,
                "this user may not change the camera's settings, {undone}: give the password of \
                 an administrator of the camera"
            ),
            Self::Unreadable => f.write_str(
                "the camera does not tell its settings, and nothing was changed: set them in its \
                 own pages",
            ),
            Self::Changed => f.write_str(
                "the camera's settings have changed since they were shown, and nothing was set: \
                 look at them again",
            ),
            Self::Refused { what, reason, undone } => {
                let reason = match reason.as_str() {
                    "" => String::new(),
                    reason => format!(" ({reason})"),
                };
                write!(
                    f,
                    "the camera refuses {what}{reason}, {undone}: set it in the camera's own pages"
                )
            }
        }
    }
}

impl fmt::Display for Undone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("and nothing was changed"),
            Self::Back => {
                f.write_str("and nothing was changed, because what was set before it was put back")
            }
            Self::Stands(values) => {
                write!(f, "and what was set before it could not be put back ({values})")
            }
        }
    }
}
