//! Quirks of packets and pictures.

use super::{Quirk, on};
use crate::scripted_camera::{FIRST_SEQUENCE, MTU, Packet, Picture, ScriptedCamera};

/// Slices of at most 1100 bytes, so that their number differs from picture to picture.
const SLICES: &[&str] = &["slice-max-size=1100"];

/// Sends each key frame as one NAL unit, with this start code in between.
fn joined(camera: ScriptedCamera, code: &'static [u8], mtu: usize) -> ScriptedCamera {
    camera.packetize(move |picture| {
        if !picture.has(5) {
            return picture.payloads(MTU);
        }
        let whole = picture.units.join(code);
        let payloads = picture.split(&whole, mtu);
        let last = payloads.len() - 1;
        payloads.into_iter().enumerate().map(|(i, payload)| (payload, i == last)).collect()
    })
}

pub(crate) fn hidden_units() -> Vec<Quirk> {
    vec![
        Quirk::new("a key frame in one unit", |camera| joined(camera, b"\0\0\0\x01", MTU)),
        Quirk::new("short start codes", |camera| joined(camera, b"\0\0\x01", MTU)),
        Quirk::new("small fragments", |camera| joined(camera, b"\0\0\0\x01", 50)),
        Quirk::new("one packet", |camera| joined(camera, b"\0\0\0\x01", 60_000)),
        Quirk::new("a start code first", |camera| {
            camera.packetize(|picture| {
                let code = &b"\0\0\0\x01"[..];
                let whole = [code, &picture.units.join(code)].concat();
                vec![(whole, true)]
            })
        }),
    ]
}

pub(crate) fn sources() -> Vec<Quirk> {
    fn claiming(camera: ScriptedCamera, ssrc: &'static str) -> ScriptedCamera {
        on(camera, "SETUP", move |_, reply| {
            reply.with("Transport", &format!("RTP/AVP/TCP;unicast;interleaved=0-1;ssrc={ssrc}"))
        })
    }
    vec![
        Quirk::new("eight digits", |camera| claiming(camera, "DEADBEEF")),
        Quirk::new("sixteen digits", |camera| claiming(camera, "0000DEADBEEF0000")),
        Quirk::new("no number", |camera| claiming(camera, "unknown")),
        Quirk::new("the channel of RTCP", |camera| {
            camera.packets(|_, packets| packets.iter_mut().for_each(|packet| packet.channel = 1))
        }),
        Quirk::new("another payload type", |camera| {
            camera.packets(|_, packets| {
                packets.iter_mut().for_each(|packet| packet.payload_type = 98);
            })
        }),
    ]
}

pub(crate) fn order() -> Vec<Quirk> {
    vec![
        Quirk::new("neighbours swapped", ScriptedCamera::swapping).options("#transport=udp"),
        Quirk::new("over TCP", |camera| {
            camera.packets(|number, packets| {
                let len = packets.len();
                if number % 4 == 3 && len > 2 {
                    packets.swap(len - 2, len - 1);
                }
            })
        }),
    ]
}

/// Changes the packets of a camera, each of which is given with the number of its picture.
fn each(camera: ScriptedCamera, change: fn(u32, &mut Packet)) -> ScriptedCamera {
    camera.packets(move |number, packets| {
        let number = u32::try_from(number).expect("a short test");
        packets.iter_mut().for_each(|packet| change(number, packet));
    })
}

pub(crate) fn numbers() -> Vec<Quirk> {
    fn low(number: u32) -> u16 {
        u16::try_from(number % 65_536).expect("16 bits")
    }
    fn another_ssrc(camera: ScriptedCamera) -> ScriptedCamera {
        each(camera, |number, packet| packet.ssrc = number)
    }
    vec![
        Quirk::new("one left out after each picture", |camera| {
            each(camera, |number, packet| {
                packet.sequence = packet.sequence.wrapping_add(low(number));
            })
        }),
        Quirk::new("one left out after each fifth packet", |camera| {
            each(camera, |_, packet| {
                let index = packet.sequence.wrapping_sub(FIRST_SEQUENCE);
                packet.sequence = packet.sequence.wrapping_add(index / 5);
            })
        }),
        Quirk::new("they begin again after 50 packets", |camera| {
            each(camera, |_, packet| {
                packet.sequence = packet.sequence.wrapping_sub(FIRST_SEQUENCE) % 50;
            })
        }),
        Quirk::new("they begin again at 16000 after 50 packets", |camera| {
            each(camera, |_, packet| {
                let index = packet.sequence.wrapping_sub(FIRST_SEQUENCE);
                packet.sequence = (index / 50).wrapping_mul(16_000).wrapping_add(index % 50);
            })
        }),
        Quirk::new("at random", |camera| {
            each(camera, |_, packet| packet.sequence = packet.sequence.wrapping_mul(7919))
        }),
        Quirk::new("another SSRC for each picture", another_ssrc),
        Quirk::new("another SSRC for each picture, UDP", another_ssrc).options("#transport=udp"),
        Quirk::new("another SSRC and numbers each 4 pictures", |camera| {
            each(camera, |number, packet| {
                packet.ssrc = number / 4;
                packet.sequence = packet.sequence.wrapping_add(low(number / 4 * 16_000));
            })
        }),
    ]
}

/// Returns the payloads of a picture with a marker at the end of each slice.
fn marked(picture: &Picture) -> Vec<(Vec<u8>, bool)> {
    let is_slice = |unit: &Vec<u8>| matches!(picture.unit_type(unit), 1..=5);
    let unit = |unit: &Vec<u8>| {
        let payloads = picture.split(unit, MTU);
        let last = payloads.len() - 1;
        let is_slice = is_slice(unit);
        let payloads = payloads.into_iter().enumerate();
        payloads.map(move |(i, payload)| (payload, is_slice && i == last)).collect::<Vec<_>>()
    };
    picture.units.iter().flat_map(unit).collect()
}

pub(crate) fn markers() -> Vec<Quirk> {
    vec![
        Quirk::new("on every slice, a different number", |camera| camera.packetize(marked))
            .x264(SLICES),
        Quirk::new("on every slice, three of them", |camera| camera.packetize(marked))
            .x264(&["slices=3"]),
        Quirk::new("on none", |camera| {
            camera.packets(|_, packets| packets.iter_mut().for_each(|packet| packet.marker = false))
        }),
        Quirk::new("in their place, several slices", |camera| camera).x264(SLICES),
    ]
}

pub(crate) fn several_tracks() -> Vec<Quirk> {
    fn described(
        camera: ScriptedCamera,
        before: &'static str,
        after: &'static str,
    ) -> ScriptedCamera {
        let camera = camera.sdp(|sdp| sdp.replace("m=video", &format!("{before}m=video")) + after);
        on(camera, "SETUP", |request, reply| {
            let is_right = request.uri().ends_with("track1");
            if is_right { reply } else { reply.status("500 Wrong Track") }
        })
    }
    vec![
        Quirk::new("H.265 first", |camera| {
            described(
                camera,
                "m=video 0 RTP/AVP 97\r\na=rtpmap:97 H265/90000\r\na=control:track2\r\n",
                "",
            )
        }),
        Quirk::new("Motion JPEG first", |camera| {
            described(camera, "m=video 0 RTP/AVP 26\r\na=control:track2\r\n", "")
        }),
        Quirk::new("a small one behind", |camera| {
            described(
                camera,
                "",
                "m=video 0 RTP/AVP 98\r\na=rtpmap:98 H264/90000\r\na=control:track2\r\n\
                 m=audio 0 RTP/AVP 8\r\na=control:track3\r\na=sendonly\r\n\
                 m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\n",
            )
        }),
    ]
}

pub(crate) fn sparse() -> Vec<Quirk> {
    vec![Quirk::new("parameter sets in the description only", |camera| {
        camera.packetize(|picture| {
            let mut bare = picture.clone();
            bare.units.retain(|unit| !matches!(unit[0] & 0x1f, 7 | 8));
            bare.payloads(MTU)
        })
    })]
}
