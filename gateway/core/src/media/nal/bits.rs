//! Reader for the bits of a parameter set: u(n), ue(v) and se(v) of H.264 §7.2 and §9.1.

/// The bits of a raw byte sequence payload, most significant first.
#[derive(Debug)]
pub(super) struct BitReader {
    bytes: Vec<u8>,
    position: usize,
}

impl BitReader {
    /// Creates a reader for a NAL unit without its header, and removes emulation prevention bytes.
    pub(super) fn new(escaped: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(escaped.len());
        let mut zeros = 0;
        for &byte in escaped {
            if zeros >= 2 && byte == 3 {
                zeros = 0;
                continue;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            bytes.push(byte);
        }
        Self { bytes, position: 0 }
    }

    pub(super) fn bit(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.position / 8)?;
        let bit = byte >> (7 - self.position % 8) & 1;
        self.position += 1;
        Some(bit == 1)
    }

    /// Reads u(n), at most 32 bits.
    pub(super) fn bits(&mut self, count: u32) -> Option<u32> {
        debug_assert!(count <= 32, "a value of at most 32 bits");
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | u32::from(self.bit()?);
        }
        Some(value)
    }

    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        self.position = self.position.checked_add(count)?;
        (self.position <= self.bytes.len() * 8).then_some(())
    }

    /// Reads ue(v), an Exp-Golomb code. `None` at the end, and for codes longer than any syntax
    /// element has.
    pub(super) fn ue(&mut self) -> Option<u32> {
        const LONGEST_PREFIX: u32 = 31;
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > LONGEST_PREFIX {
                return None;
            }
        }
        let suffix = self.bits(zeros)?;
        ((1_u32 << zeros) - 1).checked_add(suffix)
    }

    /// Reads se(v), a signed Exp-Golomb code.
    pub(super) fn se(&mut self) -> Option<i32> {
        let code = i64::from(self.ue()?);
        let magnitude = (code + 1) / 2;
        i32::try_from(if code % 2 == 0 { -magnitude } else { magnitude }).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn exp_golomb_codes_of_the_standards_table() {
        // H.264 table 9-2: 1, 010, 011, 00100, 00101, then 0001000.
        let mut reader = BitReader::new(&[0b1010_0110, 0b0100_0010, 0b1000_1000]);
        let values: Vec<_> = (0..6).map(|_| reader.ue().unwrap()).collect();
        assert_eq!(values, [0, 1, 2, 3, 4, 7]);
    }

    #[test]
    fn signed_codes_alternate_in_sign() {
        let mut reader = BitReader::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        let values: Vec<_> = (0..5).map(|_| reader.se().unwrap()).collect();
        assert_eq!(values, [0, 1, -1, 2, -2]);
    }

    #[test]
    fn emulation_prevention_is_removed() {
        let mut reader = BitReader::new(&[0, 0, 3, 1, 0, 0, 3, 0, 3]);
        let bytes: Vec<_> = std::iter::from_fn(|| reader.bits(8)).collect();
        assert_eq!(bytes, [0, 0, 1, 0, 0, 0, 3]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_their_end(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = BitReader::new(&bytes);
            let mut codes = 0;
            while reader.ue().is_some() {
                codes += 1;
            }
            prop_assert!(codes <= bytes.len() * 8);
            let mut reader = BitReader::new(&bytes);
            while reader.se().is_some() {}
            prop_assert!(reader.bits(32).is_none() || bytes.len() >= 4);
        }
    }
}
