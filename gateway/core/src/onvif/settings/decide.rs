//! The decisions: which settings spoil WebRTC, and the values that put them right.

use std::time::Duration;

use porthole_signaling_proto::StreamRole;

use super::encoder::{Encoder, Options, Values, decimal};
use super::{Change, Facts};
use crate::onvif::finding::{Finding, span};
use crate::onvif::probe::CLOCK_TOLERANCE;
use crate::onvif::stream_check::FAR;
use crate::onvif::{Encoding, clock};

/// Distance of key frames in milliseconds that is set.
const KEY_FRAMES_MS: u64 = 2000;

/// Size of the sub stream in pixels.
const SUB_SIZE: (u32, u32) = (640, 360);

/// Highest rate of the sub stream in thousandths of frames per second.
const SUB_RATE: u32 = 15_000;

/// Highest bit rate of the sub stream in kilobits per second.
const SUB_BIT_RATE: u32 = 500;

/// The camera's clock, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clock {
    /// The time that it shows, in seconds since 1970.
    pub(super) unix_s: i64,
    /// False if it was never set.
    pub(super) is_set: bool,
    /// Seconds that it is ahead.
    pub(super) ahead_s: i64,
    /// True if the camera has a time server.
    pub(super) has_server: bool,
    /// True if it is summer time there.
    pub(super) is_summer: bool,
    /// Time zone of the camera, if it tells it.
    pub(super) zone: Option<String>,
}

impl Clock {
    /// Returns true if the clock is so far off that it is told.
    pub(super) fn is_wrong(&self) -> bool {
        !self.is_set || self.ahead_s.abs() > CLOCK_TOLERANCE
    }

    /// Returns the change of the clock at a time.
    pub(super) fn change(&self, unix_s: i64) -> Change {
        Change { key: "clock", stream: None, before: self.shown(), after: day(unix_s) }
    }

    /// Writes the time that the clock shows, and how far it is off.
    pub(super) fn shown(&self) -> String {
        if !self.is_set {
            return "never set".to_owned();
        }
        if !self.is_wrong() {
            return day(self.unix_s);
        }
        let direction = if self.ahead_s < 0 { "behind" } else { "ahead" };
        format!("{}, {} {direction}", day(self.unix_s), span(self.ahead_s.unsigned_abs()))
    }
}

/// Writes a time for people.
fn day(unix_s: i64) -> String {
    clock::format(unix_s).replace('T', " ").replace('Z', " UTC")
}

/// The encoders of a camera.
#[derive(Debug, Clone, Copy)]
pub(super) struct Encoders<'a> {
    /// Number of the camera in the device, from one.
    pub(super) number: usize,
    pub(super) main: &'a Encoder,
    /// The encoder of the sub stream, or one that can become it.
    pub(super) second: Option<&'a Encoder>,
    /// False if the second one has pictures as large as the main one.
    pub(super) has_sub: bool,
}

/// The decisions about a camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decision {
    /// The values to set in the main encoder, if it changes.
    pub(super) main: Option<Values>,
    /// The values to set in the second encoder, if it changes.
    pub(super) second: Option<Values>,
    /// True if the clock is to be set.
    pub(super) sets_clock: bool,
    /// The facts that cannot be changed from here.
    pub(super) left: Vec<Finding>,
}

/// Decides about the settings of a camera.
pub(super) fn decide(encoders: Encoders<'_>, facts: [Facts; 2], clock: Option<&Clock>) -> Decision {
    let mut left = Vec::new();
    let mut main = encoders.main.values.clone();
    let mut second = encoders.second.map(|second| second.values.clone());
    match (encoders.second, &mut second) {
        (Some(encoder), Some(values)) => {
            let becomes = make_h264(encoder, values);
            let is_small =
                encoders.has_sub || becomes && make_small(encoder, values, main.pixels());
            if !is_small {
                values.clone_from(&encoder.values);
                left.push(Finding::NoSubStream(encoders.number));
            }
        }
        (None, _) | (_, None) => left.push(Finding::NoSubStream(encoders.number)),
    }
    let is_h264 = |values: &Values| values.encoding == Encoding::H264;
    if !is_h264(&main)
        && !second.as_ref().is_some_and(is_h264)
        && !make_h264(encoders.main, &mut main)
    {
        left.push(Finding::NoH264(encoders.number));
    }
    let [main_facts, sub_facts] = facts;
    let streams = [
        (StreamRole::Main, Some((encoders.main, &mut main)), main_facts),
        (StreamRole::Sub, encoders.second.zip(second.as_mut()), sub_facts),
    ];
    for (role, stream, facts) in streams {
        let Some((encoder, values)) = stream else { continue };
        let name = format!("{} {}", role_name(role), encoders.number);
        left.extend(bring_key_frames_closer(encoder, values, facts, &name));
        if facts.has_b_pictures || values.anchor.is_some_and(|anchor| anchor > 1) {
            left.extend(avoid_b_pictures(encoder, values, &name));
        }
    }
    let wrong = clock.filter(|clock| clock.is_wrong());
    // A time server that is wrong, or is not reached, is set in the camera's own settings.
    if let Some(clock) = wrong.filter(|clock| clock.has_server) {
        left.push(if clock.is_set {
            Finding::ClockOff(clock.ahead_s)
        } else {
            Finding::ClockUnset
        });
    }
    Decision {
        main: Some(main).filter(|values| *values != encoders.main.values),
        second: second.filter(|values| Some(values) != encoders.second.map(|it| &it.values)),
        sets_clock: wrong.is_some_and(|clock| !clock.has_server),
        left,
    }
}

/// Returns the name of a stream as findings have it.
pub(super) fn role_name(role: StreamRole) -> &'static str {
    match role {
        StreamRole::Main => "main",
        StreamRole::Sub => "sub",
    }
}

/// Sets the values to H.264. Returns false if the encoder does not have it.
fn make_h264(encoder: &Encoder, values: &mut Values) -> bool {
    if values.encoding == Encoding::H264 {
        return true;
    }
    let Some(options) = &encoder.h264 else { return false };
    values.encoding = Encoding::H264;
    let named = ["Main", "High", "Baseline"].into_iter().find(|name| options.has_profile(name));
    let is_known = values.profile.as_ref().is_some_and(|profile| options.has_profile(profile));
    if !is_known {
        let first = options.profiles.first().map(String::as_str);
        values.profile = named.or(first).or(Some("Main")).map(ToOwned::to_owned);
    }
    let fits = |size: &(u32, u32)| options.sizes.contains(size);
    if let Some(size) = values.size.filter(|size| !options.sizes.is_empty() && !fits(size)) {
        values.size = largest_within(&options.sizes, size).or_else(|| smallest(&options.sizes));
    }
    if let Some(rate) = values.rate {
        values.rate = Some(options.rate_up_to(rate));
    }
    if let (Some(bit_rate), Some((min, max))) = (values.bit_rate, options.bit_rate) {
        values.bit_rate = Some(bit_rate.clamp(min, max));
    }
    let gov = values.gov_length.filter(|gov| *gov > 0).unwrap_or_else(|| wanted_gov(values));
    values.gov_length = Some(options.gov_length.map_or(gov, |(min, max)| gov.clamp(min, max)));
    true
}

/// Makes the pictures small, for a sub stream. Returns false if the encoder has none that are
/// smaller than those of the main stream.
fn make_small(encoder: &Encoder, values: &mut Values, main_pixels: u32) -> bool {
    let Some(options) = &encoder.h264 else { return false };
    let shape = values.size.unwrap_or(SUB_SIZE);
    let same_shape: Vec<_> =
        options.sizes.iter().copied().filter(|size| is_same_shape(*size, shape)).collect();
    let size = largest_within(&same_shape, SUB_SIZE)
        .or_else(|| largest_within(&options.sizes, SUB_SIZE))
        .or_else(|| smallest(&options.sizes));
    let Some(size) = size.filter(|(width, height)| width * height < main_pixels) else {
        return false;
    };
    values.size = Some(size);
    values.rate = values.rate.map(|rate| options.rate_up_to(rate.min(SUB_RATE)));
    let (min, max) = options.bit_rate.unwrap_or((1, SUB_BIT_RATE));
    values.bit_rate = values.bit_rate.map(|rate| rate.min(SUB_BIT_RATE).clamp(min, max));
    // Another rate would have moved the key frames.
    let gov = wanted_gov(values);
    let gov = options.gov_length.map_or(gov, |(min, max)| gov.clamp(min, max));
    values.gov_length = values.gov_length.map(|_| gov);
    true
}

/// Returns the largest size that is no wider and no higher than another.
fn largest_within(sizes: &[(u32, u32)], within: (u32, u32)) -> Option<(u32, u32)> {
    let fits = |size: &&(u32, u32)| size.0 <= within.0 && size.1 <= within.1;
    sizes.iter().filter(fits).max_by_key(|(width, height)| width * height).copied()
}

fn smallest(sizes: &[(u32, u32)]) -> Option<(u32, u32)> {
    sizes.iter().min_by_key(|(width, height)| width * height).copied()
}

/// Returns true if two sizes have the same ratio of their sides, up to two percent.
fn is_same_shape(one: (u32, u32), other: (u32, u32)) -> bool {
    let (a, b) = (u64::from(one.0) * u64::from(other.1), u64::from(one.1) * u64::from(other.0));
    a.abs_diff(b) * 50 <= a.max(b)
}

/// Returns the number of frames in two seconds.
fn wanted_gov(values: &Values) -> u32 {
    let rate = u64::from(values.rate.unwrap_or(25_000));
    let frames = (rate * KEY_FRAMES_MS + 500_000) / 1_000_000 / u64::from(values.interval);
    u32::try_from(frames).unwrap_or(u32::MAX).max(1)
}

/// Sets a key frame every two seconds if they are far apart. Returns what is to be told if they
/// stay so: their number is at its limit, or the camera leaves some out by itself.
fn bring_key_frames_closer(
    encoder: &Encoder,
    values: &mut Values,
    facts: Facts,
    name: &str,
) -> Option<Finding> {
    let stream = || name.to_owned();
    let seconds = |ms: u64| u32::try_from(ms / 1000).ok();
    match values.key_frame_distance_ms() {
        Some(distance) if Duration::from_millis(distance) > FAR => {
            let options = options_for(encoder, values);
            let wanted = wanted_gov(values);
            let range = options.and_then(|options| options.gov_length);
            let wanted = range.map_or(wanted, |(min, max)| wanted.clamp(min, max));
            let old = values.gov_length.replace(wanted);
            if old.is_none_or(|old| wanted < old) {
                return None;
            }
            values.gov_length = old;
            Some(Finding::FarKeyFrames { stream: stream(), seconds: seconds(distance) })
        }
        Some(_) | None => facts.has_far_key_frames.then(|| Finding::FarKeyFrames {
            stream: stream(),
            seconds: facts.key_frame_distance_s,
        }),
    }
}

/// Sets what keeps an encoder from making B pictures. Returns what is to be told if it cannot be
/// set.
fn avoid_b_pictures(encoder: &Encoder, values: &mut Values, name: &str) -> Option<Finding> {
    if values.anchor.is_some_and(|anchor| anchor > 1) {
        values.anchor = Some(1);
        return None;
    }
    let has = |name| options_for(encoder, values).is_some_and(|it| it.has_profile(name));
    let is_h264 = values.encoding == Encoding::H264;
    let simpler = match values.profile.as_deref() {
        Some("High" | "Main" | "Extended") if is_h264 && has("Baseline") => "Baseline",
        Some("High" | "Extended") if is_h264 && has("Main") => "Main",
        _ => return Some(Finding::BPictures(name.to_owned())),
    };
    values.profile = Some(simpler.to_owned());
    None
}

/// Returns the options for the codec of the values.
fn options_for<'a>(encoder: &'a Encoder, values: &Values) -> Option<&'a Options> {
    if values.encoding == Encoding::H264 { encoder.h264.as_ref() } else { encoder.own.as_ref() }
}

/// Returns the differences between two sets of values, as they are shown.
pub(super) fn changes(stream: StreamRole, before: &Values, after: &Values) -> Vec<Change> {
    let row = |key, texts: fn(&Values) -> Option<String>| {
        let (before, after) = (texts(before), texts(after)?);
        let is_other = before.as_ref() != Some(&after);
        let before = before.unwrap_or_else(|| "not set".to_owned());
        is_other.then_some(Change { key, stream: Some(stream), before, after })
    };
    let rows = ROWS.iter().map(|(key, texts)| row(*key, *texts));
    rows.flatten().collect()
}

/// Returns the text of the setting with this key.
pub(super) fn text(key: &str, values: &Values) -> Option<String> {
    ROWS.iter().find(|(known, _)| *known == key).and_then(|(_, texts)| texts(values))
}

/// A setting: its key, and the text of its value.
type Row = (&'static str, fn(&Values) -> Option<String>);

/// The settings of a stream that are shown, in this order.
const ROWS: &[Row] = &[
    ("codec", |values| Some(values.encoding.name().to_owned())),
    ("profile", |values| values.profile.clone()),
    ("size", |values| values.size.map(|(width, height)| format!("{width}\u{d7}{height}"))),
    ("frame-rate", |values| values.rate.map(|rate| format!("{} fps", decimal(rate)))),
    ("bit-rate", |values| values.bit_rate.map(|rate| format!("{rate} kbit/s"))),
    ("key-frames", key_frames),
    ("b-pictures", |values| {
        values.anchor.map(|anchor| match anchor {
            0 | 1 => "none".to_owned(),
            2 => "1 of 2 pictures".to_owned(),
            more => format!("{} of {more} pictures", more - 1),
        })
    }),
];

/// Writes the distance of key frames in seconds and frames.
fn key_frames(values: &Values) -> Option<String> {
    let frames = values.gov_length?;
    let plural = if frames == 1 { "" } else { "s" };
    Some(match values.key_frame_distance_ms().map(u32::try_from) {
        Some(Ok(ms)) => format!("every {} s ({frames} frame{plural})", decimal(ms / 100 * 100)),
        Some(Err(_)) | None => format!("every {frames} frame{plural}"),
    })
}
