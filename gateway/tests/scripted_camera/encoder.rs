//! Pictures of a real encoder: ffmpeg's x264 and x265.

use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use porthole_gateway_core::media::annex_b_units;

/// An encoded picture.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    /// Its NAL units, without delimiter.
    pub(crate) units: Vec<Vec<u8>>,
    is_h265: bool,
}

impl Picture {
    /// Returns true if a unit of this type is in the picture.
    pub(crate) fn has(&self, unit_type: u8) -> bool {
        self.units.iter().any(|unit| self.unit_type(unit) == unit_type)
    }

    pub(crate) fn unit_type(&self, unit: &[u8]) -> u8 {
        if self.is_h265 { unit[0] >> 1 & 0x3f } else { unit[0] & 0x1f }
    }

    /// Returns the payloads of its packets as the standards have them, with their markers.
    pub(crate) fn payloads(&self, mtu: usize) -> Vec<(Vec<u8>, bool)> {
        let mut payloads: Vec<_> =
            self.units.iter().flat_map(|unit| self.split(unit, mtu)).collect();
        let last = payloads.len() - 1;
        payloads.drain(..).enumerate().map(|(index, payload)| (payload, index == last)).collect()
    }

    /// Returns a NAL unit as one payload, or in fragments.
    pub(crate) fn split(&self, unit: &[u8], mtu: usize) -> Vec<Vec<u8>> {
        if unit.len() <= mtu {
            return vec![unit.to_vec()];
        }
        let (header, body) = unit.split_at(if self.is_h265 { 2 } else { 1 });
        let count = body.chunks(mtu - 3).count();
        let fragment = |(index, chunk): (usize, &[u8])| {
            let flags = if index == 0 { 0x80 } else { 0 };
            let flags = flags | if index + 1 == count { 0x40 } else { 0 };
            let mut payload = if self.is_h265 {
                vec![49 << 1, header[1], flags | header[0] >> 1]
            } else {
                vec![header[0] & 0xe0 | 28, flags | header[0] & 0x1f]
            };
            payload.extend_from_slice(chunk);
            payload
        };
        body.chunks(mtu - 3).enumerate().map(fragment).collect()
    }
}

/// Encodes two seconds of 640×360 at 15 pictures a second as H.264, with a key frame every second.
/// `x264` are further parameters of the encoder. `None` if ffmpeg is missing.
pub(crate) fn pictures(x264: &[&str]) -> Option<Vec<Picture>> {
    let parameters =
        [&["repeat-headers=1:aud=1:bframes=0:scenecut=0"][..], x264].concat().join(":");
    encode(false, &["-c:v", "libx264", "-x264-params", &parameters])
}

/// Encodes the same as H.265.
pub(crate) fn h265_pictures() -> Option<Vec<Picture>> {
    let parameters = "repeat-headers=1:aud=1:bframes=0:scenecut=0:log-level=error";
    encode(true, &["-c:v", "libx265", "-x265-params", parameters])
}

fn encode(is_h265: bool, codec: &[&str]) -> Option<Vec<Picture>> {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin"])
        .args(["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=15", "-t", "2"])
        .args(codec)
        .args(["-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p"])
        .args(["-g", "15", "-b:v", "800k"])
        .args(["-f", if is_h265 { "hevc" } else { "h264" }, "-"])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let delimiter = if is_h265 { 35 } else { 9 };
    let mut pictures: Vec<Picture> = Vec::new();
    for unit in annex_b_units(&output.stdout) {
        let unit_type = if is_h265 { unit[0] >> 1 & 0x3f } else { unit[0] & 0x1f };
        if unit_type == delimiter {
            pictures.push(Picture { units: Vec::new(), is_h265 });
        } else if let Some(picture) = pictures.last_mut() {
            picture.units.push(unit.to_vec());
        }
    }
    assert_eq!(pictures.len(), 30, "two seconds");
    Some(pictures)
}

/// Returns the parameter sets of H.264 as a session description has them.
pub(crate) fn parameter_sets(pictures: &[Picture]) -> String {
    let Some(first) = pictures.first() else { return String::new() };
    let is_set = |unit: &&Vec<u8>| matches!(unit[0] & 0x1f, 7 | 8);
    let sets: Vec<_> =
        first.units.iter().filter(is_set).map(|unit| STANDARD.encode(unit)).collect();
    sets.join(",")
}
