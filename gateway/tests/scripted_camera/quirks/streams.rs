//! Quirks of tracks and their sources.

use super::{Quirk, on};
use crate::scripted_camera::ScriptedCamera;

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
        Quirk::new("another address", ScriptedCamera::elsewhere).udp(),
        Quirk::new("another payload type", |camera| {
            camera.packets(|_, packets| {
                packets.iter_mut().for_each(|packet| packet.payload_type = 98);
            })
        }),
        Quirk::new("another stream of the same type beside it", |camera| {
            camera.aside(|number| {
                let number = u8::try_from(number % 256).expect("a byte");
                [&b"$\x02\0\x10\x80\x60\0"[..], &[number], &[7; 12]].concat()
            })
        }),
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
        Quirk::new("H.264 first that is refused", |camera| {
            described(
                camera,
                "m=video 0 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\na=control:track2\r\n",
                "",
            )
        }),
        Quirk::new("H.264 first that is inactive", |camera| {
            let first = "m=video 0 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n\
                a=control:track1\r\na=inactive\r\n";
            let camera = camera.sdp(|sdp| sdp.replace("control:track1", "control:track2"));
            camera.sdp(|sdp| sdp.replace("m=video", &format!("{first}m=video")))
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
