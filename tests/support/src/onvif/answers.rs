//! The documents of a fake camera.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Fake, Mechanics};

/// Returns the text of the first element with this name, with its prefix.
pub(super) fn element<'a>(text: &'a str, name: &str) -> &'a str {
    let mut tags = text.split('<').filter(|tag| {
        let rest = tag.strip_prefix(name).unwrap_or_default();
        rest.starts_with(['>', ' '])
    });
    tags.next().and_then(|tag| tag.split_once('>')).map_or("", |(_, content)| content)
}

/// Returns the name of the call in a request.
pub(super) fn call(request: &str) -> &str {
    let body = request.split_once("<s:Body><c:").map_or("", |(_, body)| body);
    body.split([' ', '>', '/']).next().unwrap_or_default()
}

/// Returns the time in seconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}

/// Returns year, month and day of a day since 1970, by counting.
fn calendar(mut day: i64) -> (i64, usize, i64) {
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970;
    while day >= 365 + i64::from(is_leap(year)) {
        day -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + i64::from(is_leap(year));
    for (month, days) in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].iter().enumerate() {
        if day < *days {
            return (year, month + 1, day + 1);
        }
        day -= days;
    }
    (year, 12, 31)
}

/// Writes a time as `xsd:dateTime`.
pub(super) fn date(unix_s: i64) -> String {
    let (year, month, day) = calendar(unix_s / 86_400);
    let (hour, minute, second) = (unix_s / 3600 % 24, unix_s / 60 % 60, unix_s % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Writes an answer to a search, by a device of this number.
pub(super) fn probe_match(camera: &Fake, probe: &str, number: usize, http: SocketAddr) -> String {
    let own = http.ip().to_string();
    let host = camera.named.unwrap_or(&own);
    let related = element(probe, "a:MessageID");
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <env:Envelope xmlns:env=\"http://www.w3.org/2003/05/soap-envelope\"><env:Header>\
         <wsa:RelatesTo>{related}</wsa:RelatesTo></env:Header><env:Body><d:ProbeMatches>\
         <d:ProbeMatch><wsa:EndpointReference><wsa:Address>\
         urn:uuid:4d454930-0000-1000-8000-{number:012x}</wsa:Address></wsa:EndpointReference>\
         <d:Types>dn:NetworkVideoTransmitter tds:Device</d:Types>\
         <d:Scopes>onvif://www.onvif.org/name/AXIS%20{model} \
         onvif://www.onvif.org/hardware/{model} onvif://www.onvif.org/MAC/{mac}\
         </d:Scopes>\
         <d:XAddrs>http://{host}:{port}/onvif/device_service?a=1&b=2 http://[fe80::1]/x</d:XAddrs>\
         </d:ProbeMatch></d:ProbeMatches></env:Body></env:Envelope>",
        model = camera.model,
        mac = mac(number),
        port = http.port()
    )
}

/// Returns the MAC address of a device of this number.
pub fn mac(number: usize) -> String {
    format!("00:11:22:33:44:{:02x}", 0x55 + number % 0xAA)
}

/// Writes a reply with a fault.
pub(super) fn fault(status: u16, headers: &str, code: &str) -> String {
    let body = format!(
        "<s:Envelope><s:Body><s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>\
         {code}</s:Value></s:Subcode></s:Code></s:Fault></s:Body></s:Envelope>"
    );
    format!("HTTP/1.1 {status} No\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Returns host and port of a camera, as it names itself.
pub(super) fn authority(camera: &Fake, http: SocketAddr) -> String {
    let own = http.ip().to_string();
    format!("{}:{}", camera.named.unwrap_or(&own), http.port())
}

/// Writes a reply with what a call asks for.
pub(super) fn content(camera: &Fake, call: &str, request: &str, http: SocketAddr) -> String {
    let is_second = request.starts_with("POST /onvif/media2");
    let of_encoders = camera.encoders.as_ref();
    let of_encoders =
        of_encoders.and_then(|it| it.answer((call, request), is_second, camera.ahead_s));
    let content = match of_encoders {
        Some(Err(reply)) => return reply,
        Some(Ok(content)) => Some(content),
        None => plain_content(camera, call, request, http),
    };
    match content {
        Some(content) => reply(call, &content),
        None => fault(500, "", "ter:ActionNotSupported"),
    }
}

/// Writes a reply with this content, in chunks as some cameras send it.
pub(super) fn reply(call: &str, content: &str) -> String {
    let body = format!(
        "<s:Envelope><s:Body><r:{call}Response>{content}</r:{call}Response></s:Body>\
                        </s:Envelope>"
    );
    let (first, second) = body.split_at(body.len() / 2);
    format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:x}\r\n{second}\
         \r\n0\r\n\r\n",
        first.len(),
        second.len()
    )
}

/// Returns what a call asks for, if the camera knows it.
fn plain_content(camera: &Fake, call: &str, request: &str, http: SocketAddr) -> Option<String> {
    let own = http.ip().to_string();
    let host = camera.named.unwrap_or(&own);
    let token = element(request, "c:ProfileToken");
    let is_second = request.starts_with("POST /onvif/media2");
    Some(match call {
        "GetSystemDateAndTime" => time(now() + camera.ahead_now_s()),
        "GetServices" => services(camera, host, http.port()),
        "GetDeviceInformation" => "<tds:Manufacturer>Example</tds:Manufacturer>\
            <tds:Model>Model 1</tds:Model><tds:FirmwareVersion>1.2</tds:FirmwareVersion>"
            .to_owned(),
        "GetNetworkInterfaces" => format!(
            "<tds:NetworkInterfaces token=\"eth0\"><tt:Enabled>true</tt:Enabled><tt:Info>\
             <tt:HwAddress>{}</tt:HwAddress></tt:Info></tds:NetworkInterfaces>",
            mac(camera.first)
        ),
        "GetProfiles" if camera.media2_only == is_second => {
            profiles(camera.sources, camera.mechanics.setting(is_second))
        }
        "GetStreamUri" if camera.stream.is_some() => {
            let address = camera.stream.as_deref().unwrap_or_default();
            format!("<tt:Uri>{}</tt:Uri>", address.replace("TOKEN", token))
        }
        "GetStreamUri" => format!("<tt:Uri>rtsp://{host}:554/{token}?x=1&y=2</tt:Uri>"),
        "GetSnapshotUri" => format!("<tt:Uri>http://{host}/snapshot</tt:Uri>"),
        _ => return None,
    })
}

fn time(unix_s: i64) -> String {
    let (year, month, day) = calendar(unix_s / 86_400);
    let (hour, minute, second) = (unix_s / 3600 % 24, unix_s / 60 % 60, unix_s % 60);
    format!(
        "<tt:UTCDateTime><tt:Time><tt:Hour>{hour}</tt:Hour><tt:Minute>{minute}</tt:Minute>\
         <tt:Second>{second}</tt:Second></tt:Time><tt:Date><tt:Year>{year}</tt:Year>\
         <tt:Month>{month}</tt:Month><tt:Day>{day}</tt:Day></tt:Date></tt:UTCDateTime>"
    )
}

fn services(camera: &Fake, host: &str, port: u16) -> String {
    let media = if camera.media2_only { ("20", "media2") } else { ("10", "media") };
    let service = |version: &str, kind: &str, path: &str| {
        format!(
            "<tds:Service><tds:Namespace>http://www.onvif.org/ver{version}/{kind}/wsdl\
             </tds:Namespace><tds:XAddr>http://{host}:{port}/onvif/{path}</tds:XAddr></tds:Service>"
        )
    };
    let mut services =
        service("10", "device", "device_service") + &service(media.0, "media", media.1);
    if camera.mechanics != Mechanics::None {
        services += &service("20", "ptz", "ptz");
    }
    if camera.event_slots > 0 {
        services += &service("10", "events", "events");
    }
    services
}

fn profiles(sources: usize, setting: &str) -> String {
    let profile = |token: &str, source: usize, width: u32, height: u32| {
        format!(
            "<trt:Profiles token=\"{token}{source}\"><tt:Name>Camera {source}</tt:Name>\
             <tt:VideoSourceConfiguration><tt:SourceToken>s{source}</tt:SourceToken>\
             </tt:VideoSourceConfiguration><tt:VideoEncoderConfiguration><tt:Encoding>H264\
             </tt:Encoding><tt:Resolution><tt:Width>{width}</tt:Width><tt:Height>{height}\
             </tt:Height></tt:Resolution><tt:RateControl><tt:FrameRateLimit>25\
             </tt:FrameRateLimit></tt:RateControl></tt:VideoEncoderConfiguration>{setting}\
             </trt:Profiles>"
        )
    };
    let both = |source| profile("main", source, 1920, 1080) + &profile("sub", source, 640, 360);
    (1..=sources).map(both).collect()
}
