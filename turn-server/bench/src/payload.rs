//! The payload of packets, in which every byte can be checked.

/// Length of the head: flow, direction, sequence number, time.
pub(crate) const HEAD: usize = 4 + 1 + 3 + 8 + 8;

/// Length of the pattern. The rest of a payload is a part of it, at a place that depends on flow
/// and sequence number.
const PATTERN: usize = 4096;
const PLACES: u64 = 1021;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToPeer,
    ToClient,
}

impl Direction {
    pub(crate) const BOTH: [Self; 2] = [Self::ToPeer, Self::ToClient];

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::ToPeer => 0,
            Self::ToClient => 1,
        }
    }

    const fn marker(self) -> [u8; 4] {
        match self {
            Self::ToPeer => *b"c>p!",
            Self::ToClient => *b"p>c!",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) flow: u32,
    pub(crate) direction: Direction,
    pub(crate) sequence: u64,
    /// Time of sending on the generator's clock.
    pub(crate) sent_ns: u64,
}

impl Stamp {
    pub(crate) fn flow(self) -> usize {
        usize::try_from(self.flow).unwrap_or(usize::MAX)
    }
}

pub(crate) struct Pattern([u8; PATTERN]);

impl Pattern {
    pub(crate) fn new() -> Self {
        let mut state = 0x9E37_79B9_u32;
        Self(std::array::from_fn(|_| {
            // xorshift: any bytes will do that differ from their neighbours.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_be_bytes()[0]
        }))
    }

    /// Appends a payload of `len` bytes.
    pub(crate) fn write(&self, stamp: Stamp, len: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&stamp.flow.to_be_bytes());
        out.extend_from_slice(&stamp.direction.marker());
        out.extend_from_slice(&stamp.sequence.to_be_bytes());
        out.extend_from_slice(&stamp.sent_ns.to_be_bytes());
        out.extend_from_slice(self.rest(stamp, len));
    }

    /// Reads a payload. `None` if it differs from what was written.
    pub(crate) fn read(&self, direction: Direction, len: usize, bytes: &[u8]) -> Option<Stamp> {
        let (flow, rest) = bytes.split_first_chunk()?;
        let (marker, rest) = rest.split_first_chunk::<4>()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (sent_ns, rest) = rest.split_first_chunk()?;
        let stamp = Stamp {
            flow: u32::from_be_bytes(*flow),
            direction,
            sequence: u64::from_be_bytes(*sequence),
            sent_ns: u64::from_be_bytes(*sent_ns),
        };
        let is_intact = bytes.len() == len && *marker == direction.marker();
        (is_intact && rest == self.rest(stamp, len)).then_some(stamp)
    }

    fn rest(&self, stamp: Stamp, len: usize) -> &[u8] {
        let place = (u64::from(stamp.flow) * 31 + stamp.sequence) % PLACES;
        let start = usize::try_from(place).unwrap_or(0);
        self.0.get(start..start + len.saturating_sub(HEAD)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_payload_is_detected() {
        let (pattern, len) = (Pattern::new(), 160);
        let direction = Direction::ToPeer;
        let stamp = Stamp { flow: 7, direction, sequence: 1 << 40, sent_ns: 99 };
        let mut sent = Vec::new();
        pattern.write(stamp, len, &mut sent);
        assert_eq!(sent.len(), len);
        assert_eq!(pattern.read(direction, len, &sent), Some(stamp));
        assert_eq!(pattern.read(Direction::ToClient, len, &sent), None);
        assert_eq!(pattern.read(direction, len, &sent[..len - 1]), None);
        for at in HEAD..len {
            let mut damaged = sent.clone();
            damaged[at] ^= 1;
            assert_eq!(pattern.read(direction, len, &damaged), None, "byte {at}");
        }
    }
}
