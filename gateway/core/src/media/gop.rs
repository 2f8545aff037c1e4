//! The cached group of pictures that a new viewer starts from.

use super::stream::MediaPacket;

/// Maximum size of a cached group in bytes: 8 s of a camera at 8 Mbit/s. More could not be sent to
/// a new viewer in the time in which it must see a picture.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Maximum number of packets in a cached group: many tiny packets cost more than their bytes.
const MAX_PACKETS: usize = 10_000;

/// The packets since the last key frame, or none: a viewer that starts from a group with a gap, or
/// from one that was cut at its bound, would freeze.
#[derive(Debug, Default)]
pub struct Gop {
    packets: Vec<MediaPacket>,
    bytes: usize,
    /// True from the moment at which the group outgrew its bound until the next key frame.
    is_too_large: bool,
}

impl Gop {
    /// Returns the packets to start from; the first one begins the key frame.
    #[must_use]
    pub fn packets(&self) -> &[MediaPacket] {
        &self.packets
    }

    /// Returns the payload size of all packets together, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns true if the group is not cached because it has outgrown its bound: a new viewer has
    /// to wait for the next key frame.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.is_too_large
    }

    pub(super) fn push(&mut self, packet: &MediaPacket) {
        if packet.starts_key_frame {
            self.clear();
        } else if self.packets.is_empty() {
            return;
        }
        self.bytes += packet.payload.len();
        self.packets.push(packet.clone());
        if self.bytes > MAX_BYTES || self.packets.len() > MAX_PACKETS {
            *self = Self { is_too_large: true, ..Self::default() };
        }
    }

    /// Empties the cache until the next key frame.
    pub(super) fn clear(&mut self) {
        self.packets.clear();
        self.bytes = 0;
        self.is_too_large = false;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::Bytes;

    use super::*;

    fn packet(starts_key_frame: bool, len: usize) -> MediaPacket {
        MediaPacket {
            payload: Bytes::from(vec![0; len]),
            timestamp: 0,
            marker: false,
            sequence: 0,
            starts_key_frame,
            arrival: Instant::now(),
            captured: Instant::now(),
        }
    }

    #[test]
    fn a_group_begins_at_a_key_frame() {
        let mut gop = Gop::default();
        gop.push(&packet(false, 9));
        assert!(gop.packets().is_empty());
        gop.push(&packet(true, 1));
        gop.push(&packet(false, 2));
        assert_eq!((gop.packets().len(), gop.bytes()), (2, 3));
        gop.push(&packet(true, 4));
        assert_eq!((gop.packets().len(), gop.bytes()), (1, 4));
    }

    #[test]
    fn a_group_that_outgrows_its_bound_is_dropped() {
        for (len, count) in [(MAX_BYTES / 4, 5), (0, MAX_PACKETS + 1)] {
            let mut gop = Gop::default();
            gop.push(&packet(true, len));
            for _ in 1..count {
                gop.push(&packet(false, len));
            }
            gop.push(&packet(false, 1));
            assert!(gop.packets().is_empty(), "{count} packets of {len} bytes");
            assert!(gop.is_too_large());
            gop.push(&packet(true, 1));
            assert!(!gop.is_too_large());
            assert_eq!(gop.packets().len(), 1, "the next key frame is kept again");
        }
    }
}
