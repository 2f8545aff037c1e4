//! The sound in a camera's description.

use super::{MAX_LEN, Place, Section, sections};
use crate::media::{
    AacFormat, AudioDescription, AudioEncoding, AudioFormat, AudioProblem, Delivery, Law,
};

/// The clock rate of telephone codecs in hertz, which descriptions may leave out.
const TELEPHONE_CLOCK_RATE: u32 = 8_000;

/// The clock rates of sound in hertz that are believed.
const CLOCK_RATES: std::ops::RangeInclusive<u32> = 7_350..=96_000;

/// Maximum length of a codec's name that is shown, in characters.
const MAX_SHOWN: usize = 32;

/// The media section of the sound to forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioSection {
    /// The format of the sound, or why it cannot be heard.
    pub description: AudioDescription,
    /// The place of the track.
    pub place: Place,
}

/// Finds the sound in a session description: the first that can be heard, or else the first one.
/// What the camera only plays, and does not record, is no sound of it.
#[must_use]
pub fn find_audio(sdp: &str) -> Option<AudioSection> {
    if sdp.len() > MAX_LEN {
        return None;
    }
    let (session, media) = sections(sdp);
    // The back channel is to be sent by us (ONVIF Streaming §5.3), unless the camera describes
    // everything from its own side.
    let is_video = |media: &&Section<'_>| media.kind.eq_ignore_ascii_case("video");
    let sends = media.iter().filter(is_video).any(Section::is_send_only);
    let mut found: Vec<AudioSection> = Vec::new();
    for (index, media) in media.iter().enumerate() {
        let is_sound = media.kind.eq_ignore_ascii_case("audio");
        let is_back_channel = media.is_send_only() && !sends;
        if !is_sound || is_back_channel || media.is_encrypted(&session) {
            continue;
        }
        found.extend(media.all_payload_types().into_iter().map(|payload_type| AudioSection {
            description: media.audio(payload_type, &session),
            place: media.place(index, payload_type, &session),
        }));
    }
    let heard = found.iter().position(|section| section.description.format.is_ok());
    let index = heard.unwrap_or(0);
    (index < found.len()).then(|| found.swap_remove(index))
}

impl Section<'_> {
    fn is_send_only(&self) -> bool {
        self.named("sendonly").next().is_some()
    }

    /// Describes the sound of a payload type.
    fn audio(&self, payload_type: u8, session: &Self) -> AudioDescription {
        let (map, parameters) = self.map_and_parameters(payload_type, session);
        let parameters = parameters.as_str();
        let map = map.unwrap_or_else(|| static_map(payload_type));
        let mut words = map.split('/').map(str::trim);
        let name = words.next().unwrap_or_default();
        let clock_rate = words.next().and_then(|rate| rate.parse().ok());
        let channels = words.next().and_then(|channels| channels.parse().ok()).unwrap_or(1);
        let clock_rate = clock_rate.unwrap_or(TELEPHONE_CLOCK_RATE);
        let (codec, format) = format(name, clock_rate, channels, parameters);
        // Until the camera takes a transport.
        AudioDescription { codec, format, delivery: Delivery::Udp }
    }
}

/// Returns the common name of a codec, and the format if it can be heard.
fn format(
    name: &str,
    clock_rate: u32,
    channels: u8,
    parameters: &str,
) -> (String, Result<AudioFormat, AudioProblem>) {
    let parameter = |name: &str| {
        parameters.split(';').find_map(|parameter| {
            let (key, value) = parameter.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let plain = |encoding| (encoding, clock_rate, channels);
    let aac = |aac: AacFormat| (AudioEncoding::Aac(aac), clock_rate, aac.channels);
    let upper = name.to_ascii_uppercase();
    let (codec, format) = match upper.as_str() {
        "PCMU" | "G711U" | "ULAW" => ("PCMU", Ok(plain(AudioEncoding::G711(Law::Mu)))),
        "PCMA" | "G711A" | "ALAW" => ("PCMA", Ok(plain(AudioEncoding::G711(Law::A)))),
        "G722" => ("G722", Ok((AudioEncoding::G722, TELEPHONE_CLOCK_RATE, 1))),
        "L16" => ("L16", Ok(plain(AudioEncoding::Linear))),
        "OPUS" => {
            // The number in the map is always 2 (RFC 7587 §7).
            let is_stereo = parameter("sprop-stereo").is_some_and(|value| value == "1");
            ("Opus", Ok((AudioEncoding::Opus, 48_000, 1 + u8::from(is_stereo))))
        }
        "MPEG4-GENERIC" | "AAC" => {
            ("AAC", AacFormat::generic(parameter, clock_rate, channels).map(aac))
        }
        "MP4A-LATM" => ("AAC", AacFormat::latm(parameter).map(aac)),
        _ => {
            let name = display_name(&upper);
            return (name.clone(), Err(AudioProblem::Codec(name)));
        }
    };
    let format = format.and_then(|(encoding, clock_rate, channels)| {
        if !(1..=2).contains(&channels) {
            Err(AudioProblem::Channels(channels))
        } else if !CLOCK_RATES.contains(&clock_rate) {
            Err(AudioProblem::Parameters)
        } else {
            Ok(AudioFormat { encoding, clock_rate, channels })
        }
    });
    (codec.to_owned(), format)
}

/// Returns the map of a format that needs none (RFC 3551 table 4).
fn static_map(payload_type: u8) -> &'static str {
    match payload_type {
        0 => "PCMU/8000",
        3 => "GSM/8000",
        4 => "G723/8000",
        5 | 6 | 16 | 17 => "DVI4/8000",
        7 => "LPC/8000",
        8 => "PCMA/8000",
        9 => "G722/8000",
        10 => "L16/44100/2",
        11 => "L16/44100",
        12 => "QCELP/8000",
        14 => "MPA/90000",
        15 => "G728/8000",
        18 => "G729/8000",
        _ => "",
    }
}

/// Returns the common name of a codec that is not supported. Names come from the network: what is
/// shown is short and printable.
fn display_name(upper: &str) -> String {
    match upper {
        "" => "an unnamed codec".to_owned(),
        "MPA" | "MPA-ROBUST" | "MP3" => "MP3".to_owned(),
        "G723" | "G7231" => "G.723.1".to_owned(),
        "G728" => "G.728".to_owned(),
        "G729" => "G.729".to_owned(),
        _ if upper.contains("G726") => "G.726".to_owned(),
        _ => upper.chars().filter(char::is_ascii_graphic).take(MAX_SHOWN).collect(),
    }
}

#[cfg(test)]
mod tests;
