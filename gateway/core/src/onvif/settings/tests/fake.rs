//! A fake device with encoders that can be set.

use super::super::document::Document;
use crate::onvif::calls::{MEDIA1, MEDIA2, Media};
use crate::onvif::clock;
use crate::onvif::http::Reply;
use crate::onvif::probe::Request;
use crate::onvif::xml::Element;

/// An encoder: its token and its configuration, as it is written.
#[derive(Debug, Clone)]
pub(super) struct FakeEncoder {
    pub(super) token: &'static str,
    pub(super) text: String,
    pub(super) options: String,
}

/// The reaction to a request that sets something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reaction {
    Accepts,
    Refuses,
    Forbids,
    Ignores,
    /// Sets the value, and does not answer.
    IsSilent,
}

/// A device with one video source.
#[derive(Debug, Clone)]
pub(super) struct Fake {
    pub(super) media: Media,
    pub(super) encoders: Vec<FakeEncoder>,
    /// The reactions to the requests that set something, in their order; then all are accepted.
    pub(super) reactions: Vec<Reaction>,
    pub(super) ahead_s: i64,
    pub(super) time_type: &'static str,
    /// Calls that it does not know.
    pub(super) lacks: Vec<&'static str>,
    /// True: its answers about encoders lack an end tag.
    pub(super) is_cut: bool,
    /// The requests that wanted to set something.
    pub(super) set: Vec<String>,
}

impl Fake {
    /// Creates a device with H.264 in 1920×1080 and 640×360, which has nothing to put right.
    pub(super) fn new(media: Media) -> Self {
        let main = encoder(media, "e1", "H264", (1920, 1080), 25, 50);
        let sub = encoder(media, "e2", "H264", (640, 360), 15, 30);
        Self {
            media,
            encoders: vec![main, sub],
            reactions: Vec::new(),
            ahead_s: 0,
            time_type: "Manual",
            lacks: Vec::new(),
            is_cut: false,
            set: Vec::new(),
        }
    }

    /// Answers a request at a time; `None` is no answer.
    pub(super) fn handle(&mut self, request: &Request, unix_s: i64) -> Option<Reply> {
        let text = String::from_utf8_lossy(&request.bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
        let action = head.split("action=\"").nth(1).unwrap_or_default();
        let call = action.split('"').next().unwrap_or_default().rsplit('/').next()?.to_owned();
        if self.lacks.contains(&call.as_str()) {
            return Some(fault("ter:ActionNotSupported"));
        }
        let root = Element::read(body.as_bytes());
        let token = root.text_of("ConfigurationToken").unwrap_or_default();
        let named = self.encoders.iter().find(|encoder| encoder.token == token);
        let content = match call.as_str() {
            "GetSystemDateAndTime" => self.time(unix_s),
            "GetServices" => services(self.media),
            "GetProfiles" => self.profiles(),
            "GetVideoEncoderConfiguration" | "GetVideoEncoderConfigurations" => {
                let text = named.map(|encoder| encoder.text.clone()).unwrap_or_default();
                if self.is_cut { text.replace("</tt:Quality>", "") } else { text }
            }
            "GetVideoEncoderConfigurationOptions" => {
                named.map(|encoder| encoder.options.clone()).unwrap_or_default()
            }
            "SetVideoEncoderConfiguration" | "SetSystemDateAndTime" => {
                self.set.push(body.to_owned());
                let reaction = self.reactions.get(self.set.len() - 1).copied();
                let reaction = reaction.unwrap_or(Reaction::Accepts);
                if matches!(reaction, Reaction::Accepts | Reaction::IsSilent) {
                    self.store(body, &root, unix_s);
                }
                match reaction {
                    Reaction::Accepts | Reaction::Ignores => String::new(),
                    Reaction::Refuses => return Some(fault("ter:ConfigModify")),
                    Reaction::Forbids => return Some(fault("ter:NotAuthorized")),
                    Reaction::IsSilent => return None,
                }
            }
            _ => return Some(fault("ter:ActionNotSupported")),
        };
        let body = format!(
            "<e:Envelope xmlns:e=\"urn:e\" xmlns:tt=\"urn:tt\" xmlns:v=\"urn:v\" \
             xmlns:m=\"urn:m\"><e:Body><m:{call}Response>{content}</m:{call}Response></e:Body>\
             </e:Envelope>"
        );
        Some(Reply { status: 200, body: body.into_bytes(), ..Reply::default() })
    }

    fn store(&mut self, body: &str, root: &Element, unix_s: i64) {
        if let Some(time) = clock::read(root) {
            self.ahead_s = time.unix_s - unix_s;
        }
        for encoder in &mut self.encoders {
            let found = Document::find(body.as_bytes(), &["Configuration"], encoder.token);
            if let Some(found) = found {
                found.text().clone_into(&mut encoder.text);
            }
        }
    }

    fn time(&self, unix_s: i64) -> String {
        let clock::Parts { year, month, day, hour, minute, second } =
            clock::parts(unix_s + self.ahead_s);
        format!(
            "<tt:DateTimeType>{}</tt:DateTimeType><tt:DaylightSavings>true</tt:DaylightSavings>\
             <tt:TimeZone><tt:TZ>CET-1CEST</tt:TZ></tt:TimeZone><tt:UTCDateTime><tt:Time>\
             <tt:Hour>{hour}</tt:Hour><tt:Minute>{minute}</tt:Minute><tt:Second>{second}\
             </tt:Second></tt:Time><tt:Date><tt:Year>{year}</tt:Year><tt:Month>{month}</tt:Month>\
             <tt:Day>{day}</tt:Day></tt:Date></tt:UTCDateTime>",
            self.time_type
        )
    }

    fn profiles(&self) -> String {
        let profile = |encoder: &FakeEncoder| {
            let names = &["Configuration", "Configurations"];
            let document = Document::find(encoder.text.as_bytes(), names, encoder.token).unwrap();
            let (name, namespace) = match self.media {
                Media::First => ("VideoEncoderConfiguration", MEDIA1),
                Media::Second => ("VideoEncoder", MEDIA2),
            };
            format!(
                "<m:Profiles token=\"p-{}\"><VideoSource><SourceToken>s</SourceToken>\
                 </VideoSource>{}</m:Profiles>",
                encoder.token,
                document.written(name, namespace).unwrap()
            )
        };
        self.encoders.iter().map(profile).collect()
    }
}

/// Returns an encoder of either media service, with what vendors add.
pub(super) fn encoder(
    media: Media,
    token: &'static str,
    encoding: &str,
    (width, height): (u32, u32),
    rate: u32,
    gov: u32,
) -> FakeEncoder {
    let resolution = format!("<tt:Width>{width}</tt:Width><tt:Height>{height}</tt:Height>");
    let text = match media {
        Media::First => format!(
            "<m:Configuration token=\"{token}\" v:Model='x&amp;y'><tt:Name>{token}</tt:Name>\
             <tt:UseCount>2</tt:UseCount><tt:Encoding>{encoding}</tt:Encoding>\
             <tt:Resolution>{resolution}</tt:Resolution><tt:Quality>4</tt:Quality>\
             <tt:RateControl><tt:FrameRateLimit>{rate}</tt:FrameRateLimit>\
             <tt:EncodingInterval>1</tt:EncodingInterval><tt:BitrateLimit>2048</tt:BitrateLimit>\
             </tt:RateControl><tt:H264><tt:GovLength>{gov}</tt:GovLength>\
             <tt:H264Profile>High</tt:H264Profile></tt:H264><tt:Multicast/>\
             <tt:SessionTimeout>PT60S</tt:SessionTimeout><v:Own>1</v:Own></m:Configuration>"
        ),
        Media::Second => format!(
            "<m:Configurations token=\"{token}\" GovLength=\"{gov}\" Profile=\"High\" \
             v:Model='x&amp;y'><tt:Name>{token}</tt:Name><tt:UseCount>2</tt:UseCount>\
             <tt:Encoding>{encoding}</tt:Encoding><tt:Resolution>{resolution}</tt:Resolution>\
             <tt:RateControl ConstantBitRate=\"true\"><tt:FrameRateLimit>{rate}.0\
             </tt:FrameRateLimit><tt:BitrateLimit>2048</tt:BitrateLimit></tt:RateControl>\
             <tt:Quality>4</tt:Quality><v:Own>1</v:Own></m:Configurations>"
        ),
    };
    let options = match media {
        Media::First => options_first(),
        Media::Second => options_second("H264") + &options_second("H265"),
    };
    FakeEncoder { token, text, options }
}

const SIZES: [(u32, u32); 4] = [(1920, 1080), (1280, 720), (640, 480), (640, 360)];

fn sizes() -> String {
    let size = |(width, height): &(u32, u32)| {
        format!(
            "<tt:ResolutionsAvailable><tt:Width>{width}</tt:Width><tt:Height>{height}\
             </tt:Height></tt:ResolutionsAvailable>"
        )
    };
    SIZES.iter().map(size).collect()
}

fn options_first() -> String {
    let range = |name: &str, min: u32, max: u32| {
        format!("<tt:{name}><tt:Min>{min}</tt:Min><tt:Max>{max}</tt:Max></tt:{name}>")
    };
    let h264 = sizes()
        + &range("GovLengthRange", 1, 250)
        + &range("FrameRateRange", 1, 25)
        + "<tt:H264ProfilesSupported>Baseline</tt:H264ProfilesSupported>\
           <tt:H264ProfilesSupported>High</tt:H264ProfilesSupported>";
    let bit_rate = range("BitrateRange", 64, 8192);
    format!(
        "<m:Options><tt:H264>{h264}</tt:H264><tt:Extension><tt:H264>{h264}{bit_rate}</tt:H264>\
         </tt:Extension></m:Options>"
    )
}

fn options_second(encoding: &str) -> String {
    format!(
        "<m:Options GovLengthRange=\"1 250\" FrameRatesSupported=\"25.0 20 12.5 5\" \
         ProfilesSupported=\"Main Baseline High\"><tt:Encoding>{encoding}</tt:Encoding>{}\
         <tt:BitrateRange><tt:Min>64</tt:Min><tt:Max>8192</tt:Max></tt:BitrateRange></m:Options>",
        sizes()
    )
}

fn services(media: Media) -> String {
    let namespace = match media {
        Media::First => MEDIA1,
        Media::Second => MEDIA2,
    };
    format!(
        "<Service><Namespace>{namespace}</Namespace><XAddr>http://192.168.12.2/media</XAddr>\
         </Service>"
    )
}

fn fault(code: &str) -> Reply {
    let body = format!(
        "<e:Envelope><e:Body><e:Fault><e:Code><e:Subcode><e:Value>{code}</e:Value></e:Subcode>\
         </e:Code><e:Reason><e:Text>Not now</e:Text></e:Reason></e:Fault></e:Body></e:Envelope>"
    );
    Reply { status: 400, body: body.into_bytes(), ..Reply::default() }
}
