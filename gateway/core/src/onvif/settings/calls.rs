//! The calls that read and set a camera's settings, beside those of a probe.

use crate::onvif::calls::{Call, DEVICE, MEDIA1, MEDIA2, Media};
use crate::onvif::clock;
use crate::onvif::xml::escape;

/// Namespace of the types of all services (ONVIF Core §5.3).
const SCHEMA: &str = "http://www.onvif.org/ver10/schema";

/// A request: the service it goes to, and its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// The media service that answers; `None` for the device service.
    pub(super) media: Option<Media>,
    /// Value of `action` in the content type.
    pub(super) action: String,
    /// Content of the request's body.
    pub(super) body: String,
}

impl From<&Call> for Message {
    fn from(call: &Call) -> Self {
        Self { media: call.media(), action: call.action(), body: call.body() }
    }
}

/// Returns the namespace of a media service.
pub(super) fn namespace(media: Media) -> &'static str {
    match media {
        Media::First => MEDIA1,
        Media::Second => MEDIA2,
    }
}

/// Returns the request for one encoder (Media §5.7.3, Media2 §5.2.2). The second service has no
/// call for a single one, but takes a token.
pub(super) fn encoder(media: Media, token: &str) -> Message {
    let name = match media {
        Media::First => "GetVideoEncoderConfiguration",
        Media::Second => "GetVideoEncoderConfigurations",
    };
    message(media, name, &token_content(token))
}

/// Returns the request for the values that an encoder takes (Media §5.7.7, Media2 §5.2.4).
pub(super) fn options(media: Media, token: &str) -> Message {
    message(media, "GetVideoEncoderConfigurationOptions", &token_content(token))
}

/// Returns the request to set an encoder (Media §5.7.8, Media2 §5.2.3), with its configuration as
/// it is written. What the second service sets stays without being asked for it.
pub(super) fn set_encoder(media: Media, configuration: &str) -> Message {
    let persistence = match media {
        Media::First => "<c:ForcePersistence>true</c:ForcePersistence>",
        Media::Second => "",
    };
    message(media, "SetVideoEncoderConfiguration", &format!("{configuration}{persistence}"))
}

/// Returns the request to set the clock (ONVIF Core §8.3.5). Time zone and summer time stay as they
/// are.
pub(super) fn set_time(unix_s: i64, is_summer: bool, zone: Option<&str>) -> Message {
    let zone = zone.map(|zone| format!("<c:TimeZone><t:TZ>{}</t:TZ></c:TimeZone>", escape(zone)));
    let clock::Parts { year, month, day, hour, minute, second } = clock::parts(unix_s);
    let content = format!(
        "<c:DateTimeType>Manual</c:DateTimeType><c:DaylightSavings>{is_summer}\
         </c:DaylightSavings>{}<c:UTCDateTime><t:Time><t:Hour>{hour}</t:Hour>\
         <t:Minute>{minute}</t:Minute><t:Second>{second}</t:Second></t:Time><t:Date>\
         <t:Year>{year}</t:Year><t:Month>{month}</t:Month><t:Day>{day}</t:Day></t:Date>\
         </c:UTCDateTime>",
        zone.unwrap_or_default()
    );
    let name = "SetSystemDateAndTime";
    Message {
        media: None,
        action: format!("{DEVICE}/{name}"),
        body: format!("<c:{name} xmlns:c=\"{DEVICE}\" xmlns:t=\"{SCHEMA}\">{content}</c:{name}>"),
    }
}

fn token_content(token: &str) -> String {
    format!("<c:ConfigurationToken>{}</c:ConfigurationToken>", escape(token))
}

fn message(media: Media, name: &str, content: &str) -> Message {
    let namespace = namespace(media);
    Message {
        media: Some(media),
        action: format!("{namespace}/{name}"),
        body: format!("<c:{name} xmlns:c=\"{namespace}\">{content}</c:{name}>"),
    }
}
