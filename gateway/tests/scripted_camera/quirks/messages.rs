//! Quirks of replies, requests and descriptions.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Quirk, on};
use crate::scripted_camera::password::challenge;
use crate::scripted_camera::{Reply, Request, ScriptedCamera};

fn moved(request: &Request, reply: Reply, status: &str, location: &str) -> Reply {
    let location = location.replace("{port}", &request.other_port.to_string());
    reply.status(status).body("").without("Content-Type").with("Location", &location)
}

/// Redirects the DESCRIBE of the first port.
fn redirecting(
    camera: ScriptedCamera,
    status: &'static str,
    location: &'static str,
) -> ScriptedCamera {
    on(camera, "DESCRIBE", move |request, reply| {
        if request.is_second || request.uri().ends_with("/elsewhere") {
            return reply;
        }
        moved(request, reply, status, location)
    })
}

pub(crate) fn redirects() -> Vec<Quirk> {
    const OTHER: &str = "rtsp://127.0.0.1:{port}/other/path?x=1";
    vec![
        Quirk::new("302", |camera| redirecting(camera, "302 Moved Temporarily", OTHER)),
        Quirk::new("301", |camera| redirecting(camera, "301 Moved Permanently", OTHER)),
        Quirk::new("303", |camera| redirecting(camera, "303 See Other", OTHER)),
        Quirk::new("305", |camera| redirecting(camera, "305 Use Proxy", OTHER)),
        Quirk::new("307", |camera| redirecting(camera, "307 Temporary Redirect", OTHER)),
        Quirk::new("with user and password", |camera| {
            let camera = redirecting(camera, "302 Moved", "rtsp://ada:secret@127.0.0.1:{port}/x");
            camera.answer(|request, reply| {
                let is_open = !request.is_second
                    || request.header("Authorization") == Some("Basic YWRhOnNlY3JldA==");
                if is_open { reply } else { challenge(reply, &["Basic realm=\"x\"".to_owned()]) }
            })
        }),
        Quirk::new("only a path", |camera| redirecting(camera, "302 Moved", "/elsewhere")),
        Quirk::new("at OPTIONS", |camera| {
            on(camera, "OPTIONS", |request, reply| {
                if request.is_second { reply } else { moved(request, reply, "302 Moved", OTHER) }
            })
        }),
        Quirk::new("three times", |camera| {
            on(camera, "DESCRIBE", |request, reply| match request.uri().rsplit('/').next() {
                Some("live") => moved(request, reply, "302 Moved", "/a"),
                Some("a") => moved(request, reply, "302 Moved", "/b"),
                Some("b") => moved(request, reply, "302 Moved", OTHER),
                _ => reply,
            })
        }),
    ]
}

pub(crate) fn folded_headers() -> Vec<Quirk> {
    fn with(camera: ScriptedCamera, more: &'static str) -> ScriptedCamera {
        on(camera, "PLAY", move |_, reply| {
            reply.rewritten(|text| text.trim_end().to_owned() + "\r\n" + more + "\r\n\r\n")
        })
    }
    vec![
        Quirk::new("a line of one blank", |camera| with(camera, " \r\nRTP-Info: url=track1;seq=1")),
        Quirk::new("a line of tabs", |camera| with(camera, "\t\t\r\nRTP-Info: url=track1")),
        Quirk::new("a value on two lines", |camera| {
            with(camera, "RTP-Info: url=track1;\r\n seq=1;rtptime=2")
        }),
        Quirk::new("a blank before a header", |camera| with(camera, " RTP-Info: url=track1")),
    ]
}

pub(crate) fn descriptions() -> Vec<Quirk> {
    fn without(camera: ScriptedCamera, keep: fn(&str) -> bool) -> ScriptedCamera {
        camera.sdp(|sdp| {
            let lines = sdp.lines().filter(|line| keep(line));
            lines.map(|line| format!("{line}\r\n")).collect()
        })
    }
    vec![
        Quirk::new("no addresses, no time", |camera| {
            camera.sdp(|sdp| {
                sdp.replace(" IP4 127.0.0.1", "")
                    .replace(" IP4 0.0.0.0", "")
                    .replace("t=0 0\r\n", "")
            })
        }),
        Quirk::new("nothing but the section", |camera| {
            without(camera, |line| line.starts_with("m=") || line.starts_with("a="))
        }),
        Quirk::new("no version", |camera| without(camera, |line| line != "v=0")),
        Quirk::new("no parameter sets", |camera| {
            without(camera, |line| !line.starts_with("a=fmtp"))
        }),
        Quirk::new("blank lines", |camera| camera.sdp(|sdp| sdp.replace("\r\n", "\r\n\r\n"))),
        Quirk::new("line feeds", |camera| camera.sdp(|sdp| sdp.replace("\r\n", "\n"))),
        Quirk::new("another charset", |camera| {
            camera.sdp(|sdp| sdp.replace("s=Camera", "s=Kamera K\u{fffd}che"))
        }),
        Quirk::new("lower case", |camera| camera.sdp(|sdp| sdp.replace("H264", "h264"))),
        Quirk::new("blanks in the rtpmap", |camera| {
            camera.sdp(|sdp| sdp.replace("a=rtpmap:96 H264", "a=rtpmap: 96  H264"))
        }),
        Quirk::new("interleaved, as it says", |camera| {
            camera.sdp(|sdp| sdp.replace("packetization-mode=1", "packetization-mode=2"))
        }),
        Quirk::new("SRTP too", |camera| {
            let camera = camera.sdp(|sdp| {
                let secure = "m=video 0 RTP/SAVP 97\r\na=rtpmap:97 H264/90000\r\n\
                    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\na=control:track9\r\nm=video";
                sdp.replace("m=video", secure)
            });
            on(camera, "SETUP", |request, reply| {
                let is_plain = request.uri().ends_with("track1");
                if is_plain { reply } else { reply.status("500 Wrong Track") }
            })
        }),
        Quirk::new("carriage returns", |camera| camera.sdp(|sdp| sdp.replace("\r\n", "\r"))),
        Quirk::new("a zero at the end", |camera| camera.sdp(|sdp| format!("{sdp}\0"))),
        Quirk::new("tabs", |camera| camera.sdp(|sdp| sdp.replace(' ', "\t"))),
        Quirk::new("an unknown payload type first", |camera| {
            camera.sdp(|sdp| {
                sdp.replace("RTP/AVP 96", "RTP/AVP 97 96") + "a=rtpmap:97 X-FLIGHT/90000\r\n"
            })
        }),
        Quirk::new("the rtpmap of another payload type", |camera| {
            camera.sdp(|sdp| sdp.replace("a=rtpmap:96", "a=rtpmap:97"))
        }),
        Quirk::new("parameters without a payload type", |camera| {
            camera.sdp(|sdp| sdp.replace("a=fmtp:96 ", "a=fmtp:"))
        }),
        Quirk::new("another protocol", |camera| {
            camera.sdp(|sdp| sdp.replace("RTP/AVP 96", "TCP/RTP/AVP 96"))
        }),
        Quirk::new("an odd clock rate", |camera| camera.sdp(|sdp| sdp.replace("90000", "0"))),
        Quirk::new("an audio track first", |camera| {
            camera.sdp(|sdp| {
                let audio = "m=audio 0 RTP/AVP 0\r\na=control:audio\r\nm=video";
                sdp.replace("m=video", audio)
            })
        }),
    ]
}

pub(crate) fn replies() -> Vec<Quirk> {
    fn rewriting(camera: ScriptedCamera, rewrite: fn(String) -> String) -> ScriptedCamera {
        camera.answer(move |_, reply| reply.rewritten(rewrite))
    }
    vec![
        Quirk::new("line feeds", |camera| {
            rewriting(camera, |text| {
                let (head, body) = text.split_once("\r\n\r\n").expect("a head");
                format!("{}\n\n{body}", head.replace("\r\n", "\n"))
            })
        }),
        Quirk::new("no CSeq", |camera| camera.answer(|_, reply| reply.without("CSeq"))),
        Quirk::new("always the first CSeq", |camera| {
            camera.answer(|_, reply| reply.with("CSeq", "1"))
        }),
        Quirk::new("a version of its own", |camera| {
            rewriting(camera, |text| text.replacen("RTSP/1.0", "RTSP/1.00", 1))
        }),
        Quirk::new("no blank after the status", |camera| {
            rewriting(camera, |text| text.replacen(" 200 OK", " 200OK", 1))
        }),
        Quirk::new("the protocol HTTP", |camera| {
            rewriting(camera, |text| text.replacen("RTSP/1.0", "HTTP/1.1", 1))
        }),
        Quirk::new("any case", |camera| {
            rewriting(camera, |text| {
                let (head, body) = text.split_once("\r\n\r\n").expect("a head");
                let line = |line: &str| match line.split_once(": ") {
                    Some((name, value)) => format!("{} :  {value}\r\n", name.to_uppercase()),
                    None => format!("{line}\r\n"),
                };
                head.lines().map(line).collect::<String>() + "\r\n" + body
            })
        }),
        Quirk::new("no length of the description", |camera| {
            on(camera, "DESCRIBE", |_, reply| reply.without("Content-Length"))
        }),
        Quirk::new("a length that is too large", |camera| {
            on(camera, "DESCRIBE", |_, reply| {
                let len = reply.body.len() + 20;
                reply.with("Content-Length", &len.to_string())
            })
        }),
        Quirk::new("a length that is too small", |camera| {
            on(camera, "DESCRIBE", |_, reply| reply.with("Content-Length", "40"))
        }),
        Quirk::new("OPTIONS refused", |camera| {
            on(camera, "OPTIONS", |_, reply| reply.status("501 Not Implemented"))
        }),
        Quirk::new("OPTIONS closes", |camera| {
            on(camera, "OPTIONS", |_, reply| Reply { raw: Some(Vec::new()), ..reply }.closing())
        }),
        Quirk::new("PLAY is never answered", |camera| {
            on(camera, "PLAY", |_, reply| reply.rewritten(|_| "\r\n".to_owned()))
        }),
    ]
}

pub(crate) fn noise() -> Vec<Quirk> {
    vec![
        Quirk::new("zeros between pictures", |camera| camera.aside(|_| vec![0; 37])),
        Quirk::new("bytes of any kind", |camera| {
            camera.aside(|number| {
                let byte = |i: usize| u8::try_from((i * 83 + number * 7) % 251).expect("a byte");
                (0..100).map(byte).filter(|byte| *byte != b'$').collect()
            })
        }),
        Quirk::new("marks of frames", |camera| {
            camera.aside(|_| b"$$\x07$\x09\0\x05hello".to_vec())
        }),
        Quirk::new("replies to nothing", |camera| {
            camera.aside(|_| b"RTSP/1.0 200 OK\r\nCSeq: 999\r\n\r\n".to_vec())
        }),
        Quirk::new("lines of text", |camera| camera.aside(|_| b"debug: sent\r\n".to_vec())),
        Quirk::new("frames of unknown channels", |camera| {
            camera.aside(|_| [&b"$\x08\0\x10"[..], &[0x81; 16]].concat())
        }),
        Quirk::new("empty frames", |camera| camera.aside(|_| b"$\0\0\0$\x01\0\0".to_vec())),
    ]
}

pub(crate) fn camera_requests() -> Vec<Quirk> {
    fn once(number: usize, text: &str) -> Vec<u8> {
        if number == 20 { text.as_bytes().to_vec() } else { Vec::new() }
    }
    vec![
        Quirk::new("OPTIONS again and again", |camera| {
            camera.aside(|number| {
                let request =
                    format!("OPTIONS * RTSP/1.0\r\nCSeq: {number}\r\nSession: 12345678\r\n\r\n");
                if number % 5 == 4 { request.into_bytes() } else { Vec::new() }
            })
        }),
        Quirk::new("ANNOUNCE", |camera| {
            camera.aside(|number| {
                once(
                    number,
                    "ANNOUNCE rtsp://x RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 5\r\n\r\nv=0\r\n",
                )
            })
        }),
        Quirk::new("GET_PARAMETER", |camera| {
            camera
                .aside(|number| once(number, "GET_PARAMETER rtsp://x RTSP/1.0\r\nCSeq: 1\r\n\r\n"))
        }),
        Quirk::new("SET_PARAMETER", |camera| {
            camera
                .aside(|number| once(number, "SET_PARAMETER rtsp://x RTSP/1.0\r\nCSeq: 1\r\n\r\n"))
        }),
        Quirk::new("a method of its own", |camera| {
            camera.aside(|number| once(number, "PLAY_NOTIFY rtsp://x RTSP/1.0\r\nCSeq: 1\r\n\r\n"))
        }),
    ]
}

pub(crate) fn sessions() -> Vec<Quirk> {
    fn named(camera: ScriptedCamera, session: &'static str) -> ScriptedCamera {
        on(camera, "SETUP", move |_, reply| reply.with("Session", session))
    }
    vec![
        Quirk::new("a blank in the id", |camera| named(camera, "12345678 ;timeout=60")),
        Quirk::new("a blank on the first connection", |camera| {
            on(camera, "SETUP", |request, reply| match request.connection {
                0 => reply.with("Session", "12345678 ;timeout=60"),
                _ => reply,
            })
        }),
        Quirk::new("blanks everywhere", |camera| named(camera, " 12345678 ; timeout = 60 s")),
        Quirk::new("only an id", |camera| named(camera, "12345678")),
        Quirk::new("a timeout of zero", |camera| named(camera, "12345678;timeout=0")),
        Quirk::new("no header", |camera| camera.answer(|_, reply| reply.without("Session"))),
        Quirk::new("in DESCRIBE only", |camera| {
            camera.answer(|request, reply| match request.method() {
                "OPTIONS" => reply,
                "DESCRIBE" => reply.with("Session", "777;timeout=60"),
                _ if request.header("Session") == Some("777") => reply.without("Session"),
                _ => reply.status("454 Session Not Found"),
            })
        }),
        Quirk::new("another one in PLAY", |camera| {
            let camera = on(camera, "PLAY", |_, reply| reply.with("Session", "0"));
            dying(camera, |request| {
                request.method() == "PLAY" || request.header("Session") == Some("12345678")
            })
        }),
    ]
}

pub(crate) fn transports() -> Vec<Quirk> {
    fn replying(camera: ScriptedCamera, transport: &'static str) -> ScriptedCamera {
        on(camera, "SETUP", move |_, reply| reply.with("Transport", transport))
    }
    fn is_tcp(request: &Request) -> bool {
        request.header("Transport").is_some_and(|transport| transport.contains("TCP"))
    }
    vec![
        Quirk::new("without channels", |camera| replying(camera, "RTP/AVP/TCP;unicast")),
        Quirk::new("without anything", |camera| {
            on(camera, "SETUP", |_, reply| reply.without("Transport"))
        }),
        Quirk::new("other channels", |camera| {
            let camera = replying(camera, "RTP/AVP/TCP;unicast;interleaved=4-5");
            camera.packets(|_, packets| packets.iter_mut().for_each(|packet| packet.channel = 4))
        }),
        Quirk::new("channels that are not used", |camera| {
            let camera = replying(camera, "RTP/AVP/TCP;unicast;interleaved=0-1");
            camera.packets(|_, packets| packets.iter_mut().for_each(|packet| packet.channel = 2))
        }),
        Quirk::new("impossible channels", |camera| {
            replying(camera, "RTP/AVP/TCP;unicast;interleaved=65534-65535")
        }),
        Quirk::new("blanks", |camera| {
            replying(camera, "RTP/AVP/TCP ; unicast ; interleaved = 0 - 1")
        }),
        Quirk::new("without TCP in the protocol", |camera| {
            replying(camera, "RTP/AVP;unicast;interleaved=0-1")
        }),
        Quirk::new("several", |camera| {
            replying(camera, "RTP/AVP;multicast;port=1-2,RTP/AVP/TCP;unicast;interleaved=0-1")
        }),
        Quirk::new("without ports", |camera| replying(camera, "RTP/AVP;unicast")).udp(),
        Quirk::new("without anything", |camera| {
            on(camera, "SETUP", |_, reply| reply.without("Transport"))
        })
        .udp(),
        Quirk::new("ports of zero", |camera| {
            replying(camera, "RTP/AVP;unicast;client_port=0-0;server_port=0-0")
        })
        .udp(),
        Quirk::new("one port", |camera| {
            on(camera, "SETUP", |_, reply| {
                let transport = reply.headers.iter().find(|(name, _)| name == "Transport");
                let transport = transport.map_or("", |(_, value)| value);
                let transport = transport.rsplit_once('-').map_or("", |(first, _)| first);
                reply.clone().with("Transport", transport)
            })
        })
        .udp(),
        Quirk::new("a source that has no address", |camera| {
            replying(camera, "RTP/AVP/UDP;unicast;source=camera.local;ssrc=x;mode=\"PLAY\"")
        })
        .udp(),
        Quirk::new("the first channel twice", |camera| {
            replying(camera, "RTP/AVP/TCP;unicast;interleaved=0-0")
        }),
        Quirk::new("channels in reverse", |camera| {
            replying(camera, "RTP/AVP/TCP;unicast;interleaved=1-0")
        }),
        Quirk::new("UDP only", |camera| {
            on(camera, "SETUP", |request, reply| {
                if is_tcp(request) { reply.status("461 Unsupported Transport") } else { reply }
            })
        }),
        Quirk::new("UDP only, with a status for passwords", |camera| {
            on(
                camera,
                "SETUP",
                |request, reply| {
                    if is_tcp(request) { reply.status("403 Forbidden") } else { reply }
                },
            )
        }),
        Quirk::new("UDP only, without a reply", |camera| {
            on(camera, "SETUP", |request, reply| {
                let is_tcp = is_tcp(request);
                if is_tcp { Reply { raw: Some(Vec::new()), ..reply }.closing() } else { reply }
            })
        }),
    ]
}

pub(crate) fn addresses() -> Vec<Quirk> {
    fn based(camera: ScriptedCamera, base: &'static str) -> ScriptedCamera {
        on(camera, "DESCRIBE", move |_, reply| reply.with("Content-Base", base))
    }
    /// Refuses SETUP of every other address.
    fn only(camera: ScriptedCamera, end: &'static str) -> ScriptedCamera {
        on(camera, "SETUP", move |request, reply| {
            let is_known = request.uri().ends_with(end);
            if is_known { reply } else { reply.status("404 Not Found").without("Session") }
        })
    }
    vec![
        Quirk::new("no base", |camera| {
            only(on(camera, "DESCRIBE", |_, r| r.without("Content-Base")), "/live/track1")
        }),
        Quirk::new("a base without a slash", |camera| based(camera, "rtsp://127.0.0.1/live")),
        Quirk::new("a base that is a path", |camera| based(camera, "/live/")),
        Quirk::new("a base of another network", |camera| based(camera, "rtsp://10.1.2.3/live/")),
        Quirk::new("an empty base", |camera| based(camera, "")),
        Quirk::new("a whole address", |camera| {
            camera.sdp(|sdp| sdp.replace("control:track1", "control:rtsp://127.0.0.1/live/track1"))
        }),
        Quirk::new("no control", |camera| {
            camera.sdp(|sdp| sdp.replace("a=control:track1\r\n", ""))
        }),
        Quirk::new("blanks", |camera| {
            let camera = only(based(camera, "rtsp://127.0.0.1/my cam/"), "/my%20cam/track%201");
            camera.sdp(|sdp| sdp.replace("track1", "track 1"))
        }),
        Quirk::new("a query", |camera| camera).path("/live?channel=1&subtype=0"),
    ]
}

pub(crate) fn refusals() -> Vec<Quirk> {
    fn refusing(
        camera: ScriptedCamera,
        method: &'static str,
        status: &'static str,
    ) -> ScriptedCamera {
        on(
            camera,
            method,
            move |request, reply| {
                if request.earlier == 0 { reply.status(status) } else { reply }
            },
        )
    }
    vec![
        Quirk::new("the whole stream", |camera| {
            on(camera, "PLAY", |request, reply| {
                let is_track = request.uri().ends_with("track1");
                if is_track { reply } else { reply.status("459 Aggregate Operation Not Allowed") }
            })
        }),
        Quirk::new("a slash at the end", |camera| {
            on(camera, "PLAY", |request, reply| {
                let has_slash = request.uri().ends_with('/');
                if has_slash { reply.status("454 Session Not Found") } else { reply }
            })
        }),
        Quirk::new("the range", |camera| {
            on(camera, "PLAY", |request, reply| match request.header("Range") {
                Some(_) => reply.status("457 Invalid Range"),
                None => reply,
            })
        }),
        Quirk::new("the first address", |camera| {
            refusing(
                on(camera, "DESCRIBE", |_, r| r.with("Content-Base", "rtsp://10.1.2.3/x/")),
                "SETUP",
                "404 Not Found",
            )
        }),
    ]
}

/// Stops the packets of a camera that has heard nothing for two seconds.
fn dying(camera: ScriptedCamera, hears: fn(&Request) -> bool) -> ScriptedCamera {
    let start = Instant::now();
    let heard = Arc::new(AtomicU64::new(0));
    let hearing = Arc::clone(&heard);
    let now = move || u64::try_from(start.elapsed().as_millis()).expect("a short test");
    let camera = camera.answer(move |request, reply| {
        if hears(request) {
            hearing.store(now(), Ordering::Relaxed);
        }
        match request.method() {
            "SETUP" => reply.with("Session", "12345678;timeout=2"),
            _ => reply,
        }
    });
    camera.packets(move |_, packets| {
        if now().saturating_sub(heard.load(Ordering::Relaxed)) > 2000 {
            packets.clear();
        }
    })
}

/// Describes a track of sound, sends packets of it that look like the video's, and plays only if
/// it is set up, too.
fn complete(camera: ScriptedCamera, status: &'static str) -> ScriptedCamera {
    let ready = Mutex::new(HashSet::new());
    let camera = camera.sdp(|sdp| format!("{sdp}m=audio 0 RTP/AVP 8\r\na=control:track2\r\n"));
    let camera = camera.answer(move |request, reply| {
        let mut ready = ready.lock().expect("no panic");
        match request.method() {
            "SETUP" if request.uri().ends_with("track2") => {
                ready.insert(request.connection);
                reply
            }
            "PLAY" if !ready.contains(&request.connection) => reply.status(status),
            _ => reply,
        }
    });
    camera.aside(|number| {
        let number = u8::try_from(number % 256).expect("a byte");
        [&b"$\x02\0\x10\x80\x60\0"[..], &[number], &[7; 12]].concat()
    })
}

pub(crate) fn all_tracks() -> Vec<Quirk> {
    vec![
        Quirk::new("455 without sound", |camera| {
            complete(camera, "455 Method Not Valid in This State")
        }),
        Quirk::new("500 without sound", |camera| complete(camera, "500 Internal Server Error")),
    ]
}

pub(crate) fn keepalives() -> Vec<Quirk> {
    vec![
        Quirk::new("by GET_PARAMETER", |camera| {
            dying(camera, |request| matches!(request.method(), "PLAY" | "GET_PARAMETER"))
        }),
        Quirk::new("refused", |camera| {
            let last = Arc::new(Mutex::new(Instant::now()));
            let (asked, asking) = (Arc::clone(&last), last);
            let camera = camera.answer(move |request, reply| match request.method() {
                "SETUP" => reply.with("Session", "12345678;timeout=2"),
                "GET_PARAMETER" => {
                    *asking.lock().expect("no panic") = Instant::now();
                    reply.status("454 Session Not Found")
                }
                "OPTIONS" if request.earlier > 0 => {
                    *asking.lock().expect("no panic") = Instant::now();
                    reply.status("455 Method Not Valid in This State")
                }
                _ => reply,
            });
            camera.packets(move |number, packets| {
                let since = asked.lock().expect("no panic").elapsed();
                if number > 30 && since > Duration::from_secs(2) {
                    packets.clear();
                }
            })
        }),
        Quirk::new("never answered", |camera| {
            on(camera, "GET_PARAMETER", |_, reply| reply.rewritten(|_| "\r\n".to_owned()))
        }),
    ]
}
