//! Ids of cameras, made of their names.

use porthole_signaling_proto::CameraId;

/// Maximum length of an id without its number: it leaves room for that, and for `.sub`.
const MAX_LEN: usize = 48;

/// Maximum number of cameras with the same name.
const MAX_NUMBER: usize = 1024;

/// The id of a camera whose name has no letter that ids may have.
const NAMELESS: &str = "camera";

/// Letters that are written with others.
const LETTERS: &[(&str, &str)] = &[
    ("ä", "ae"),
    ("æ", "ae"),
    ("ö", "oe"),
    ("ø", "oe"),
    ("ü", "ue"),
    ("ß", "ss"),
    ("àáâãå", "a"),
    ("çćč", "c"),
    ("èéêëęě", "e"),
    ("ìíîïı", "i"),
    ("ł", "l"),
    ("ñńň", "n"),
    ("òóôõ", "o"),
    ("ř", "r"),
    ("śšş", "s"),
    ("ùúûů", "u"),
    ("ýÿ", "y"),
    ("źžż", "z"),
];

/// Returns an id for a camera of this name that is not used; `None` if all are.
pub(super) fn id_for(name: &str, is_used: impl Fn(&CameraId) -> bool) -> Option<CameraId> {
    let word = word(name);
    let numbered = |number: usize| match (word.as_str(), number) {
        ("", number) => format!("{NAMELESS}-{number}"),
        (word, 1) => word.to_owned(),
        (word, number) => format!("{word}-{number}"),
    };
    let ids = (1..=MAX_NUMBER).filter_map(|number| numbered(number).parse().ok());
    ids.into_iter().find(|id| !is_used(id))
}

/// Returns the letters and digits of a name in lower case, with a hyphen for everything between.
fn word(name: &str) -> String {
    let mut word = String::new();
    for c in name.to_lowercase().chars() {
        let other = LETTERS.iter().find(|(letters, _)| letters.contains(c)).map(|(_, text)| *text);
        match other {
            Some(text) => word.push_str(text),
            None if c.is_ascii_alphanumeric() => word.push(c),
            None if c.is_alphanumeric() || word.is_empty() || word.ends_with('-') => {}
            None => word.push('-'),
        }
    }
    word.truncate(MAX_LEN);
    word.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_of_the_name_and_never_one_in_use() {
        let cases: &[(&str, &[&str], &str)] = &[
            ("Front door", &[], "front-door"),
            ("Front door", &["front-door"], "front-door-2"),
            ("Front door", &["front-door", "front-door-2"], "front-door-3"),
            ("  Haustür, Süd (2)!  ", &[], "haustuer-sued-2"),
            ("Allée", &[], "allee"),
            ("probe.1", &[], "probe-1"),
            ("door.sub", &[], "door-sub"),
            ("../../etc", &[], "etc"),
            ("門", &[], "camera-1"),
            ("门 2", &["2"], "2-2"),
            ("🚪", &["camera-1"], "camera-2"),
            ("-", &[], "camera-1"),
        ];
        for (name, used, expected) in cases {
            let id = id_for(name, |id| used.contains(&id.as_str())).unwrap();
            assert_eq!(id.as_str(), *expected, "{name}");
        }
        let long = id_for(&"x".repeat(300), |id| id.as_str().len() <= MAX_LEN).unwrap();
        assert!(long.sub_stream().is_some(), "{long}");
        assert_eq!(id_for("door", |_| true), None);
    }
}
