//! The choice among the payload types of a viewer: the one whose decoder really plays the stream.

use super::codecs::{DEFAULT_AV1_LEVEL, FALLBACK, H264Profile, MIN_H265_LEVEL};
use super::description::{RemoteCodec, parameter};
use super::{OfferedCodec, SdpError};
use crate::media::{Codec, Profile, TrackCodec};

/// Maximum number of codecs that a refusal lists, and of letters of each.
const MAX_LISTED: usize = 8;
const MAX_LISTED_LEN: usize = 24;

/// Encoding names that are no codecs of their own: retransmission and error correction.
const HELPERS: [&str; 5] = ["rtx", "red", "ulpfec", "flexfec-03", "flexfec"];

/// The packetization modes of H.264 (RFC 6184 §6.2) that a viewer can ask for, the best last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Packetization {
    /// Mode 0, said in so many words: one whole NAL unit a packet.
    Single,
    /// A mode left out. That means mode 0 (RFC 6184 §8.1), but players that leave it out, such as
    /// GStreamer's, reassemble fragments.
    Unsaid,
    /// Mode 1: fragments and aggregates.
    NonInterleaved,
}

/// Returns true if the viewer's codec can be one of ours.
pub(super) fn matches(ours: &OfferedCodec, theirs: &RemoteCodec) -> bool {
    match_score(ours, theirs).is_some()
}

/// Rates how well a codec of the viewer matches the stream that we offer: higher is better, `None`
/// if it does not match.
pub(super) fn match_score(ours: &OfferedCodec, theirs: &RemoteCodec) -> Option<u32> {
    let is_same = theirs.name.eq_ignore_ascii_case(ours.codec.encoding_name());
    if !is_same || theirs.clock_rate != ours.codec.clock_rate() {
        return None;
    }
    let codec = match ours.codec {
        TrackCodec::Video(codec) => codec,
        // No number of channels means one (RFC 8866 §6.6).
        TrackCodec::Audio(codec) => {
            return (theirs.channels.unwrap_or(1) == codec.channels().unwrap_or(1)).then_some(0);
        }
    };
    match (codec, ours.profile) {
        (Codec::H264, profile) => h264_score(profile, &theirs.fmtp),
        (Codec::H265, Some(Profile::H265 { profile_id, is_high_tier, level_id })) => {
            h265_score(profile_id, is_high_tier, level_id, theirs)
        }
        (Codec::Vp9, Some(Profile::Vp9 { profile_id })) => {
            (number(theirs, "profile-id").unwrap_or(0) == profile_id).then_some(0)
        }
        (Codec::Av1, Some(Profile::Av1 { profile, level_idx, .. })) => {
            // Each profile contains those below it (AV1 §A.2).
            let plays = number(theirs, "profile").unwrap_or(0) >= profile;
            let level = number(theirs, "level-idx").unwrap_or(DEFAULT_AV1_LEVEL);
            plays.then_some(u32::from(level >= level_idx))
        }
        (Codec::H265 | Codec::Vp8 | Codec::Vp9 | Codec::Av1, _) => Some(0),
    }
}

/// Rates H.264. The packetization counts most: whole NAL units do not fit a path. A decoder that
/// plays the stream by what it lists comes next. Then comes the profile that every browser lists
/// and behind which there is a decoder for more, and at last any other profile.
fn h264_score(stream: Option<Profile>, theirs: &str) -> Option<u32> {
    let stream = match stream {
        Some(Profile::H264 { profile_level_id }) => profile_level_id,
        _ => FALLBACK,
    };
    // A receiver without a profile means Baseline (RFC 6184 §8.1).
    let listed = profile_level_id(theirs).unwrap_or([0x42, 0x00, 0x0a]);
    let is_same = H264Profile::is_same(stream, listed);
    let profile = H264Profile::from_profile_level_id;
    let plays = match (profile(listed), profile(stream)) {
        (Some(listed), Some(stream)) => listed.plays(stream),
        _ => is_same,
    };
    let has_level = listed[2] >= stream[2];
    let rank = match (plays, is_same, has_level) {
        (true, true, true) => 5,
        (true, false, true) => 4,
        (true, true, false) => 3,
        (true, false, false) => 2,
        (false, ..) => u32::from(H264Profile::is_same(listed, FALLBACK)),
    };
    Some(packetization(theirs)? as u32 * 8 + rank)
}

fn packetization(fmtp: &str) -> Option<Packetization> {
    match parameter(fmtp, "packetization-mode") {
        Some("1") => Some(Packetization::NonInterleaved),
        Some("0") => Some(Packetization::Single),
        None => Some(Packetization::Unsaid),
        // Interleaved mode is not for WebRTC (RFC 7742 §6.2).
        Some(_) => None,
    }
}

/// Returns the packetization mode in which H.264 is sent to this payload type.
pub(super) fn packetization_mode(fmtp: &str) -> u8 {
    u8::from(packetization(fmtp) != Some(Packetization::Single))
}

fn profile_level_id(fmtp: &str) -> Option<[u8; 3]> {
    let text = parameter(fmtp, "profile-level-id")?;
    if text.len() != 6 {
        return None;
    }
    let [_, bytes @ ..] = u32::from_str_radix(text, 16).ok()?.to_be_bytes();
    Some(bytes)
}

/// Rates H.265: the profile must be able to decode the stream (H.265 §A.3); tier and level count,
/// but do not exclude, because players list less than they decode.
fn h265_score(profile_id: u8, high_tier: bool, level: u8, theirs: &RemoteCodec) -> Option<u32> {
    if theirs.parameter("tx-mode").is_some_and(|mode| !mode.eq_ignore_ascii_case("SRST")) {
        return None;
    }
    let rank = match number(theirs, "profile-id") {
        Some(listed) if listed == profile_id => 8,
        // Main 10 contains Main.
        Some(2) if profile_id == 1 => 4,
        Some(_) => return None,
        // Nothing said means Main (RFC 7798 §7.1).
        None if profile_id == 1 => 8,
        None => 0,
    };
    let has_tier = !high_tier || number(theirs, "tier-flag") == Some(1);
    let has_level = number(theirs, "level-id").unwrap_or(MIN_H265_LEVEL) >= level;
    Some(rank + 2 * u32::from(has_level) + u32::from(has_tier))
}

fn number(codec: &RemoteCodec, name: &str) -> Option<u8> {
    codec.parameter(name)?.parse().ok()
}

/// Returns the refusal of a player with these codecs, none of which plays the stream.
pub(super) fn no_common_codec(ours: &OfferedCodec, theirs: &[RemoteCodec]) -> SdpError {
    let is_ours =
        |codec: &&RemoteCodec| codec.name.eq_ignore_ascii_case(ours.codec.encoding_name());
    let mode = theirs.iter().filter(is_ours).find_map(foreign_mode);
    if let Some(mode) = mode.filter(|_| ours.codec == Codec::H264.into()) {
        return SdpError::PacketizationMode(mode);
    }
    let mut sends = ours.codec.to_string();
    let mut names: Vec<String> = Vec::new();
    for codec in theirs.iter().filter(|codec| !HELPERS.contains(&&*codec.name.to_lowercase())) {
        let known = Codec::from_encoding_name(&codec.name);
        let mut name: String = known.map_or_else(|| codec.name.clone(), |codec| codec.to_string());
        if known.map(TrackCodec::from) == Some(ours.codec)
            && let Some((stream, listed)) = differing_profiles(ours, codec)
        {
            sends = format!("{} of profile {stream}", ours.codec);
            name += &format!(" of profile {listed}");
        }
        let name = name.chars().take(MAX_LISTED_LEN).collect();
        if !names.contains(&name) && names.len() < MAX_LISTED {
            names.push(name);
        }
    }
    let player = match names.split_last() {
        None => "the player offers no codec".to_owned(),
        Some((only, [])) => format!("the player offers {only}"),
        Some((last, others)) => format!("the player offers {} and {last}", others.join(", ")),
    };
    SdpError::NoCommonCodec { sends, player }
}

/// Returns the packetization mode of H.264 that a codec asks for and WebRTC does not have.
fn foreign_mode(codec: &RemoteCodec) -> Option<String> {
    let mode =
        codec.parameter("packetization-mode").filter(|_| packetization(&codec.fmtp).is_none());
    mode.map(|mode| mode.chars().filter(char::is_ascii_graphic).take(MAX_LISTED_LEN).collect())
}

/// Returns the profiles of the stream and of the player's codec, where they decide.
fn differing_profiles(ours: &OfferedCodec, theirs: &RemoteCodec) -> Option<(u8, u8)> {
    match ours.profile? {
        Profile::H265 { profile_id, .. } => {
            Some((profile_id, number(theirs, "profile-id").unwrap_or(1)))
        }
        Profile::Vp9 { profile_id } => {
            Some((profile_id, number(theirs, "profile-id").unwrap_or(0)))
        }
        Profile::Av1 { profile, .. } => Some((profile, number(theirs, "profile").unwrap_or(0))),
        Profile::H264 { .. } => None,
    }
}
