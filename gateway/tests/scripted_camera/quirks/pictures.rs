//! Quirks of NAL units, and of the markers that end a picture.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Quirk;
use crate::scripted_camera::{MTU, Picture, ScriptedCamera};

/// Slices of at most 1100 bytes, so that their number differs from picture to picture.
const SLICES: &[&str] = &["slice-max-size=1100"];

/// Start codes, the usual one and the short one.
const CODE: &[u8] = b"\0\0\0\x01";
const SHORT_CODE: &[u8] = b"\0\0\x01";

/// Sends each key frame as one NAL unit, with this start code in between.
fn joined(camera: ScriptedCamera, code: &'static [u8], mtu: usize) -> ScriptedCamera {
    camera.packetize(move |picture| {
        if !picture.is_key() {
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
        Quirk::new("a key frame in one unit", |camera| joined(camera, b"\0\0\0\x01", MTU)).h265(),
        Quirk::new("short start codes", |camera| joined(camera, b"\0\0\x01", MTU)).h265(),
        Quirk::new("a start code first", |camera| {
            camera.packetize(|picture| {
                let code = &b"\0\0\0\x01"[..];
                let whole = [code, &picture.units.join(code)].concat();
                vec![(whole, true)]
            })
        }),
    ]
}

/// Marks the packets of a picture by their index and number.
fn marking(camera: ScriptedCamera, marks: fn(usize, usize) -> bool) -> ScriptedCamera {
    camera.packets(move |_, packets| {
        let count = packets.len();
        let packets = packets.iter_mut().enumerate();
        packets.for_each(|(index, packet)| packet.marker = marks(index, count));
    })
}

/// Returns the payloads of a picture with a marker at the end of each slice.
fn marked(picture: &Picture) -> Vec<(Vec<u8>, bool)> {
    let unit = |unit: &Vec<u8>| {
        let payloads = picture.split(unit, MTU);
        let last = payloads.len() - 1;
        let is_slice = picture.is_slice(unit);
        let payloads = payloads.into_iter().enumerate();
        payloads.map(move |(i, payload)| (payload, is_slice && i == last)).collect::<Vec<_>>()
    };
    picture.units.iter().flat_map(unit).collect()
}

pub(crate) fn markers() -> Vec<Quirk> {
    vec![
        Quirk::new("on every slice, a different number", |camera| camera.packetize(marked))
            .encoder(SLICES),
        Quirk::new("on every slice, three of them", |camera| camera.packetize(marked))
            .encoder(&["slices=3"]),
        Quirk::new("on every slice, three of them", |camera| camera.packetize(marked))
            .encoder(&["slices=3"])
            .h265(),
        Quirk::new("on none", |camera| marking(camera, |_, _| false)),
        Quirk::new("on none", |camera| marking(camera, |_, _| false)).h265(),
        Quirk::new("on all packets", |camera| marking(camera, |_, _| true)),
        Quirk::new("on all packets", |camera| marking(camera, |_, _| true)).h265(),
        Quirk::new("on the first packet", |camera| marking(camera, |index, _| index == 0)),
        Quirk::new("on all but the last packet", |camera| {
            marking(camera, |index, count| index + 1 < count)
        }),
        Quirk::new("in their place, several slices", |camera| camera).encoder(SLICES),
    ]
}

/// Writes the parameter sets of a description as one, with a start code before each.
fn as_one(sdp: &str) -> String {
    let lines = sdp.lines().map(|line| {
        let Some((before, sets)) = line.split_once("sprop-parameter-sets=") else {
            return format!("{line}\r\n");
        };
        let sets = sets.split(',').map(|set| STANDARD.decode(set).expect("base64"));
        let joined: Vec<u8> = sets.flat_map(|set| [&[0, 0, 0, 1][..], &set].concat()).collect();
        format!("{before}sprop-parameter-sets={}\r\n", STANDARD.encode(joined))
    });
    lines.collect()
}

pub(crate) fn sparse() -> Vec<Quirk> {
    fn bare(camera: ScriptedCamera) -> ScriptedCamera {
        camera.packetize(|picture| picture.with(picture.slices()).payloads(MTU))
    }
    vec![
        Quirk::new("parameter sets in the description only", bare),
        Quirk::new("parameter sets in the description only", bare).h265(),
        Quirk::new("parameters in two lines", |camera| {
            bare(camera).sdp(|sdp| sdp.replace("=1;sprop", "=1\r\na=fmtp:96 sprop"))
        }),
        Quirk::new("both parameter sets as one", |camera| bare(camera).sdp(as_one)),
    ]
}

/// Puts a start code before every unit.
fn coded(camera: ScriptedCamera, code: &'static [u8]) -> ScriptedCamera {
    camera.packetize(move |picture| {
        let units = picture.units.iter().map(|unit| [code, unit].concat()).collect();
        picture.with(units).payloads(MTU)
    })
}

/// Sends other units than the encoder's.
fn sending(
    camera: ScriptedCamera,
    units: impl Fn(&Picture) -> Vec<Vec<u8>> + Send + Sync + 'static,
) -> ScriptedCamera {
    camera.packetize(move |picture| picture.with(units(picture)).payloads(MTU))
}

/// Sends each picture as one unit that begins with its delimiter.
fn whole(camera: ScriptedCamera) -> ScriptedCamera {
    sending(camera, |picture| {
        let units = [vec![picture.delimiter()], picture.units.clone()].concat();
        vec![units.join(CODE)]
    })
}

/// Sends all units of a picture in one aggregation packet.
fn aggregated(camera: ScriptedCamera) -> ScriptedCamera {
    camera.packetize(|picture| vec![(picture.aggregate(&picture.units), true)])
}

/// Sends each unit in fragments, small ones in a single one.
fn fragmented(camera: ScriptedCamera) -> ScriptedCamera {
    camera.packetize(|picture| {
        let payloads = picture.units.iter().flat_map(|unit| picture.fragments(unit, MTU));
        let mut payloads: Vec<_> = payloads.map(|payload| (payload, false)).collect();
        payloads.iter_mut().next_back().expect("a slice").1 = true;
        payloads
    })
}

/// Sends the end bit of each unit in a fragment of its own, without a byte of the unit.
fn ending(camera: ScriptedCamera) -> ScriptedCamera {
    camera.packetize(|picture| {
        let mut payloads = Vec::new();
        for unit in &picture.units {
            let mut fragments = picture.fragments(unit, MTU);
            let at = fragments[0].len() - unit[picture.header_len()..].len().min(MTU - 3) - 1;
            let mut end = fragments.last().expect("one").get(..=at).expect("a header").to_vec();
            end[at] = end[at] & 0x7f | 0x40;
            fragments.iter_mut().for_each(|fragment| fragment[at] &= !0x40);
            payloads.extend(fragments);
            payloads.push(end);
        }
        let last = payloads.len() - 1;
        payloads.into_iter().enumerate().map(|(i, payload)| (payload, i == last)).collect()
    })
}

/// Surrounds the slices with units that no decoder needs; the last one has the marker.
fn surrounded(camera: ScriptedCamera) -> ScriptedCamera {
    sending(camera, |picture| {
        let before = [picture.delimiter(), picture.message()];
        let after = [picture.unknown(), picture.filler(), picture.message()];
        [&before[..], &picture.units, &after].concat()
    })
}

/// Sends the parameter sets of the key frame between the slices of each picture.
fn between(camera: ScriptedCamera, sets: &[Vec<u8>]) -> ScriptedCamera {
    let sets = sets.to_vec();
    sending(camera, move |picture| {
        let slices = picture.slices();
        let (first, others) = slices.split_first().expect("a slice");
        let known = if picture.is_key() { picture.sets() } else { Vec::new() };
        [&known[..], std::slice::from_ref(first), &sets, others].concat()
    })
}

pub(crate) fn units() -> Vec<Quirk> {
    const SLICED: &[&str] = &["slices=3"];
    type Script = fn(ScriptedCamera) -> ScriptedCamera;
    let table: [(&str, Script); 13] = [
        ("a start code before each unit", |camera| coded(camera, CODE)),
        ("a short start code before each unit", |camera| coded(camera, SHORT_CODE)),
        ("each picture in one unit", whole),
        ("each picture in an aggregation packet", aggregated),
        ("nothing but fragments", fragmented),
        ("the end bit in a fragment of its own", ending),
        ("units that no decoder needs", surrounded),
        ("parameter sets between slices", |camera| {
            let sets = camera.pictures[0].sets();
            between(camera, &sets)
        }),
        ("parameter sets before each picture", |camera| {
            let sets = camera.pictures[0].sets();
            sending(camera, move |picture| [&sets[..], &picture.slices()].concat())
        }),
        ("parameter sets in reverse", |camera| {
            sending(camera, |picture| {
                let mut sets = picture.sets();
                sets.reverse();
                [sets, picture.slices()].concat()
            })
        }),
        ("parameter sets twice", |camera| {
            sending(camera, |picture| [picture.sets(), picture.units.clone()].concat())
        }),
        ("an empty packet before each picture", |camera| {
            camera.packetize(|picture| [vec![(Vec::new(), false)], picture.payloads(MTU)].concat())
        }),
        ("an empty packet with the marker", |camera| {
            camera.packetize(|picture| {
                let mut payloads = picture.payloads(MTU);
                payloads.last_mut().expect("a slice").1 = false;
                payloads.push((Vec::new(), true));
                payloads
            })
        }),
    ];
    let both = |(name, script): (&'static str, Script)| {
        [Quirk::new(name, script).encoder(SLICED), Quirk::new(name, script).encoder(SLICED).h265()]
    };
    table.into_iter().flat_map(both).collect()
}
