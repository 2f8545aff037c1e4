//! Bounds for what a peer can make the engine keep, and detection of repeated flights.
//!
//! The engine stores fragments of handshake messages, and records that arrive before their keys,
//! almost without bound, and joins fragments recursively. It also stops its retransmission timer
//! whenever a handshake record arrives, even one that it has seen. So every datagram passes an
//! [`Admission`] first, which drops what no handshake needs.

use std::collections::HashSet;

use bytes::BytesMut;

use super::DtlsRole;

/// Maximum number of fragments of handshake messages, repeated ones included. A flight has about
/// ten; with certificate chains, and each flight sent eight times, a handshake has 300.
const MAX_FRAGMENTS: usize = 512;

/// Maximum number of bytes in these fragments: twenty times a handshake with certificate chains.
const MAX_HANDSHAKE_BYTES: usize = 128 * 1024;

/// Maximum number of records that change keys or end the handshake. A flight has two.
const MAX_KEY_RECORDS: usize = 32;

/// Maximum number of other records that arrive before their keys: data that overtakes the end of
/// the handshake.
const MAX_EARLY_RECORDS: usize = 32;

/// Maximum number of bytes in an encrypted handshake record: a Finished message has 24, and the
/// cipher suites add up to 60. More would be many fragments, which cannot be counted.
const MAX_FINISHED_BYTES: usize = 256;

/// Length of a record's header (RFC 6347 §4.1).
const RECORD_HEADER: usize = 13;

/// Length of the header of a handshake fragment (RFC 6347 §4.2.2).
const FRAGMENT_HEADER: usize = 12;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// The decision about a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The engine gets these records of it.
    Pass(BytesMut),
    /// The peer repeats a flight that has arrived already, because ours may be lost: ours is sent
    /// again (RFC 6347 §4.2.4).
    Repeated,
    /// The engine gets nothing of it.
    Drop,
    /// The peer has sent more than any handshake has.
    Flood,
}

/// Counts what the peer of one association has sent.
#[derive(Debug)]
pub(super) struct Admission {
    role: DtlsRole,
    /// Message sequence number and offset of the fragments that were passed to the engine.
    seen: HashSet<(u16, u32)>,
    /// Highest message sequence number seen.
    newest: Option<u16>,
    fragments: usize,
    bytes: usize,
    key_records: usize,
    early_records: usize,
}

impl Admission {
    pub(super) fn new(role: DtlsRole) -> Self {
        Self {
            role,
            seen: HashSet::new(),
            newest: None,
            fragments: 0,
            bytes: 0,
            key_records: 0,
            early_records: 0,
        }
    }

    /// Decides what becomes of a datagram; `finished` is true once the handshake is.
    pub(super) fn admit(&mut self, datagram: &[u8], finished: bool) -> Verdict {
        let mut admitted = BytesMut::new();
        let mut repeated = false;
        for record in Records(datagram) {
            let keep = match (record.kind, record.epoch) {
                // Nothing answers a client's last flight but the Finished message that it had.
                (HANDSHAKE, _) if finished && self.role == DtlsRole::Client => false,
                (HANDSHAKE, 0) => match self.count_fragments(record.body, finished) {
                    Fragments::New => true,
                    Fragments::Repeated => {
                        repeated = true;
                        false
                    }
                    Fragments::TooMany if finished => false,
                    Fragments::TooMany => return Verdict::Flood,
                },
                (ALERT, 0) => !finished,
                (CHANGE_CIPHER_SPEC, 0) => !finished && self.count_key_record(),
                (HANDSHAKE, _) => {
                    record.body.len() <= MAX_FINISHED_BYTES && self.count_key_record()
                }
                (APPLICATION_DATA | ALERT, 1..) => finished || self.count_early_record(),
                // Invalid records are discarded silently (RFC 6347 §4.1.2.7).
                _ => false,
            };
            if keep {
                admitted.extend_from_slice(record.whole);
            }
        }
        match (admitted.is_empty(), repeated) {
            (false, _) => Verdict::Pass(admitted),
            (true, true) => Verdict::Repeated,
            (true, false) => Verdict::Drop,
        }
    }

    /// Counts the fragments of an unencrypted handshake record.
    fn count_fragments(&mut self, body: &[u8], finished: bool) -> Fragments {
        // The engine needs these repeats: the first ClientHello makes it send HelloVerifyRequest
        // again, and the last flight of a finished handshake its own last flight.
        let is_early = self.newest.is_none_or(|sequence| sequence == 0);
        let needs_repeats = finished || (self.role == DtlsRole::Server && is_early);
        let fragments: Vec<_> = FragmentIds(body).collect();
        let is_new = |id: &(u16, u32)| !self.seen.contains(id);
        if !needs_repeats && !fragments.iter().any(is_new) {
            return Fragments::Repeated;
        }
        self.fragments += fragments.len();
        self.bytes += body.len();
        if self.fragments > MAX_FRAGMENTS || self.bytes > MAX_HANDSHAKE_BYTES {
            return Fragments::TooMany;
        }
        self.newest = fragments.iter().map(|(sequence, _)| *sequence).chain(self.newest).max();
        self.seen.extend(fragments);
        Fragments::New
    }

    fn count_key_record(&mut self) -> bool {
        self.key_records += 1;
        self.key_records <= MAX_KEY_RECORDS
    }

    fn count_early_record(&mut self) -> bool {
        self.early_records += 1;
        self.early_records <= MAX_EARLY_RECORDS
    }
}

enum Fragments {
    New,
    Repeated,
    TooMany,
}

pub(super) struct Record<'a> {
    pub(super) kind: u8,
    pub(super) epoch: u16,
    pub(super) body: &'a [u8],
    /// The record with its header.
    pub(super) whole: &'a [u8],
}

/// The records of a datagram; ends at the first malformed one.
pub(super) struct Records<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let [kind, _, _, e1, e0, _, _, _, _, _, _, l1, l0, ..] = *self.0 else { return None };
        let len = usize::from(u16::from_be_bytes([l1, l0]));
        let (whole, rest) = self.0.split_at_checked(RECORD_HEADER + len)?;
        self.0 = rest;
        let body = whole.get(RECORD_HEADER..).filter(|body| !body.is_empty())?;
        Some(Record { kind, epoch: u16::from_be_bytes([e1, e0]), body, whole })
    }
}

/// Message sequence number and offset of each fragment in a record, divided as the engine does it:
/// by the length of the message, not that of the fragment.
struct FragmentIds<'a>(&'a [u8]);

impl Iterator for FragmentIds<'_> {
    type Item = (u16, u32);

    fn next(&mut self) -> Option<(u16, u32)> {
        let [_, m2, m1, m0, s1, s0, o2, o1, o0, ..] = *self.0 else { return None };
        let len = usize::try_from(u32::from_be_bytes([0, m2, m1, m0])).unwrap_or(usize::MAX);
        self.0 = self.0.get(FRAGMENT_HEADER.saturating_add(len)..).unwrap_or_default();
        Some((u16::from_be_bytes([s1, s0]), u32::from_be_bytes([0, o2, o1, o0])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, epoch: u16, body: &[u8]) -> Vec<u8> {
        let mut record = vec![kind, 254, 253];
        record.extend(epoch.to_be_bytes());
        record.extend([0; 6]);
        record.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        record.extend(body);
        record
    }

    /// Makes a fragment of one byte at `offset` of a long message.
    fn fragment(sequence: u16, offset: u16) -> Vec<u8> {
        let [s1, s0] = sequence.to_be_bytes();
        let [o1, o0] = offset.to_be_bytes();
        vec![11, 0, 0, 1, s1, s0, 0, o1, o0, 0, 0, 1, 7]
    }

    fn passed(bytes: &[u8]) -> Verdict {
        Verdict::Pass(BytesMut::from(bytes))
    }

    #[test]
    fn what_no_handshake_has_is_dropped() {
        let table: [(&str, Vec<u8>, bool, bool); 12] = [
            ("a handshake message", record(HANDSHAKE, 0, &fragment(0, 0)), false, true),
            ("plain data", record(APPLICATION_DATA, 0, b"data"), false, false),
            ("an alert", record(ALERT, 0, &[2, 40]), false, true),
            ("a plain alert afterwards", record(ALERT, 0, &[2, 40]), true, false),
            ("an encrypted alert", record(ALERT, 1, &[0; 26]), true, true),
            ("a Finished message", record(HANDSHAKE, 1, &[0; 48]), false, true),
            ("a long encrypted message", record(HANDSHAKE, 1, &[0; 400]), false, false),
            ("the same afterwards", record(HANDSHAKE, 1, &[0; 400]), true, false),
            ("data afterwards", record(APPLICATION_DATA, 1, b"data"), true, true),
            ("an unknown type", record(99, 0, b"data"), false, false),
            ("an empty record", record(HANDSHAKE, 0, &[]), false, false),
            (
                "a record that is cut off",
                record(HANDSHAKE, 0, &[0; 20])[..25].to_vec(),
                false,
                false,
            ),
        ];
        for (name, bytes, finished, admitted) in table {
            let verdict = Admission::new(DtlsRole::Server).admit(&bytes, finished);
            let expected = if admitted { passed(&bytes) } else { Verdict::Drop };
            assert_eq!(verdict, expected, "{name}");
        }
    }

    #[test]
    fn fragments_are_bounded_however_they_are_packed() {
        for per_record in [1, 10, 5000] {
            let mut admission = Admission::new(DtlsRole::Client);
            let mut sent = 0_u16;
            let flood = (0..6000).position(|_| {
                let fragments: Vec<u8> = (0..per_record)
                    .flat_map(|_| {
                        sent = sent.wrapping_add(1);
                        fragment(0, sent)
                    })
                    .collect();
                admission.admit(&record(HANDSHAKE, 0, &fragments), false) == Verdict::Flood
            });
            assert_eq!(flood, Some(MAX_FRAGMENTS / per_record), "{per_record}");
            assert!(admission.seen.len() <= MAX_FRAGMENTS);
        }
    }

    #[test]
    fn large_fragments_are_bounded_by_their_bytes() {
        let mut admission = Admission::new(DtlsRole::Client);
        let body = |sequence: u16| {
            let [s1, s0] = sequence.to_be_bytes();
            [vec![11, 255, 255, 255, s1, s0, 0, 0, 0, 0, 4, 0], vec![0; 1024]].concat()
        };
        let flood = (0..1000).position(|sequence| {
            admission.admit(&record(HANDSHAKE, 0, &body(sequence)), false) == Verdict::Flood
        });
        assert_eq!(flood, Some(MAX_HANDSHAKE_BYTES / body(0).len()));
    }

    #[test]
    fn early_records_are_bounded_and_do_not_end_the_handshake() {
        let mut admission = Admission::new(DtlsRole::Server);
        let early = record(APPLICATION_DATA, 1, &[0; 1000]);
        let admitted = (0..1000).filter(|_| admission.admit(&early, false) == passed(&early));
        assert_eq!(admitted.count(), MAX_EARLY_RECORDS);
        let hello = record(HANDSHAKE, 0, &fragment(0, 0));
        assert_eq!(admission.admit(&hello, false), passed(&hello));
    }

    #[test]
    fn a_repeated_flight_is_recognized_and_what_is_new_beside_it_passes() {
        let mut admission = Admission::new(DtlsRole::Server);
        let hello = record(HANDSHAKE, 0, &fragment(0, 0));
        let second = record(HANDSHAKE, 0, &fragment(1, 0));
        assert_eq!(admission.admit(&hello, false), passed(&hello));
        assert_eq!(admission.admit(&hello, false), passed(&hello), "HelloVerifyRequest was lost");
        assert_eq!(admission.admit(&second, false), passed(&second));
        assert_eq!(admission.admit(&second, false), Verdict::Repeated);
        assert_eq!(admission.admit(&hello, false), Verdict::Repeated);
        let change = record(CHANGE_CIPHER_SPEC, 0, &[1]);
        let both = [second.clone(), change.clone()].concat();
        assert_eq!(admission.admit(&both, false), passed(&change));
        assert_eq!(admission.admit(&second, true), passed(&second), "our last flight was lost");
        let mut client = Admission::new(DtlsRole::Client);
        assert_eq!(client.admit(&hello, false), passed(&hello));
        assert_eq!(client.admit(&hello, false), Verdict::Repeated);
        assert_eq!(client.admit(&second, true), Verdict::Drop, "a client is done");
    }

    #[test]
    fn s12_what_the_engine_keeps_before_the_handshake_is_bounded() {
        type Case = (&'static str, Vec<u8>, usize);
        let table: [Case; 5] = [
            ("data of a later epoch", record(APPLICATION_DATA, 1, &[0; 1200]), MAX_EARLY_RECORDS),
            ("alerts of a later epoch", record(ALERT, 7, &[0; 1200]), MAX_EARLY_RECORDS),
            ("short encrypted messages", record(HANDSHAKE, 1, &[0; 200]), MAX_KEY_RECORDS),
            ("long encrypted messages", record(HANDSHAKE, 1, &[0; 1200]), 0),
            ("changes of keys", record(CHANGE_CIPHER_SPEC, 0, &[1]), MAX_KEY_RECORDS),
        ];
        for role in [DtlsRole::Client, DtlsRole::Server] {
            let mut admission = Admission::new(role);
            let mut kept = 0;
            for (what, datagram, most) in &table {
                // One session at 60 MiB/s for a second.
                let mut admission_of_one = Admission::new(role);
                let passes = |admission: &mut Admission| match admission.admit(datagram, false) {
                    Verdict::Pass(records) => records.len(),
                    Verdict::Repeated | Verdict::Drop | Verdict::Flood => 0,
                };
                let alone = (0..50_000).filter(|_| passes(&mut admission_of_one) > 0).count();
                assert_eq!(alone, *most, "{what}");
                kept += (0..50_000).map(|_| passes(&mut admission)).sum::<usize>();
            }
            assert!(kept <= 64 * 1024, "{kept} bytes of all kinds together");
        }
    }
}
