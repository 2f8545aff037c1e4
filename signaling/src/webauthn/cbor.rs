//! The part of CBOR (RFC 8949) that authenticators use: definite lengths, whole numbers, bytes,
//! text, arrays and maps. Everything borrows from the input and is bounded by it.

/// The deepest nesting: an attestation has certificates in an array in a map in a map.
const MAX_DEPTH: usize = 6;
/// The most entries of a map that is read.
const MAX_ENTRIES: u64 = 32;

/// A value as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A whole number.
    Int(i64),
    /// A string of bytes.
    Bytes(&'a [u8]),
    /// A text in UTF-8.
    Text(&'a str),
    /// A value of any other kind.
    Other,
}

/// Reads values one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Returns the number of bytes that were not read yet.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// Returns true once everything was read.
    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Reads a map, whose keys are different and no containers.
    pub(super) fn map(&mut self) -> Option<Vec<(Value<'a>, Value<'a>)>> {
        let (5, count) = self.head()? else { return None };
        if count > MAX_ENTRIES {
            return None;
        }
        let mut entries = Vec::new();
        for _ in 0..count {
            let key = self.value(0)?;
            if key == Value::Other || entries.iter().any(|(other, _)| *other == key) {
                return None;
            }
            entries.push((key, self.value(0)?));
        }
        Some(entries)
    }

    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        if depth > MAX_DEPTH {
            return None;
        }
        let (major, argument) = self.head()?;
        match major {
            0 => Some(Value::Int(i64::try_from(argument).ok()?)),
            1 => Some(Value::Int(-1 - i64::try_from(argument).ok()?)),
            2 => Some(Value::Bytes(self.take(argument)?)),
            3 => Some(Value::Text(std::str::from_utf8(self.take(argument)?).ok()?)),
            4 | 5 => {
                // Each item takes at least a byte, so that the input bounds the loop.
                for _ in 0..argument.checked_mul(if major == 5 { 2 } else { 1 })? {
                    self.value(depth + 1)?;
                }
                Some(Value::Other)
            }
            7 => Some(Value::Other),
            _ => None,
        }
    }

    /// Reads the major type of a value and its argument (RFC 8949 §3).
    fn head(&mut self) -> Option<(u8, u64)> {
        let first = *self.take(1)?.first()?;
        let length = match first & 31 {
            small @ 0..=23 => return Some((first >> 5, small.into())),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => return None,
        };
        let bytes = self.take(length)?;
        Some((first >> 5, bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))))
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(taken)
    }
}

/// Returns the value of a key in a map.
pub(super) fn get<'a>(map: &[(Value<'_>, Value<'a>)], key: Value<'_>) -> Option<Value<'a>> {
    map.iter().find(|(other, _)| *other == key).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_rfc_8949_are_read() {
        // Appendix A, as the only value of a map with the key 0.
        for (bytes, expected) in [
            (&[0x00][..], Value::Int(0)),
            (&[0x17], Value::Int(23)),
            (&[0x18, 0x64], Value::Int(100)),
            (&[0x19, 0x03, 0xe8], Value::Int(1000)),
            (&[0x1a, 0x00, 0x0f, 0x42, 0x40], Value::Int(1_000_000)),
            (&[0x20], Value::Int(-1)),
            (&[0x39, 0x03, 0xe7], Value::Int(-1000)),
            (&[0x44, 1, 2, 3, 4], Value::Bytes(&[1, 2, 3, 4])),
            (&[0x64, b'I', b'E', b'T', b'F'], Value::Text("IETF")),
            (&[0x83, 1, 2, 3], Value::Other),
            (&[0xa2, 1, 2, 3, 4], Value::Other),
            (&[0xf5], Value::Other),
            (&[0xf9, 0x3c, 0x00], Value::Other),
        ] {
            let map = [&[0xa1, 0x00], bytes].concat();
            let mut reader = Reader::new(&map);
            assert_eq!(reader.map(), Some(vec![(Value::Int(0), expected)]), "{bytes:x?}");
            assert!(reader.is_at_end(), "{bytes:x?}");
        }
    }

    #[test]
    fn what_is_cut_too_deep_or_without_a_length_is_refused() {
        let deep = [&[0xa1, 0x00], &[0x81; MAX_DEPTH + 1][..], &[0x00]].concat();
        for bytes in [
            &[][..],
            &[0xa1],
            &[0xa1, 0x00],
            &[0xa1, 0x00, 0x19, 0x03],
            &[0xa1, 0x00, 0x44, 1, 2, 3],
            &[0xa1, 0x00, 0x5b, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0xa1, 0x00, 0x9b, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0xa1, 0x00, 0xbb, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0xa1, 0x00, 0x1b, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0xbb, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0xa2, 0x00, 0x00, 0x00, 0x01],
            &[0xbf, 0x00, 0x00, 0xff],
            &[0xa1, 0x00, 0x5f, 0xff],
            &[0xa1, 0x00, 0xc0, 0x00],
            &[0xa1, 0x80, 0x00],
            &[0x81, 0x00],
            &deep,
        ] {
            assert_eq!(Reader::new(bytes).map(), None, "{bytes:x?}");
        }
    }
}
