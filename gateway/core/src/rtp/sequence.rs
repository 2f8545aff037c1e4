//! Sequence numbers of 16 bits, which wrap.

/// Maximum gap that a viewer sees for packets lost by the camera. More would only make it request
/// each of them in vain.
const MAX_GAP: u64 = 64;

/// Assigns a viewer's sequence numbers.
///
/// They have no gaps, except where packets of the camera were lost: a viewer must see that loss, or
/// its decoder joins the parts of the picture as if none were missing (RFC 3550 §7.2 requires the
/// same of translators).
#[derive(Debug)]
pub(super) struct Numbering {
    next: u16,
    /// The camera's number of the last packet; `None` before the first packet of a stream.
    last: Option<u64>,
}

impl Numbering {
    pub(super) fn new(first: u16) -> Self {
        Self { next: first, last: None }
    }

    /// Makes the next packet follow without a gap: it belongs to another stream.
    pub(super) fn splice(&mut self) {
        self.last = None;
    }

    /// Returns the sequence number for a packet with this number of the camera.
    pub(super) fn number(&mut self, camera: u64) -> u16 {
        let lost = self.last.map_or(0, |last| camera.saturating_sub(last + 1).min(MAX_GAP));
        let lost = u16::try_from(lost).unwrap_or(0);
        let sequence = self.next.wrapping_add(lost);
        self.next = sequence.wrapping_add(1);
        self.last = Some(camera);
        sequence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_shown_up_to_a_bound() {
        let mut numbering = Numbering::new(65_534);
        let table = [
            ("first", 100, 65_534),
            ("next", 101, 65_535),
            ("across the wrap", 102, 0),
            ("two lost", 105, 3),
            ("the same again", 105, 4),
            ("back", 90, 5),
            ("a thousand lost", 1091, 70),
        ];
        for (case, camera, expected) in table {
            assert_eq!(numbering.number(camera), expected, "{case}");
        }
        numbering.splice();
        assert_eq!(numbering.number(5000), 71, "another stream");
    }
}
