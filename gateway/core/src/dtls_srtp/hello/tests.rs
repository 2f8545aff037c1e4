use super::*;

const GCM: Option<SrtpProfile> = Some(SrtpProfile::AeadAes128Gcm);
const GCM_256: Option<SrtpProfile> = Some(SrtpProfile::AeadAes256Gcm);
const CM: Option<SrtpProfile> = Some(SrtpProfile::Aes128CmHmacSha1_80);

/// The records of a ClientHello as a browser sends it, in two datagrams.
const CHROMIUM: &[u8] = include_bytes!("tests/chromium.bin");

/// Makes the body of a ClientHello with these extensions: number and body.
fn hello(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, body) in extensions {
        bytes.extend(number.to_be_bytes());
        bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body);
    }
    let mut hello = vec![254, 253];
    hello.extend([7; 32]);
    // No session id, a cookie, one cipher suite, no compression.
    hello.extend([0, 2, 1, 2, 0, 2, 0xC0, 0x2B, 1, 0]);
    hello.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
    [hello, bytes].concat()
}

/// Makes the extension that offers these profiles.
fn use_srtp(profiles: &[u16]) -> (u16, Vec<u8>) {
    let mut body = u16::try_from(profiles.len() * 2).unwrap().to_be_bytes().to_vec();
    body.extend(profiles.iter().flat_map(|profile| profile.to_be_bytes()));
    body.push(0);
    (USE_SRTP, body)
}

/// Makes a record with the part of a message from `offset` on.
fn record(message: &[u8], offset: usize, len: usize) -> Vec<u8> {
    let number = |value: usize| u32::try_from(value).unwrap().to_be_bytes()[1..].to_vec();
    let part = &message[offset..message.len().min(offset + len)];
    let mut body = vec![CLIENT_HELLO];
    body.extend(number(message.len()));
    body.extend([0, 0]);
    body.extend(number(offset));
    body.extend(number(part.len()));
    body.extend(part);
    let mut record = vec![HANDSHAKE, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0];
    record.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    [record, body].concat()
}

/// Returns the profile once the last of the datagrams, and no earlier one, has completed a
/// ClientHello.
fn read(name: &str, datagrams: &[Vec<u8>]) -> Option<SrtpProfile> {
    let mut peek = HelloPeek::default();
    let Some((last, first)) = datagrams.split_last() else { panic!("{name} is empty") };
    for datagram in first {
        assert_eq!(peek.handle_records(datagram), Peeked::Wait, "{name}");
    }
    let Peeked::Done { records, profile } = peek.handle_records(last) else {
        panic!("{name} is not whole");
    };
    assert_eq!(records, datagrams.concat(), "{name}: the engine gets every record");
    profile
}

#[test]
fn the_best_profile_of_each_player_is_chosen() {
    type Case = (&'static str, &'static [u8], Option<SrtpProfile>);
    let table: [Case; 6] = [
        ("Chromium, which prefers AES-CM", CHROMIUM, GCM),
        ("Firefox", include_bytes!("tests/firefox.bin"), GCM),
        ("aiortc, which prefers 256 bits", include_bytes!("tests/aiortc.bin"), GCM),
        ("the webrtc crate", include_bytes!("tests/webrtc_crate.bin"), GCM),
        ("werift", include_bytes!("tests/werift.bin"), GCM),
        ("webrtcbin, which has only AES-CM", include_bytes!("tests/webrtcbin.bin"), CM),
    ];
    for (name, bytes, expected) in table {
        let datagrams: Vec<_> = Records(bytes).map(|record| record.whole.to_vec()).collect();
        assert_eq!(read(name, &datagrams), expected, "{name}");
        assert_eq!(read(name, &[bytes.to_vec()]), expected, "{name} in one datagram");
        let backwards: Vec<_> = datagrams.into_iter().rev().collect();
        assert_eq!(read(name, &backwards), expected, "{name} in the other order");
    }
}

#[test]
fn our_order_counts_and_not_that_of_the_client() {
    let table: [(&[u16], Option<SrtpProfile>); 8] = [
        (&[1, 8, 7], GCM),
        (&[7, 8, 1], GCM),
        (&[1, 8], GCM_256),
        (&[2, 1], CM),
        (&[1], CM),
        (&[0x1234, 9, 7], GCM),
        (&[2, 9], None),
        (&[], None),
    ];
    for (profiles, expected) in table {
        let message = hello(&[(23, vec![]), use_srtp(profiles), (65281, vec![0])]);
        let name = format!("{profiles:?}");
        let datagram = record(&message, 0, message.len());
        assert_eq!(read(&name, &[datagram]), expected, "{name}");
    }
}

#[test]
fn fragments_are_joined_in_any_order_and_size() {
    let message = hello(&[(51, vec![9; 1200]), use_srtp(&[1, 7])]);
    // Bytes of a fragment, and bytes that it repeats of the one before.
    for (size, overlap) in [(43, 0), (100, 0), (100, 30), (700, 600), (1250, 0), (2000, 0)] {
        let offsets = (0..message.len()).step_by(size);
        let records: Vec<_> = offsets
            .map(|offset| {
                let begin = offset.saturating_sub(overlap);
                record(&message, begin, offset + size - begin)
            })
            .collect();
        let name = format!("fragments of {size} bytes, {overlap} of them repeated");
        let backwards: Vec<_> = records.iter().rev().cloned().collect();
        for order in [records, backwards] {
            assert_eq!(read(&name, &order), GCM, "{name}");
        }
    }
}

#[test]
fn a_hello_that_cannot_be_read_is_left_to_the_engine() {
    let whole = hello(&[use_srtp(&[1, 7])]);
    for len in 0..whole.len() {
        let datagram = record(&whole[..len], 0, len);
        let profile = read("a hello that is cut off", &[datagram]);
        // The last byte is the length of an MKI, which nobody uses.
        assert_eq!(profile, None, "{len}");
    }
    let table = [
        ("no extensions", hello(&[])),
        ("an extension that is longer than all", [hello(&[]), vec![0, 14, 1, 0]].concat()),
        ("a list that is longer than its extension", hello(&[(USE_SRTP, vec![0, 9, 0, 7])])),
        ("an odd list", hello(&[(USE_SRTP, vec![0, 1, 7, 0])])),
        ("an empty extension", hello(&[(USE_SRTP, vec![])])),
    ];
    for (name, message) in table {
        assert_eq!(read(name, &[record(&message, 0, message.len())]), None, "{name}");
    }
}

#[test]
fn what_is_held_back_is_bounded() {
    let message = hello(&[(51, vec![9; 60_000]), use_srtp(&[7])]);
    let header = [HANDSHAKE, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 11];
    let table = [
        ("small fragments", record(&message, 0, 1), MAX_HELD_RECORDS + 1),
        ("fragments without bytes", record(&message, 0, 0), MAX_HELD_RECORDS + 1),
        ("other messages", header.to_vec(), MAX_HELD_RECORDS + 1),
        ("a large message", record(&message, 0, 1200), MAX_HELD_BYTES / 1225 + 1),
    ];
    for (name, datagram, count) in table {
        let mut peek = HelloPeek::default();
        for _ in 1..count {
            assert_eq!(peek.handle_records(&datagram), Peeked::Wait, "{name}");
        }
        let records = BytesMut::from(datagram.repeat(count).as_slice());
        let passed = Peeked::Done { records, profile: None };
        assert_eq!(peek.handle_records(&datagram), passed, "{name}");
    }
}

#[test]
fn records_that_belong_to_no_hello_are_dropped() {
    let message = hello(&[use_srtp(&[7])]);
    let ours = record(&message, 0, message.len());
    let mut peek = HelloPeek::default();
    // An alert, encrypted data, and a record of a later epoch.
    for (kind, epoch) in [(21, 0), (23, 1), (HANDSHAKE, 1)] {
        let mut other = ours.clone();
        (other[0], other[4]) = (kind, epoch);
        for _ in 0..1000 {
            assert_eq!(peek.handle_records(&other), Peeked::Wait, "{kind} {epoch}");
        }
    }
    let records = BytesMut::from(ours.as_slice());
    assert_eq!(peek.handle_records(&ours), Peeked::Done { records, profile: GCM });
}
