//! Names that people and devices give, and what must not be in them.

/// Returns true for a character that a name may have: no control character, and none that shows
/// other text than is there, because it is invisible or turns the direction of what follows.
/// Joiners and marks that languages and emoji need are allowed.
pub fn is_shown(character: char) -> bool {
    let is_deceptive = matches!(
        character,
        // Arabic letter mark, left-to-right and right-to-left mark.
        '\u{61c}' | '\u{200e}' | '\u{200f}'
        // Embeddings, overrides and isolates.
        | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        // Separators of lines and paragraphs, spaces and operators without width.
        | '\u{2028}' | '\u{2029}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}'
        // Deprecated formatting, annotations, and letters that only programs see.
        | '\u{206a}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    );
    !character.is_control() && !is_deceptive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s15_a_name_shows_what_it_is() {
        for (text, shown) in [
            ("Front door", true),
            ("Tür, Ελλάδα, דלת, باب, 門 2", true),
            ("👨‍👩‍👧 (joined)", true),
            ("می\u{200c}خواهم", true),
            ("gate\u{202e}gpj.exe", false),
            ("a\u{2066}b\u{2069}", false),
            ("a\u{200f}", false),
            ("a\u{200b}b", false),
            ("a\u{feff}", false),
            ("a\u{e0041}", false),
            ("a\u{2028}b", false),
            ("a\nb", false),
            ("a\u{85}b", false),
        ] {
            assert_eq!(text.chars().all(is_shown), shown, "{text:?}");
        }
    }
}
