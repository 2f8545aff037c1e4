//! The findings as the dashboard tells them: there are no flags, but values for translations.

use std::collections::BTreeMap;

use super::{Finding, wrong_password};

impl Finding {
    /// Returns the sentence for people who use the dashboard.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            Self::NoOnvif { host } => format!(
                "{host} is there but does not speak ONVIF: switch ONVIF on in the camera's own \
                 settings, or choose its vendor to try the usual addresses of its streams"
            ),
            Self::WantsText => "the camera takes the password as readable text only, which others \
                                in its network could read: allow that if you trust the network"
                .to_owned(),
            Self::WrongPassword { refused, may_want_text } => {
                let mut sentence = wrong_password(*refused);
                if *may_want_text {
                    sentence += "; if it is right, the camera may want it as readable text";
                }
                sentence
            }
            Self::NothingAnswers { .. }
            | Self::StoppedAnswering
            | Self::EndlessAnswer
            | Self::Redirects(_)
            | Self::PasswordMissing
            | Self::AccountLocked
            | Self::SentText
            | Self::NotPermitted
            | Self::ClockOff(_)
            | Self::ClockUnset
            | Self::OtherAddress { .. }
            | Self::StreamElsewhere(_)
            | Self::NoVideo
            | Self::NoH264(_)
            | Self::NoSubStream(_)
            | Self::PictureWithoutOnvif
            | Self::RtspOff
            | Self::SeparateUser
            | Self::NoPicture { .. }
            | Self::FarKeyFrames { .. }
            | Self::BPictures(_) => self.to_string(),
        }
    }

    /// Returns the values in the sentence by their names.
    #[must_use]
    pub fn values(&self) -> BTreeMap<String, String> {
        let value = |name: &str, value: &dyn ToString| (name.to_owned(), value.to_string());
        let values = match self {
            Self::NothingAnswers { host } | Self::NoOnvif { host } => vec![value("host", host)],
            Self::Redirects(to) => vec![value("to", to)],
            Self::WrongPassword { refused, may_want_text } => {
                vec![value("refused", refused), value("mayWantText", may_want_text)]
            }
            Self::ClockOff(seconds) => vec![value("seconds", seconds)],
            Self::OtherAddress { named, used } => vec![value("named", named), value("used", used)],
            Self::StreamElsewhere(host) => vec![value("host", host)],
            Self::NoH264(camera) | Self::NoSubStream(camera) => vec![value("camera", camera)],
            Self::NoPicture { stream, reason } => {
                vec![value("stream", stream), value("reason", reason)]
            }
            Self::FarKeyFrames { stream, seconds } => {
                let seconds = seconds.map(|seconds| value("seconds", &seconds));
                std::iter::once(value("stream", stream)).chain(seconds).collect()
            }
            Self::BPictures(stream) => vec![value("stream", stream)],
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
            | Self::SeparateUser => Vec::new(),
        };
        values.into_iter().collect()
    }
}
