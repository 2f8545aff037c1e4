//! Pictures of a real encoder: ffmpeg's x264 and x265.

use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use porthole_gateway_core::media::{Codec, annex_b_units};

/// An encoded picture.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    /// Its NAL units, without delimiter.
    pub(crate) units: Vec<Vec<u8>>,
    is_h265: bool,
}

impl Picture {
    pub(crate) fn unit_type(&self, unit: &[u8]) -> u8 {
        Self::type_of(self.is_h265, unit)
    }

    fn type_of(is_h265: bool, unit: &[u8]) -> u8 {
        if is_h265 { unit[0] >> 1 & 0x3f } else { unit[0] & 0x1f }
    }

    /// Returns true if a unit is a slice.
    pub(crate) fn is_slice(&self, unit: &[u8]) -> bool {
        if self.is_h265 { self.unit_type(unit) < 32 } else { matches!(self.unit_type(unit), 1..=5) }
    }

    /// Returns true if a unit is a parameter set.
    pub(crate) fn is_set(&self, unit: &[u8]) -> bool {
        let sets = if self.is_h265 { 32..=34 } else { 7..=8 };
        sets.contains(&self.unit_type(unit))
    }

    /// Returns true if a decoder can start at the picture.
    pub(crate) fn is_key(&self) -> bool {
        self.units.iter().any(|unit| self.is_set(unit))
    }

    /// Returns the unit that announces a picture.
    pub(crate) fn delimiter(&self) -> Vec<u8> {
        if self.is_h265 { vec![35 << 1, 1, 0x50] } else { vec![9, 0xf0] }
    }

    /// Returns a unit of messages beside the picture (SEI) that no decoder knows.
    pub(crate) fn message(&self) -> Vec<u8> {
        let header: &[u8] = if self.is_h265 { &[39 << 1, 1] } else { &[6] };
        [header, &[5, 18], &[0x5a; 18], &[0x80]].concat()
    }

    /// Returns a unit of a type that is reserved.
    pub(crate) fn unknown(&self) -> Vec<u8> {
        if self.is_h265 { vec![41 << 1, 1, 7, 0x80] } else { vec![0x17, 7, 0x80] }
    }

    /// Returns a unit that fills the bit rate.
    pub(crate) fn filler(&self) -> Vec<u8> {
        let header: &[u8] = if self.is_h265 { &[38 << 1, 1] } else { &[12] };
        [header, &[0xff; 40], &[0x80]].concat()
    }

    /// Returns the same picture in other units.
    pub(crate) fn with(&self, units: Vec<Vec<u8>>) -> Self {
        Self { units, ..*self }
    }

    pub(crate) fn slices(&self) -> Vec<Vec<u8>> {
        self.units.iter().filter(|unit| self.is_slice(unit)).cloned().collect()
    }

    pub(crate) fn sets(&self) -> Vec<Vec<u8>> {
        self.units.iter().filter(|unit| self.is_set(unit)).cloned().collect()
    }

    /// Returns the units in one packet, each after its length.
    pub(crate) fn aggregate(&self, units: &[Vec<u8>]) -> Vec<u8> {
        let mut payload = if self.is_h265 { vec![48 << 1, 1] } else { vec![0x78] };
        for unit in units {
            payload.extend(u16::try_from(unit.len()).expect("a small picture").to_be_bytes());
            payload.extend_from_slice(unit);
        }
        payload
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
        self.fragments(unit, mtu)
    }

    pub(crate) fn header_len(&self) -> usize {
        if self.is_h265 { 2 } else { 1 }
    }

    /// Returns a NAL unit in fragments.
    pub(crate) fn fragments(&self, unit: &[u8], mtu: usize) -> Vec<Vec<u8>> {
        let (header, body) = unit.split_at(self.header_len());
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

/// Encodes two seconds of 640×360 at 15 pictures a second, with a key frame every second. `more`
/// are further parameters of the encoder. `None` if ffmpeg is missing.
pub(crate) fn pictures(codec: Codec, more: &[&str]) -> Option<Vec<Picture>> {
    let parameters = [&["repeat-headers=1:aud=1:bframes=0:scenecut=0"][..], more].concat();
    if codec == Codec::H265 {
        let parameters = [&parameters[..], &["log-level=error"]].concat().join(":");
        encode(true, &["-c:v", "libx265", "-x265-params", &parameters])
    } else {
        encode(false, &["-c:v", "libx264", "-x264-params", &parameters.join(":")])
    }
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

/// Returns codec and parameter sets of the pictures as a session description has them.
pub(crate) fn attributes(pictures: &[Picture], payload_type: u8) -> String {
    let is_h265 = pictures.first().is_some_and(|first| first.is_h265);
    let sets = |unit_type: u8| {
        let units = pictures.first().map(|first| &first.units[..]).unwrap_or_default();
        let is_set = |unit: &&Vec<u8>| Picture::type_of(is_h265, unit) == unit_type;
        let sets: Vec<_> = units.iter().filter(is_set).map(|unit| STANDARD.encode(unit)).collect();
        sets.join(",")
    };
    let (codec, parameters) = if is_h265 {
        let (vps, sps, pps) = (sets(32), sets(33), sets(34));
        ("H265", format!("sprop-vps={vps};sprop-sps={sps};sprop-pps={pps}"))
    } else {
        let both = [sets(7), sets(8)].join(",");
        ("H264", format!("packetization-mode=1;sprop-parameter-sets={both}"))
    };
    format!("a=rtpmap:{payload_type} {codec}/90000\r\na=fmtp:{payload_type} {parameters}\r\n")
}
