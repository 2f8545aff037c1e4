//! The answers to a probe's calls, read leniently: elements are looked for by name at any depth.

use super::ServiceAddress;
use super::calls::{DEVICE, EVENTS, MEDIA1, MEDIA2, Media, PTZ};
use super::scopes::{mac, shown};
use super::xml::Element;

/// Maximum number of profiles that are read; a recorder with 64 sources has 128.
const MAX_PROFILES: usize = 128;

/// Maximum length of a token in characters (ONVIF's `ReferenceToken` has 64).
pub(super) const MAX_TOKEN: usize = 128;

/// Maximum width and height of a picture in pixels.
const MAX_SIZE: u32 = 32_768;

/// The addresses of a camera's services, as it names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Services {
    pub(super) device: Option<ServiceAddress>,
    pub(super) media1: Option<ServiceAddress>,
    pub(super) media2: Option<ServiceAddress>,
    pub(super) ptz: Option<ServiceAddress>,
    pub(super) events: Option<ServiceAddress>,
}

impl Services {
    /// Reads the answer to `GetServices` (ONVIF Core §8.1.2.1).
    pub(super) fn read(root: &Element) -> Self {
        let mut services = Self::default();
        for service in root.all("Service") {
            let address = service.text_of("XAddr").and_then(first_address);
            let namespace = service.text_of("Namespace").unwrap_or_default();
            let slot = match namespace.trim_end_matches('/') {
                DEVICE => &mut services.device,
                MEDIA1 => &mut services.media1,
                MEDIA2 => &mut services.media2,
                PTZ => &mut services.ptz,
                EVENTS => &mut services.events,
                _ => continue,
            };
            *slot = slot.take().or(address);
        }
        services
    }

    /// Reads the answer to `GetCapabilities` (ONVIF Core §8.1.2.2).
    pub(super) fn read_capabilities(root: &Element) -> Self {
        let address = |name: &str| {
            let named = root.find("Capabilities")?.find(name)?;
            named.text_of("XAddr").and_then(first_address)
        };
        Self {
            device: address("Device"),
            media1: address("Media"),
            media2: address("Media2"),
            ptz: address("PTZ"),
            events: address("Events"),
        }
    }

    /// Returns the address of a media service. The device service, and any that is not named, is at
    /// the address that has answered.
    pub(super) fn of(&self, media: Option<Media>) -> Option<&ServiceAddress> {
        match media? {
            Media::First => self.media1.as_ref(),
            Media::Second => self.media2.as_ref(),
        }
    }

    /// Returns the addresses that are there.
    pub(super) fn all(&self) -> impl Iterator<Item = &ServiceAddress> {
        let media = [&self.media1, &self.media2];
        [&self.device].into_iter().chain(media).chain([&self.ptz, &self.events]).flatten()
    }
}

/// Returns the first address of a text that should have one only.
fn first_address(text: &str) -> Option<ServiceAddress> {
    text.split_whitespace().find_map(ServiceAddress::parse)
}

/// The properties of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Information {
    /// Name of the vendor.
    pub vendor: Option<String>,
    /// Model of the device.
    pub model: Option<String>,
    /// Version of its firmware.
    pub firmware: Option<String>,
    /// Serial number of the device.
    pub serial: Option<String>,
    /// MAC address, as `aa:bb:cc:dd:ee:ff`.
    pub mac: Option<String>,
}

impl Information {
    /// Reads the answer to `GetDeviceInformation` (ONVIF Core §8.3.3).
    pub(super) fn read(root: &Element) -> Self {
        let text = |name: &str| root.text_of(name).map(shown).filter(|text| !text.is_empty());
        Self {
            vendor: text("Manufacturer"),
            model: text("Model"),
            firmware: text("FirmwareVersion"),
            serial: text("SerialNumber"),
            mac: None,
        }
    }

    /// Reads the MAC address in the answer to `GetNetworkInterfaces` (ONVIF Core §8.2.5): that of
    /// the first interface that is enabled.
    pub(super) fn read_mac(root: &Element) -> Option<String> {
        let interfaces = root.all("NetworkInterfaces");
        let is_enabled = |interface: &&Element| interface.text_of("Enabled") != Some("false");
        let enabled = interfaces.iter().copied().filter(is_enabled);
        let any = interfaces.iter().copied();
        enabled.chain(any).find_map(|interface| mac(interface.text_of("HwAddress")?))
    }
}

/// The codec of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// H.264, which every browser plays.
    H264,
    /// H.265, which some browsers play.
    H265,
    /// A codec that is not carried, such as JPEG.
    Other,
}

impl Encoding {
    pub(super) fn named(name: &str) -> Self {
        let name: String =
            name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_uppercase();
        match name.as_str() {
            "H264" => Self::H264,
            "H265" | "HEVC" => Self::H265,
            _ => Self::Other,
        }
    }

    /// Returns the name of the codec, as people know it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "H.264",
            Self::H265 => "H.265",
            Self::Other => "another codec",
        }
    }
}

/// A profile: a source with an encoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) token: String,
    /// Token of the video source; empty if the camera does not say.
    pub(super) source: String,
    /// Token of the configuration of the video source, or empty.
    pub(super) source_setting: String,
    /// Token of the encoder; empty if the camera does not say.
    pub(super) encoder: String,
    pub(super) name: Option<String>,
    pub(super) encoding: Encoding,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) frames_per_second: Option<u32>,
    /// Frames from one key frame to the next, as it is set.
    pub(super) gov_length: Option<u32>,
}

impl Profile {
    /// Reads the profiles in an answer of either media service. Those without an encoder are left
    /// out.
    pub(super) fn read_all(root: &Element) -> Vec<Self> {
        let mut profiles: Vec<Self> = Vec::new();
        for profile in root.all("Profiles").into_iter().filter_map(Self::read) {
            if profiles.len() < MAX_PROFILES && !profiles.iter().any(|p| p.token == profile.token) {
                profiles.push(profile);
            }
        }
        profiles
    }

    fn read(element: &Element) -> Option<Self> {
        let token = element.attribute("token")?;
        let is_token = !token.is_empty() && token.chars().count() <= MAX_TOKEN;
        let encoders = ["VideoEncoderConfiguration", "VideoEncoder"];
        let encoder = encoders.iter().find_map(|name| element.find(name)).filter(|_| is_token)?;
        let resolution = encoder.find("Resolution");
        let size = |name: &str| resolution?.number(name).filter(|size| *size <= MAX_SIZE);
        let rate = encoder.text_of("FrameRateLimit").and_then(whole);
        let gov = encoder.text_of("GovLength").or_else(|| encoder.attribute("GovLength"));
        // Directly below, because encoders have names, too.
        let name = element.named("Name").next().map(|name| shown(name.text()));
        let source = element.text_of("SourceToken").unwrap_or_default();
        let settings = ["VideoSourceConfiguration", "VideoSource"];
        let setting = settings.iter().find_map(|name| element.find(name)?.attribute("token"));
        Some(Self {
            token: token.to_owned(),
            source: source.chars().take(MAX_TOKEN).collect(),
            source_setting: setting.unwrap_or_default().chars().take(MAX_TOKEN).collect(),
            encoder: encoder
                .attribute("token")
                .unwrap_or_default()
                .chars()
                .take(MAX_TOKEN)
                .collect(),
            name: name.filter(|name| !name.is_empty()),
            encoding: Encoding::named(encoder.text_of("Encoding").unwrap_or_default()),
            width: size("Width").unwrap_or(0),
            height: size("Height").unwrap_or(0),
            frames_per_second: rate.filter(|rate| (1..=240).contains(rate)),
            gov_length: gov.and_then(whole).filter(|length| (1..=10_000).contains(length)),
        })
    }

    /// Returns the number of pixels of a picture.
    fn pixels(&self) -> u32 {
        self.width * self.height
    }

    fn is_playable(&self) -> bool {
        self.encoding != Encoding::Other
    }
}

/// Reads a number that the second media service writes with a fraction.
fn whole(text: &str) -> Option<u32> {
    text.split('.').next()?.trim().parse().ok()
}

/// The main and sub stream of one video source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) main: Profile,
    pub(super) sub: Option<Profile>,
}

/// Pixels of the sub stream that is wanted: 640×360.
const SUB_PIXELS: u32 = 640 * 360;

/// Groups profiles by their video sources, and chooses the streams of each: the main one has the
/// most pixels, the sub one is H.264 and close to 640×360.
pub(super) fn choose(profiles: Vec<Profile>, max_cameras: usize) -> Vec<Choice> {
    let mut sources: Vec<(String, Vec<Profile>)> = Vec::new();
    for profile in profiles.into_iter().filter(Profile::is_playable) {
        let has_room = sources.len() < max_cameras;
        match sources.iter_mut().find(|(source, _)| *source == profile.source) {
            Some((_, profiles)) => profiles.push(profile),
            None if has_room => sources.push((profile.source.clone(), vec![profile])),
            None => {}
        }
    }
    sources.into_iter().filter_map(|(_, profiles)| choose_streams(profiles)).collect()
}

fn choose_streams(profiles: Vec<Profile>) -> Option<Choice> {
    let is_h265 = |profile: &Profile| profile.encoding == Encoding::H265;
    // Of equals the first one is taken, which is the camera's own order.
    let largest =
        |a: &&Profile, b: &&Profile| (a.pixels(), is_h265(b)).cmp(&(b.pixels(), is_h265(a)));
    let main = profiles.iter().rev().max_by(largest)?.clone();
    let smaller = profiles.into_iter().filter(|profile| profile.pixels() < main.pixels());
    let sub =
        smaller.min_by_key(|profile| (is_h265(profile), profile.pixels().abs_diff(SUB_PIXELS)));
    Some(Choice { main, sub })
}

/// Reads the address in an answer to `GetStreamUri` or `GetSnapshotUri`.
pub(super) fn uri(root: &Element) -> Option<&str> {
    root.text_of("Uri")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(token: &str, source: &str, encoding: Encoding, size: (u32, u32)) -> Profile {
        Profile {
            token: token.to_owned(),
            source: source.to_owned(),
            source_setting: String::new(),
            encoder: String::new(),
            name: None,
            encoding,
            width: size.0,
            height: size.1,
            frames_per_second: None,
            gov_length: None,
        }
    }

    type Row = (&'static str, &'static str, Encoding, (u32, u32));
    type Case = (&'static str, &'static [Row], &'static [(&'static str, &'static str)]);

    #[test]
    fn each_source_gets_the_largest_stream_and_a_small_one_of_h264() {
        use Encoding::{H264, H265, Other};
        let cases: &[Case] = &[
            (
                "main and sub",
                &[("a", "s", H264, (1920, 1080)), ("b", "s", H264, (640, 360))],
                &[("a", "b")],
            ),
            (
                "the closest to 640x360",
                &[
                    ("a", "s", H265, (3840, 2160)),
                    ("b", "s", H264, (1280, 720)),
                    ("c", "s", H264, (640, 480)),
                    ("d", "s", H264, (176, 144)),
                ],
                &[("a", "c")],
            ),
            (
                "H.264 before a better size",
                &[
                    ("a", "s", H265, (3840, 2160)),
                    ("b", "s", H265, (640, 360)),
                    ("c", "s", H264, (1280, 720)),
                ],
                &[("a", "c")],
            ),
            (
                "H.264 of two that are equal",
                &[("a", "s", H265, (1920, 1080)), ("b", "s", H264, (1920, 1080))],
                &[("b", "")],
            ),
            (
                "the first of two that are equal",
                &[("a", "s", H264, (1920, 1080)), ("b", "s", H264, (1920, 1080))],
                &[("a", "")],
            ),
            (
                "JPEG is left out",
                &[("a", "s", Other, (3840, 2160)), ("b", "s", H264, (640, 360))],
                &[("b", "")],
            ),
            (
                "two sources",
                &[
                    ("a", "1", H264, (1920, 1080)),
                    ("c", "2", H264, (1280, 720)),
                    ("b", "1", H264, (640, 360)),
                ],
                &[("a", "b"), ("c", "")],
            ),
            ("nothing", &[], &[]),
        ];
        for (name, rows, expected) in cases {
            let profiles = rows.iter().map(|(t, s, e, size)| profile(t, s, *e, *size)).collect();
            let chosen = choose(profiles, 32);
            let tokens: Vec<_> = chosen
                .iter()
                .map(|choice| {
                    let sub = choice.sub.as_ref().map_or("", |sub| sub.token.as_str());
                    (choice.main.token.as_str(), sub)
                })
                .collect();
            assert_eq!(tokens, *expected, "{name}");
        }
    }

    #[test]
    fn the_profiles_of_both_media_services_are_read() {
        let first = "<trt:Profiles token=\"p1\" fixed=\"true\"><tt:Name>Main</tt:Name>\
            <tt:VideoSourceConfiguration token=\"c\"><tt:Name>VSC</tt:Name>\
            <tt:SourceToken>s1</tt:SourceToken></tt:VideoSourceConfiguration>\
            <tt:VideoEncoderConfiguration token=\"e\"><tt:Name>VEC</tt:Name>\
            <tt:Encoding>H264</tt:Encoding><tt:Resolution><tt:Width>1920</tt:Width>\
            <tt:Height>1080</tt:Height></tt:Resolution><tt:RateControl>\
            <tt:FrameRateLimit>25</tt:FrameRateLimit></tt:RateControl><tt:H264>\
            <tt:GovLength>50</tt:GovLength></tt:H264></tt:VideoEncoderConfiguration>\
            </trt:Profiles><trt:Profiles token=\"p2\"><tt:Name>No encoder</tt:Name></trt:Profiles>";
        let second = "<tr2:Profiles token=\"p1\"><tr2:Name>Main</tr2:Name><tr2:Configurations>\
            <tr2:VideoSource token=\"c\"><tt:SourceToken>s1</tt:SourceToken></tr2:VideoSource>\
            <tr2:VideoEncoder token=\"e\" GovLength=\"50\" Profile=\"High\">\
            <tt:Encoding>H264</tt:Encoding><tt:Resolution><tt:Width>1920</tt:Width>\
            <tt:Height>1080</tt:Height></tt:Resolution><tt:RateControl ConstantBitRate=\"true\">\
            <tt:FrameRateLimit>25.0</tt:FrameRateLimit></tt:RateControl></tr2:VideoEncoder>\
            </tr2:Configurations></tr2:Profiles>";
        let expected = Profile {
            encoder: "e".to_owned(),
            name: Some("Main".to_owned()),
            frames_per_second: Some(25),
            gov_length: Some(50),
            source_setting: "c".to_owned(),
            ..profile("p1", "s1", Encoding::H264, (1920, 1080))
        };
        for document in [first, second] {
            let found = Profile::read_all(&Element::read(document.as_bytes()));
            assert_eq!(found, std::slice::from_ref(&expected), "{document}");
        }
    }

    #[test]
    fn absurd_numbers_and_tokens_are_left_out() {
        let long = "x".repeat(500);
        for (token, width, expected) in [
            ("p", "99999999", Some(0)),
            ("p", "-1", Some(0)),
            ("", "640", None),
            (&long, "1", None),
        ] {
            let document = format!(
                "<Profiles token=\"{token}\"><VideoEncoder><Encoding>H264</Encoding>\
                 <Resolution><Width>{width}</Width></Resolution></VideoEncoder></Profiles>"
            );
            let found = Profile::read_all(&Element::read(document.as_bytes()));
            assert_eq!(found.first().map(|profile| profile.width), expected, "{width}");
        }
    }
}
