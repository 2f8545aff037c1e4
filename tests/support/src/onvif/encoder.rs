//! The encoders and the clock of a fake camera, which can be set with either media service.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::answers::{element, fault, now};

/// The reaction of a camera to a request that sets something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// Sets the values.
    Accept,
    /// Refuses them, and keeps those it has.
    Refuse,
    /// Says yes, and keeps those it has.
    Ignore,
}

/// The settings of an encoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoder {
    /// Codec, such as `H264`.
    pub encoding: String,
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Frames per second.
    pub rate: u32,
    /// Kilobits per second.
    pub bit_rate: u32,
    /// Frames from one key frame to the next.
    pub gov_length: u32,
    /// Profile of the codec, such as `Main`.
    pub profile: String,
}

impl Encoder {
    /// Creates an encoder of H.264 with 25 frames per second.
    pub fn new(size: (u32, u32), gov_length: u32) -> Self {
        let (encoding, profile) = ("H264".to_owned(), "Main".to_owned());
        Self { encoding, size, rate: 25, bit_rate: 2048, gov_length, profile }
    }
}

/// The state of the encoders and the clock.
#[derive(Debug, Default)]
struct State {
    encoders: Vec<Encoder>,
    /// The reactions to the requests that set something, in their order; then all are accepted.
    reactions: Vec<Reaction>,
    /// Number of requests that wanted to set something.
    requests: usize,
    /// Seconds by which the clock was moved.
    moved_s: i64,
}

/// The encoders of a camera: that of the main stream first. A clone is the same camera's.
#[derive(Debug, Clone, Default)]
pub struct Encoders(Arc<Mutex<State>>);

impl Encoders {
    /// Creates the encoders.
    pub fn new(encoders: Vec<Encoder>) -> Self {
        Self(Arc::new(Mutex::new(State { encoders, ..State::default() })))
    }

    /// Sets the reactions to the requests from now on that set something.
    pub fn set_reactions(&self, reactions: &[Reaction]) {
        let mut state = self.state();
        state.reactions = reactions.to_vec();
        state.requests = 0;
    }

    /// Sets one of the encoders, as another client would.
    pub fn set(&self, index: usize, encoder: Encoder) {
        self.state().encoders[index] = encoder;
    }

    /// Returns the settings as they are.
    pub fn now(&self) -> Vec<Encoder> {
        self.state().encoders.clone()
    }

    /// Returns the number of requests that wanted to set something.
    pub fn requests(&self) -> usize {
        self.state().requests
    }

    /// Returns the seconds by which the clock was moved.
    pub fn moved_s(&self) -> i64 {
        self.state().moved_s
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the content of the answer to a call about encoders, or the reply with a fault.
    /// `None` if it is about something else; `ahead_s` is how far the clock was ahead at first.
    pub(super) fn answer(
        &self,
        (call, request): (&str, &str),
        is_second: bool,
        ahead_s: i64,
    ) -> Option<Result<String, String>> {
        let token = element(request, "c:ConfigurationToken");
        let index = |token: &str| if token == "encoder2" { 1 } else { 0 };
        let mut state = self.state();
        Some(Ok(match call {
            "GetProfiles" => {
                let profile = |(index, it): (usize, &Encoder)| profile(index, it, is_second);
                state.encoders.iter().enumerate().map(profile).collect()
            }
            "GetVideoEncoderConfiguration" | "GetVideoEncoderConfigurations" => {
                let name = if is_second { "Configurations" } else { "Configuration" };
                let index = index(token);
                configuration(name, index, state.encoders.get(index)?, is_second)
            }
            "GetVideoEncoderConfigurationOptions" => options(is_second),
            "SetVideoEncoderConfiguration" => match state.react() {
                Reaction::Accept => {
                    let index = index(attribute(request, "token"));
                    match read(request, is_second) {
                        Some(encoder) => *state.encoders.get_mut(index)? = encoder,
                        None => return Some(Err(fault(400, "", "ter:ConfigModify"))),
                    }
                    String::new()
                }
                Reaction::Refuse => return Some(Err(fault(400, "", "ter:ConfigModify"))),
                Reaction::Ignore => String::new(),
            },
            "SetSystemDateAndTime" => match state.react() {
                Reaction::Accept => {
                    state.moved_s = seconds(request) - now() - ahead_s;
                    String::new()
                }
                Reaction::Refuse => return Some(Err(fault(400, "", "ter:InvalidDateTime"))),
                Reaction::Ignore => String::new(),
            },
            _ => return None,
        }))
    }
}

impl State {
    fn react(&mut self) -> Reaction {
        self.requests += 1;
        self.reactions.get(self.requests - 1).copied().unwrap_or(Reaction::Accept)
    }
}

/// Returns the time that a request wants to set, in seconds since 1970.
fn seconds(request: &str) -> i64 {
    let number = |name: &str| element(request, name).parse::<i64>().unwrap_or_default();
    let years = 1970..number("t:Year");
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut days: i64 = years.map(|year| 365 + i64::from(is_leap(year))).sum();
    let february = 28 + i64::from(is_leap(number("t:Year")));
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month = usize::try_from(number("t:Month")).unwrap_or(1);
    days += months.iter().take(month - 1).sum::<i64>() + number("t:Day") - 1;
    days * 86_400 + number("t:Hour") * 3600 + number("t:Minute") * 60 + number("t:Second")
}

fn attribute<'a>(text: &'a str, name: &str) -> &'a str {
    let after = text.split_once(&format!(" {name}=\"")).map_or("", |(_, after)| after);
    after.split('"').next().unwrap_or_default()
}

/// Reads what is to be set. Returns `None` if a part is missing that only the vendor knows.
fn read(request: &str, is_second: bool) -> Option<Encoder> {
    let text = |name: &str| element(request, name).trim().to_owned();
    let number = |name: &str| text(name).split('.').next().and_then(|it| it.parse().ok());
    let has_own = text("v:SmartCodec") == "on" && request.contains("xmlns:v=\"urn:vendor\"");
    if !has_own {
        return None;
    }
    let (gov_length, profile) = if is_second {
        (attribute(request, "GovLength").to_owned(), attribute(request, "Profile").to_owned())
    } else {
        (text("tt:GovLength"), text("tt:H264Profile"))
    };
    Some(Encoder {
        encoding: text("tt:Encoding"),
        size: (number("tt:Width")?, number("tt:Height")?),
        rate: number("tt:FrameRateLimit")?,
        bit_rate: number("tt:BitrateLimit")?,
        gov_length: gov_length.parse().ok()?,
        profile,
    })
}

fn profile(index: usize, encoder: &Encoder, is_second: bool) -> String {
    let name = if is_second { "VideoEncoder" } else { "VideoEncoderConfiguration" };
    let token = if index == 0 { "main1" } else { "sub1" };
    format!(
        "<r:Profiles token=\"{token}\"><tt:Name>Camera</tt:Name><tt:VideoSourceConfiguration>\
         <tt:SourceToken>s1</tt:SourceToken></tt:VideoSourceConfiguration>{}</r:Profiles>",
        configuration(name, index, encoder, is_second)
    )
}

fn configuration(name: &str, index: usize, encoder: &Encoder, is_second: bool) -> String {
    let Encoder { encoding, size: (width, height), rate, bit_rate, gov_length, profile } = encoder;
    let number = index + 1;
    let (attributes, codec) = if is_second {
        (format!(" GovLength=\"{gov_length}\" Profile=\"{profile}\""), String::new())
    } else {
        let codec = format!(
            "<tt:H264><tt:GovLength>{gov_length}</tt:GovLength><tt:H264Profile>{profile}\
             </tt:H264Profile></tt:H264>"
        );
        (String::new(), codec)
    };
    format!(
        "<r:{name} token=\"encoder{number}\"{attributes}><tt:Name>Encoder</tt:Name>\
         <tt:UseCount>1</tt:UseCount><tt:Encoding>{encoding}</tt:Encoding><tt:Resolution>\
         <tt:Width>{width}</tt:Width><tt:Height>{height}</tt:Height></tt:Resolution>\
         <tt:Quality>5</tt:Quality><tt:RateControl><tt:FrameRateLimit>{rate}</tt:FrameRateLimit>\
         <tt:BitrateLimit>{bit_rate}</tt:BitrateLimit></tt:RateControl>{codec}\
         <v:SmartCodec xmlns:v=\"urn:vendor\">on</v:SmartCodec></r:{name}>"
    )
}

fn options(is_second: bool) -> String {
    let size = |(width, height): (u32, u32)| {
        format!(
            "<tt:ResolutionsAvailable><tt:Width>{width}</tt:Width><tt:Height>{height}\
             </tt:Height></tt:ResolutionsAvailable>"
        )
    };
    let sizes: String = [(1920, 1080), (1280, 720), (640, 360)].into_iter().map(size).collect();
    let range = |name: &str, min: u32, max: u32| {
        format!("<tt:{name}><tt:Min>{min}</tt:Min><tt:Max>{max}</tt:Max></tt:{name}>")
    };
    let bit_rate = range("BitrateRange", 64, 8192);
    if is_second {
        let codec = |encoding: &str| {
            format!(
                "<r:Options GovLengthRange=\"1 400\" FrameRatesSupported=\"25 15 5\" \
                 ProfilesSupported=\"Baseline Main High\"><tt:Encoding>{encoding}</tt:Encoding>\
                 {sizes}{bit_rate}</r:Options>"
            )
        };
        return codec("H264") + &codec("H265");
    }
    let codec = sizes
        + &range("GovLengthRange", 1, 400)
        + &range("FrameRateRange", 1, 25)
        + "<tt:H264ProfilesSupported>Baseline</tt:H264ProfilesSupported>\
           <tt:H264ProfilesSupported>Main</tt:H264ProfilesSupported>";
    format!(
        "<r:Options><tt:H264>{codec}</tt:H264><tt:Extension><tt:H264>{codec}{bit_rate}</tt:H264>\
         </tt:Extension></r:Options>"
    )
}
