//! The text of a file, in whatever encoding it was saved.

use zeroize::Zeroizing;

use super::ImportError;

/// The characters of Windows-1252 from 0x80 to 0x9F; the others are those of Latin-1. The five that
/// are not assigned stay as they are.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8D}', 'Ž', '\u{8F}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9D}', 'ž', 'Ÿ',
];

/// Decodes a file: UTF-8, UTF-16 with a byte order mark, or Windows-1252.
///
/// # Errors
/// [`ImportError::Binary`] if it is no text.
pub(super) fn decode(bytes: &[u8]) -> Result<Zeroizing<String>, ImportError> {
    let text = match bytes {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => text.trim_start_matches('\u{FEFF}').to_owned(),
            Err(_) => bytes.iter().map(|byte| windows_1252(*byte)).collect(),
        },
    };
    let text = Zeroizing::new(text);
    if text.contains('\0') { Err(ImportError::Binary) } else { Ok(text) }
}

fn utf16(bytes: &[u8], read: fn([u8; 2]) -> u16) -> String {
    let (pairs, _) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| read(*pair));
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

fn windows_1252(byte: u8) -> char {
    let special = byte.checked_sub(0x80).and_then(|index| WINDOWS_1252.get(usize::from(index)));
    special.copied().unwrap_or_else(|| char::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_in_the_encodings_of_editors() {
        for (bytes, expected) in [
            (&b"caf\xC3\xA9"[..], Some("café")),
            (b"\xEF\xBB\xBFcaf\xC3\xA9", Some("café")),
            (b"caf\xE9 \x80 \xFF \x93", Some("café € ÿ “")),
            (b"\xFF\xFEc\0a\0f\0\xE9\0", Some("café")),
            (b"\xFE\xFF\0c\0a\0f\0\xE9\0", Some("café")),
            (b"", Some("")),
            (b"a\0b", None),
            (b"\xFF\xD8\xFF\xE0\0\x10JFIF", None),
        ] {
            let text = decode(bytes).ok();
            assert_eq!(text.as_ref().map(|text| text.as_str()), expected, "{bytes:?}");
        }
    }
}
