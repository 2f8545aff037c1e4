//! Plain English: a summary is a phrase that tells a caller something, and nobody is "he".

use porthole_tidy::{File, files, report};

/// The shortest summary: a verb or noun alone tells a caller nothing that the name does not.
const MIN_SUMMARY_WORDS: usize = 3;

/// Openings of a summary that refer to nothing. "Returns true if…", "The time after which…" and
/// their like can be read on their own.
const RIDDLES: &[&str] = &[
    "What",
    "Who",
    "Whose",
    "Whom",
    "Whether",
    "Where",
    "Which",
    "How",
    "When",
    "Why",
    "If",
    "That",
    "It",
    "They",
    "There",
    "Is",
    "Has",
    "Does",
    "Of",
    "For",
    "As",
    "None",
    "Nothing",
    "Nobody",
    "Somebody",
    "Something",
    "Everything",
    "Same",
];

/// A peer is a program, and people are not all men.
const PRONOUNS: &[&str] = &["he", "him", "his", "himself", "she", "her", "hers", "herself"];

/// This file, which quotes what it forbids.
const HERE: &str = "tests/tidy/tests/prose.rs";

/// Words of the past, each with what is said today.
const ARCHAIC: &[(&str, &str)] = &[
    ("anew", "again"),
    ("foretold", "predicted"),
    ("heretofore", "until now"),
    ("likewise", "also"),
    ("mend", "fix"),
    ("mended", "fixed"),
    ("mends", "fixes"),
    ("thereof", "of it"),
    ("whence", "from where"),
    ("whither", "where to"),
];

#[test]
fn a_summary_is_a_phrase() {
    let mut complaints = Vec::new();
    for file in files().unwrap() {
        for (line, summary) in summaries(&file) {
            let words: Vec<&str> = words(&summary).collect();
            let riddle = words.first().filter(|word| RIDDLES.contains(word));
            if words.len() < MIN_SUMMARY_WORDS {
                complaints.push(format!("{}:{line} is too short: {summary}", file.path));
            } else if let Some(word) = riddle {
                complaints.push(format!("{}:{line} begins with `{word}`: {summary}", file.path));
            }
        }
    }
    report(
        "The summary of an item has three words or more and begins with a verb or a noun.",
        &complaints,
    );
}

#[test]
fn the_language_is_that_of_today() {
    let mut complaints = Vec::new();
    for file in files().unwrap() {
        if file.is_generated() || file.path == HERE {
            continue;
        }
        for (line, text) in prose(&file) {
            // The codec HE-AAC is nobody.
            let text = text.replace("HE-AAC", "");
            for word in words(&text).map(str::to_lowercase) {
                if PRONOUNS.contains(&word.as_str()) {
                    complaints.push(format!("{}:{line} says `{word}`", file.path));
                }
                if let Some((_, better)) = ARCHAIC.iter().find(|(old, _)| *old == word) {
                    complaints.push(format!("{}:{line} says `{word}`, not `{better}`", file.path));
                }
            }
        }
    }
    report("Comments, documents and sentences are in plain modern English.", &complaints);
}

#[test]
fn a_summary_ends_with_its_paragraph() {
    let text =
        "/// Returns the\n/// deadline.\n///\n/// More.\nfn a() {}\n//! A crate.\n\n/** Short */\n";
    let rust = File { path: "x.rs".into(), text: text.into() };
    let found: Vec<_> = summaries(&rust).collect();
    assert_eq!(found, [(1, "Returns the deadline.".to_owned()), (6, "A crate.".to_owned())]);
    let script = File { path: "x.ts".into(), text: text.into() };
    assert_eq!(summaries(&script).collect::<Vec<_>>(), [(8, "Short".to_owned())]);
}

#[test]
fn prose_is_what_people_read() {
    let cases = [
        ("x.rs", "let his = 1; // his own", "// his own"),
        ("x.rs", "f(\"tell him\");", "tell him"),
        ("x.rs", "let him = 1;", ""),
        ("x.md", "He said", "He said"),
        ("x.sh", "rm x # anew", "# anew"),
    ];
    for (path, text, expected) in cases {
        let file = File { path: path.into(), text: text.into() };
        let found: Vec<&str> = prose(&file).map(|(_, text)| text).collect();
        assert_eq!(found.concat(), expected, "{text}");
    }
}

/// Returns the first paragraph of each documentation comment, with the number of its first line.
fn summaries(file: &File) -> impl Iterator<Item = (usize, String)> {
    let is_rust = file.has_extension(&["rs"]);
    let is_script = file.has_extension(&["ts", "svelte"]) && !file.is_generated();
    let mut found = Vec::new();
    let mut paragraph: Option<(usize, String)> = None;
    let mut in_comment = false;
    for (index, line) in file.text.lines().enumerate() {
        let line = line.trim();
        let said = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        if let Some(said) = said.filter(|_| is_rust) {
            match (&mut paragraph, said.trim()) {
                (Some(_), "") => found.extend(paragraph.take()),
                (Some((_, text)), said) => *text = format!("{text} {said}"),
                (None, said) if !in_comment => paragraph = Some((index + 1, said.to_owned())),
                (None, _) => {}
            }
            in_comment = true;
            continue;
        }
        found.extend(paragraph.take());
        in_comment = false;
        if let Some(said) = line.strip_prefix("/**").filter(|_| is_script) {
            let said = said.trim_end_matches("*/").trim();
            if !said.is_empty() {
                found.push((index + 1, said.to_owned()));
            }
        }
    }
    found.extend(paragraph);
    // A heading, a list or a block of code is no sentence.
    found.into_iter().filter(|(_, text)| !text.starts_with(['#', '-', '|', '`']))
}

/// Returns what is written for people: comments, strings in quotes, whole documents.
fn prose(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let is_document = file.has_extension(&["md", "html"]);
    let comment = if file.has_extension(&["rs", "ts", "svelte", "c", "h", "mjs", "js"]) {
        Some("//")
    } else if file.has_extension(&["sh", "toml", "yml", "yaml", "service", "conf"]) {
        Some("#")
    } else {
        None
    };
    file.text.lines().enumerate().flat_map(move |(index, line)| {
        let number = index + 1;
        let (code, said) = match comment.and_then(|mark| line.find(mark)) {
            Some(at) => line.split_at(at),
            None => (line, ""),
        };
        let quoted = code.split('"').skip(1).step_by(2).filter(move |_| comment.is_some());
        let whole = is_document.then_some(line);
        let said = Some(said).filter(|said| !said.is_empty());
        quoted.chain(said).chain(whole).map(move |text| (number, text))
    })
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '\'' | '’' | '_')))
        .filter(|word| !word.is_empty())
}
