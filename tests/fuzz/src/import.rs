//! The target for configuration files of other programs.

use porthole_gateway_core::import;
use porthole_gateway_core::import::{Login, MAX_ENTRIES, Place};

/// Checks that any file is read within its bounds, and that nothing that is shown of it has a
/// password.
pub fn import_file(data: &[u8]) {
    match import::read(data) {
        Err(error) => assert_sentence(&error.to_string()),
        Ok(read) => {
            assert!((1..=MAX_ENTRIES).contains(&read.entries.len()));
            for entry in &read.entries {
                assert_sentence(&entry.name);
                assert!(entry.name.chars().count() <= 64 && !entry.name.contains("://"));
                let is_failed = entry.notes.iter().any(import::Note::is_failure);
                assert_eq!(
                    is_failed,
                    entry.place.is_none(),
                    "a camera is taken, or it is said why"
                );
                assert!(entry.place.is_some() || !entry.wanted);
                for note in &entry.notes {
                    assert_sentence(&note.to_string());
                }
                if let Some(place) = &entry.place {
                    check_place(place);
                }
                if let Login::Known(login) = &entry.login {
                    assert!(login.user.chars().count() <= 128);
                    assert!(login.password.chars().count() <= 256);
                }
            }
        }
    }
}

/// Checks that addresses have no user and password, and can be sent in a request.
fn check_place(place: &Place) {
    let address = place.address();
    assert!(!address.is_empty() && !address.contains('@'), "{address}");
    assert!(address.chars().all(|c| !c.is_control()) && address.chars().count() <= 1024);
    if let Place::Streams { main, sub: Some(sub), .. } = place {
        assert_eq!(main.host(), sub.host(), "the password goes to one machine only");
    }
}

fn assert_sentence(text: &str) {
    assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
    assert!(text.chars().count() < 500, "{text}");
}
