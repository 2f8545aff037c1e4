use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn parameters(text: &str) -> impl Fn(&str) -> Option<String> {
    let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    let pairs: HashMap<_, _> =
        pairs.map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned())).collect();
    move |name: &str| pairs.get(name).cloned()
}

#[test]
fn a_description_gives_rate_and_channels_or_the_reason_why_not() {
    let plays = |rate: u32, channels: u8| Ok((rate, channels));
    let variant = |name| Err(AudioProblem::Variant(name));
    type Case = (&'static str, &'static str, Result<(u32, u8), AudioProblem>);
    let table: [Case; 14] = [
        ("LC 16 kHz mono", "config=1408; mode=AAC-hbr", plays(16_000, 1)),
        ("LC 8 kHz mono", "config=1588", plays(8_000, 1)),
        ("LC 44.1 kHz stereo", "config=1210;sizelength=13", plays(44_100, 2)),
        ("LC 48 kHz stereo, with quotes", "config=\"1190\"", plays(48_000, 2)),
        ("LC whose rate is written out", "config=17801F4008", plays(16_000, 1)),
        (
            "LC with a hint at HE-AAC that older decoders skip",
            "config=139056E5A0",
            plays(22_050, 2),
        ),
        ("without a configuration", "mode=AAC-hbr", plays(16_000, 1)),
        ("HE-AAC", "config=2B920800", variant("HE-AAC")),
        ("HE-AAC v2", "config=EB8A0800", variant("HE-AAC v2")),
        ("AAC-ELD", "config=F8E85000", variant("AAC-ELD")),
        ("960 samples", "config=140C", variant("AAC with 960 samples a frame")),
        ("six channels", "config=11B0", Err(AudioProblem::Channels(6))),
        ("channels in band", "config=1180", Err(AudioProblem::Channels(0))),
        ("cut off", "config=14", Err(AudioProblem::Parameters)),
    ];
    for (case, text, expected) in table {
        let found = AacFormat::generic(parameters(text), 16_000, 1);
        let found = found.map(|format| (format.sample_rate, format.channels));
        assert_eq!(found, expected, "{case}");
    }
    let found = AacFormat::latm(parameters("cpresent=0;config=400024203FC0")).unwrap();
    assert_eq!((found.sample_rate, found.channels), (44_100, 2), "LATM");
    let in_band = AacFormat::latm(parameters("cpresent=1"));
    assert_eq!(in_band, Err(AudioProblem::Parameters));
}

#[test]
fn the_configuration_of_a_decoder_says_what_was_read() {
    for config in ["1408", "1588", "1210", "1190"] {
        let format = AacFormat::generic(parameters(&format!("config={config}")), 0, 0).unwrap();
        let [high, low] = format.config();
        assert_eq!(format!("{high:02x}{low:02x}"), config);
    }
}

/// Returns a packet of these units with headers of the mode AAC-hbr, each of which says `size`.
fn packet(units: &[&[u8]], size: Option<usize>) -> Bytes {
    let mut packet = u16::try_from(units.len() * 16).unwrap().to_be_bytes().to_vec();
    for unit in units {
        let size = u16::try_from(size.unwrap_or(unit.len())).unwrap();
        packet.extend((size << 3).to_be_bytes());
    }
    units.iter().for_each(|unit| packet.extend_from_slice(unit));
    packet.into()
}

#[test]
fn access_units_are_found_however_they_lie_in_packets() {
    let framing = Framing::Headers(HeaderLengths::HIGH_BIT_RATE);
    let adts = [0xff, 0xf1, 0x60, 0x40, 1, 0x7f, 0xfc, 9, 9];
    // Packets, and the units that come out of each.
    type Case = (&'static str, Vec<Bytes>, Vec<Vec<&'static [u8]>>);
    let table: Vec<Case> = vec![
        ("one", vec![packet(&[b"abc"], None)], vec![vec![b"abc"]]),
        ("several", vec![packet(&[b"abc", b"de"], None)], vec![vec![b"abc", b"de"]]),
        (
            "in fragments",
            vec![packet(&[b"abc"], Some(7)), packet(&[b"de"], Some(7)), packet(&[b"fg"], Some(7))],
            vec![vec![], vec![], vec![b"abcdefg"]],
        ),
        (
            "in fragments of which the last is lost",
            vec![packet(&[b"abc"], Some(7)), packet(&[b"xyz"], None)],
            vec![vec![], vec![b"xyz"]],
        ),
        ("behind a header of ADTS", vec![packet(&[&adts], None)], vec![vec![&[9, 9]]]),
        ("nothing", vec![Bytes::new()], vec![vec![]]),
        ("headers only", vec![packet(&[b""], Some(0))], vec![vec![b""]]),
    ];
    for (case, packets, expected) in table {
        let mut depacketizer = Depacketizer::new(framing);
        let found: Vec<Vec<Bytes>> =
            packets.iter().map(|packet| depacketizer.units(packet).into()).collect();
        assert_eq!(found, expected, "{case}");
    }
    let mut latm = Depacketizer::new(Framing::Latm);
    let long = [&[255, 255, 2][..], &[7; 512]].concat();
    let found: Vec<Bytes> = latm.units(&[&[2, 1, 2], &long[..]].concat().into()).into();
    assert_eq!(found, [Bytes::from_static(&[1, 2]), Bytes::from(vec![7; 512])]);
}

proptest! {
    #[test]
    fn no_packet_breaks_it(
        packets in proptest::collection::vec(any::<Vec<u8>>(), 1..8),
        latm: bool,
    ) {
        let framing =
            if latm { Framing::Latm } else { Framing::Headers(HeaderLengths::HIGH_BIT_RATE) };
        let mut depacketizer = Depacketizer::new(framing);
        for packet in packets {
            let len = packet.len();
            let units = depacketizer.units(&packet.into());
            prop_assert!(units.len() <= MAX_UNITS);
            prop_assert!(units.iter().all(|unit| unit.len() <= MAX_UNIT.max(len)));
        }
    }
}
