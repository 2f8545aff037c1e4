//! The rules for a sentence that is to help the person who has to act on it.

use anyhow::{Context as _, Result, ensure};

/// Longer sentences are not read.
const MAX_CHARS: usize = 300;

/// Words that only a programmer understands, or that ask for one.
const JARGON: &[&str] = &["os error", "Os {", "Some(", "Err(", "panicked", "unwrap", "RUST_"];

/// Checks that a text is one sentence which names each of `names` and none of `secrets`.
pub(crate) fn check_sentence(text: &str, names: &[&str], secrets: &[&str]) -> Result<()> {
    check(text, names, secrets).with_context(|| format!("the sentence was “{text}”"))
}

fn check(text: &str, names: &[&str], secrets: &[&str]) -> Result<()> {
    ensure!(!text.trim().is_empty(), "it is empty");
    ensure!(!text.contains('\n'), "it has several lines");
    ensure!(text.chars().count() <= MAX_CHARS, "it is too long");
    ensure!(!text.contains(". "), "it is more than one sentence");
    for word in JARGON {
        ensure!(!text.contains(word), "“{word}” helps nobody");
    }
    for name in names {
        ensure!(text.contains(name), "it does not name “{name}”");
    }
    check_secrets(text, secrets)
}

/// Checks that a text contains none of `secrets`.
pub(crate) fn check_secrets(text: &str, secrets: &[&str]) -> Result<()> {
    for (number, secret) in secrets.iter().enumerate() {
        let line = text.lines().find(|line| line.contains(secret)).unwrap_or_default();
        ensure!(!text.contains(secret), "secret {number} is shown: {line}");
    }
    Ok(())
}

#[test]
fn a_sentence_is_a_single_one_without_jargon_or_secrets() {
    for (text, good) in [
        ("yard.toml:3: unknown key `a`; the nearest known key is `b`", true),
        ("127.0.0.1:1 is in use: choose another port", true),
        ("", false),
        ("the disk is full\nmake room", false),
        ("The disk is full. Make room.", false),
        ("no space left on device (os error 28)", false),
    ] {
        assert_eq!(check_sentence(text, &[], &[]).is_ok(), good, "{text}");
    }
    assert!(check_sentence("the port is taken", &["127.0.0.1"], &[]).is_err());
    assert!(check_sentence("not rtsp://u:p4ss@host", &[], &["p4ss"]).is_err());
}
