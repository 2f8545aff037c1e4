//! The settings of an encoder: as they are, as they may be, and how they are written.

use super::calls;
use super::document::Document;
use crate::onvif::Encoding;
use crate::onvif::calls::Media;
use crate::onvif::scopes::shown;
use crate::onvif::xml::Element;

/// Maximum width and height of a picture in pixels.
const MAX_SIZE: u32 = 32_768;

/// Maximum number of sizes, rates or profiles that are read of one encoder.
const MAX_CHOICES: usize = 256;

/// Highest number that is taken for a rate, an interval or a distance.
const MAX_NUMBER: u32 = 1_000_000;

/// The settings of an encoder that matter for WebRTC. A value that the camera does not have is
/// absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Values {
    pub(super) encoding: Encoding,
    /// Width and height in pixels.
    pub(super) size: Option<(u32, u32)>,
    /// Thousandths of frames per second.
    pub(super) rate: Option<u32>,
    /// Each frame of this number is encoded.
    pub(super) interval: u32,
    /// Kilobits per second.
    pub(super) bit_rate: Option<u32>,
    /// Frames from one key frame to the next.
    pub(super) gov_length: Option<u32>,
    /// Profile of H.264 or H.265, such as `Main`.
    pub(super) profile: Option<String>,
    /// Frames from one frame that others refer to to the next; 1: there are no B pictures.
    pub(super) anchor: Option<u32>,
}

impl Values {
    /// Reads a configuration of either media service.
    pub(super) fn read(media: Media, encoder: &Element) -> Self {
        let resolution = encoder.find("Resolution");
        let side = |name| resolution?.number(name).filter(|side| (1..=MAX_SIZE).contains(side));
        let number = |text: Option<&str>| text.and_then(whole);
        let codec = encoder.find("H264");
        let (gov_length, profile, anchor) = match media {
            Media::First => {
                let text = |name| codec?.text_of(name);
                (number(text("GovLength")), text("H264Profile"), None)
            }
            Media::Second => {
                let anchor = number(encoder.attribute("AnchorFrameDistance"));
                (number(encoder.attribute("GovLength")), encoder.attribute("Profile"), anchor)
            }
        };
        let control = encoder.find("RateControl");
        let text = |name| control?.text_of(name);
        Self {
            encoding: Encoding::named(encoder.text_of("Encoding").unwrap_or_default()),
            size: side("Width").zip(side("Height")),
            rate: text("FrameRateLimit").and_then(thousandths).filter(|rate| *rate > 0),
            interval: number(text("EncodingInterval")).unwrap_or(1).max(1),
            bit_rate: number(text("BitrateLimit")),
            gov_length,
            profile: profile.map(shown).filter(|profile| !profile.is_empty()),
            anchor,
        }
    }

    /// Returns the time between two key frames in milliseconds, if it is set.
    pub(super) fn key_frame_distance_ms(&self) -> Option<u64> {
        let (gov_length, rate) = (u64::from(self.gov_length?), u64::from(self.rate?));
        (gov_length > 0).then(|| gov_length * u64::from(self.interval) * 1_000_000 / rate.max(1))
    }

    /// Returns the number of pixels of a picture.
    pub(super) fn pixels(&self) -> u32 {
        self.size.map_or(0, |(width, height)| width * height)
    }
}

/// The values that an encoder takes for one codec. An empty list or an absent range: the camera
/// does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) sizes: Vec<(u32, u32)>,
    pub(super) gov_length: Option<(u32, u32)>,
    /// Rates in thousandths of frames per second, in ascending order.
    pub(super) rates: Vec<u32>,
    /// True: the first and the last of the rates are the ends of a range.
    pub(super) has_any_rate_between: bool,
    pub(super) bit_rate: Option<(u32, u32)>,
    pub(super) profiles: Vec<String>,
}

impl Options {
    /// Reads the options for a codec; `None` if the encoder does not have it.
    pub(super) fn read(media: Media, root: &Element, encoding: Encoding) -> Option<Self> {
        match media {
            Media::First if encoding == Encoding::H264 => Self::read_first(root),
            Media::First => None,
            Media::Second => {
                let of_codec = |options: &&Element| {
                    options.text_of("Encoding").map(Encoding::named) == Some(encoding)
                };
                root.all("Options").into_iter().find(of_codec).map(Self::read_second)
            }
        }
    }

    /// Reads the options of the first media service, which has the bit rate in an extension.
    fn read_first(root: &Element) -> Option<Self> {
        let options = root.find("Options")?;
        let extended = options.find("Extension").and_then(|extension| extension.find("H264"));
        let codec = options.named("H264").next().or(extended)?;
        let range_of = |name| range(codec.find(name)?);
        let rates = range_of("FrameRateRange")
            .map_or(Vec::new(), |(min, max)| vec![min.saturating_mul(1000), max * 1000]);
        let profiles = codec.all("H264ProfilesSupported").into_iter();
        Some(Self {
            sizes: sizes(codec),
            gov_length: range_of("GovLengthRange"),
            rates,
            has_any_rate_between: true,
            bit_rate: extended.and_then(|extended| range(extended.find("BitrateRange")?)),
            profiles: profiles.map(|it| shown(it.text())).take(MAX_CHOICES).collect(),
        })
    }

    fn read_second(options: &Element) -> Self {
        let list = |name| options.attribute(name).unwrap_or_default().split_whitespace();
        let gov: Vec<u32> = list("GovLengthRange").filter_map(whole).take(MAX_CHOICES).collect();
        let mut rates: Vec<u32> =
            list("FrameRatesSupported").filter_map(thousandths).take(MAX_CHOICES).collect();
        rates.sort_unstable();
        Self {
            sizes: sizes(options),
            gov_length: gov.iter().copied().min().zip(gov.iter().copied().max()),
            rates,
            has_any_rate_between: false,
            bit_rate: options.find("BitrateRange").and_then(range),
            profiles: list("ProfilesSupported").map(shown).take(MAX_CHOICES).collect(),
        }
    }

    /// Returns a rate that the encoder takes: the highest up to `most`, else its lowest one.
    pub(super) fn rate_up_to(&self, most: u32) -> u32 {
        let ends = self.rates.first().zip(self.rates.last());
        match ends {
            Some((lowest, highest)) if self.has_any_rate_between => {
                most.clamp(*lowest, *lowest.max(highest))
            }
            Some((lowest, _)) => {
                let fitting = self.rates.iter().copied().filter(|rate| *rate <= most);
                fitting.max().unwrap_or(*lowest)
            }
            None => most,
        }
    }

    /// Returns true if one of the profiles has this name.
    pub(super) fn has_profile(&self, name: &str) -> bool {
        self.profiles.iter().any(|profile| profile == name)
    }
}

/// An encoder of a camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Encoder {
    media: Media,
    document: Document,
    pub(super) values: Values,
    /// The options for H.264, and for its own codec.
    pub(super) h264: Option<Options>,
    pub(super) own: Option<Options>,
}

impl Encoder {
    /// Reads an encoder in an answer of either media service.
    pub(super) fn read(media: Media, token: &str, answer: &[u8]) -> Option<Self> {
        let document = Document::find(answer, &["Configuration", "Configurations"], token)?;
        let values = Values::read(media, &document.element());
        Some(Self { media, document, values, h264: None, own: None })
    }

    /// Takes over what the encoder can be set to.
    pub(super) fn handle_options(&mut self, root: &Element) {
        self.h264 = Options::read(self.media, root, Encoding::H264);
        self.own = Options::read(self.media, root, self.values.encoding);
    }

    /// Returns the configuration as the camera has written it.
    pub(super) fn source(&self) -> &str {
        self.document.text()
    }

    /// Writes the configuration as it was read.
    pub(super) fn written(&self) -> Option<String> {
        self.document.written("Configuration", calls::namespace(self.media))
    }

    /// Writes the configuration with other values; everything else is as it was read. Returns
    /// `None` if a value has no place in it.
    pub(super) fn written_with(&self, wanted: &Values) -> Option<String> {
        let mut document = self.document.clone();
        let is = &self.values;
        let mut all = true;
        let mut put = |path: &[&str], value: String| all &= document.set_text(path, &value);
        if wanted.encoding != is.encoding {
            put(&["Encoding"], code(wanted.encoding).to_owned());
        }
        if let Some((width, height)) = wanted.size.filter(|_| wanted.size != is.size) {
            put(&["Resolution", "Width"], width.to_string());
            put(&["Resolution", "Height"], height.to_string());
        }
        if let Some(rate) = wanted.rate.filter(|_| wanted.rate != is.rate) {
            put(&["RateControl", "FrameRateLimit"], decimal(rate));
        }
        if let Some(rate) = wanted.bit_rate.filter(|_| wanted.bit_rate != is.bit_rate) {
            put(&["RateControl", "BitrateLimit"], rate.to_string());
        }
        let gov = wanted.gov_length.filter(|_| wanted.gov_length != is.gov_length);
        let gov = gov.map(|gov| gov.to_string());
        let profile = wanted.profile.clone().filter(|_| wanted.profile != is.profile);
        let anchor = wanted.anchor.filter(|_| wanted.anchor != is.anchor);
        match self.media {
            Media::First => all &= put_codec(&mut document, gov, profile),
            Media::Second => {
                let anchor = anchor.map(|anchor| anchor.to_string());
                let attributes =
                    [("GovLength", gov), ("Profile", profile), ("AnchorFrameDistance", anchor)];
                for (name, value) in attributes {
                    all &= value.is_none_or(|value| document.set_attribute(name, &value));
                }
            }
        }
        if !all {
            return None;
        }
        document.written("Configuration", calls::namespace(self.media))
    }
}

/// Sets the values that the first media service keeps in an element of their own.
fn put_codec(document: &mut Document, gov: Option<String>, profile: Option<String>) -> bool {
    let has_codec = document.element().named("H264").next().is_some();
    if has_codec {
        let values = [("GovLength", gov), ("H264Profile", profile)];
        return values.into_iter().all(|(name, value)| {
            value.is_none_or(|value| document.set_text(&["H264", name], &value))
        });
    }
    match (gov, profile) {
        (None, None) => true,
        (Some(gov), Some(profile)) => {
            let values = [("GovLength", gov.as_str()), ("H264Profile", profile.as_str())];
            // The schema has them in this order.
            document.add("H264", &values, &["Multicast", "SessionTimeout"])
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Returns the name of a codec in both media services.
fn code(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::H264 => "H264",
        Encoding::H265 => "H265",
        Encoding::Other => "",
    }
}

fn sizes(options: &Element) -> Vec<(u32, u32)> {
    let sizes = options.named("ResolutionsAvailable").filter_map(|size| {
        let side = |name| size.number(name).filter(|side| (1..=MAX_SIZE).contains(side));
        side("Width").zip(side("Height"))
    });
    sizes.take(MAX_CHOICES).collect()
}

fn range(element: &Element) -> Option<(u32, u32)> {
    let number = |name| element.text_of(name).and_then(whole);
    let (min, max) = (number("Min")?, number("Max")?);
    (min <= max).then_some((min, max))
}

/// Reads a number that some cameras write with a fraction.
fn whole(text: &str) -> Option<u32> {
    let number = text.split('.').next()?.trim().parse().ok();
    number.filter(|number| *number <= MAX_NUMBER)
}

/// Reads a number with up to three digits after the point.
fn thousandths(text: &str) -> Option<u32> {
    let (whole_part, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    let whole_part = whole(whole_part)?;
    whole_part.checked_mul(1000)?.checked_add(digits.parse().ok()?)
}

/// Writes a number of thousandths without superfluous zeros.
pub(super) fn decimal(thousandths: u32) -> String {
    let (whole_part, fraction) = (thousandths / 1000, thousandths % 1000);
    let text = format!("{whole_part}.{fraction:03}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
