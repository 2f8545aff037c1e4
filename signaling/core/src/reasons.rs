//! The reasons that gateways give, as they are told to those who watch: without the addresses of
//! the gateway's network, which are for those who manage it.

use std::net::{IpAddr, SocketAddr};

use porthole_signaling_proto::rpc::Fault;
use porthole_signaling_proto::{Camera, CameraPermission};

/// The words that stand for an address.
const INSTEAD: &str = "the camera";

/// Removes the addresses from a camera in a list, unless its receiver manages the gateway.
pub(crate) fn hide_addresses(camera: &mut Camera) {
    if camera.permissions.contains(&CameraPermission::Manage) {
        return;
    }
    let report = &mut camera.report;
    let streams = report.streams.iter_mut().map(|stream| &mut stream.reason);
    let sound = report.sound.iter_mut().map(|sound| &mut sound.reason);
    for reason in streams.chain(sound).chain([&mut report.reason]) {
        *reason = reason.take().map(|reason| without_addresses(&reason));
    }
}

/// Returns the fault of a gateway as a viewer is told.
pub(crate) fn for_viewers(fault: Fault) -> Fault {
    Fault { message: without_addresses(&fault.message), ..fault }
}

/// Returns a sentence with each IP address, each host with a port and each URL replaced.
fn without_addresses(sentence: &str) -> String {
    let words = sentence.split(' ').map(|word| {
        let bare = word.trim_matches(['(', ')', ',', '.', ';', ':', '`', '"']);
        if is_address(bare) { word.replace(bare, INSTEAD) } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn is_address(word: &str) -> bool {
    let is_ip = word.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    // The form of an address that a sentence shows is none.
    let is_url = word.contains("://") && !word.contains('…');
    is_ip || is_url || word.parse::<SocketAddr>().is_ok() || is_host_and_port(word)
}

fn is_host_and_port(word: &str) -> bool {
    let Some((host, port)) = word.rsplit_once(':') else { return false };
    port.parse::<u16>().is_ok() && host.contains(|c: char| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_is_told_what_is_wrong_with_a_camera_and_not_where_it_is() {
        for (sentence, told) in [
            (
                "192.168.1.20:554 refuses the connection: check the port",
                "the camera refuses the connection: check the port",
            ),
            ("[fd00::20]:554 does not answer", "the camera does not answer"),
            ("door.lan:8554 refuses user and password", "the camera refuses user and password"),
            ("no TLS connection to cam:322 (closed)", "no TLS connection to the camera (closed)"),
            (
                "the camera redirects to rtsp://10.0.0.9/live, which is another host",
                "the camera redirects to the camera, which is another host",
            ),
            ("(10.0.0.9), fe80::1: nothing", "(the camera), the camera: nothing"),
            ("receiving on 0.0.0.0:5004 failed: in use", "receiving on the camera failed: in use"),
        ] {
            assert_eq!(without_addresses(sentence), told);
        }
        for same in [
            "the codec H.265 needs Safari: set the camera to H.264",
            "add them as rtsp://user:password@…",
            "it has TLS 1.2 or 1.3, in 16:9, try #transport=tcp or :",
            "",
        ] {
            assert_eq!(without_addresses(same), same);
        }
    }
}
