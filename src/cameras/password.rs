//! Passwords of cameras and of TURN users: from a file, the environment or the terminal; never from
//! a flag, which other users of this machine could see.

use std::io;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use porthole_gateway::ingest::Credentials;

use crate::{console, shutdown};

/// The environment variable with the password.
const VARIABLE: &str = "PORTHOLE_CAMERA_PASSWORD";

/// Maximum length of a password in bytes; ONVIF's have at most 64 characters.
const MAX_LEN: usize = 1024;

/// Returns user and password; `None` without a user.
pub(super) fn credentials(
    user: Option<&str>,
    file: Option<&Path>,
) -> anyhow::Result<Option<Credentials>> {
    let Some(user) = user else {
        ensure!(file.is_none(), "give the name of the user, too: --user NAME");
        return Ok(None);
    };
    let password = match (file, std::env::var(VARIABLE)) {
        (None, Ok(password)) => bounded(password)?,
        (Some(_), _) | (None, Err(_)) => read(user, file, &format!(", or in {VARIABLE}"))?,
    };
    Ok(Some(Credentials { user: user.to_owned(), password }))
}

/// Reads the password of a user from a file, or from the terminal. `otherwise` is the end of the
/// sentence that says how else it can be given.
pub fn read(user: &str, file: Option<&Path>, otherwise: &str) -> anyhow::Result<String> {
    bounded(match file {
        Some(file) => from_file(file)?,
        None => from_terminal(user, otherwise)?,
    })
}

fn bounded(password: String) -> anyhow::Result<String> {
    ensure!(password.len() <= MAX_LEN, "the password is longer than {MAX_LEN} bytes");
    Ok(password)
}

/// Reads the first line of a file.
fn from_file(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the password in {}", file.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Asks for the password on a terminal that does not show it.
fn from_terminal(user: &str, otherwise: &str) -> anyhow::Result<String> {
    if !io::stdin().is_terminal() {
        bail!("give the password of {user} with --password-file FILE{otherwise}");
    }
    // Ctrl-C ends the program, and must not leave a terminal behind that shows nothing.
    shutdown::undo_on_signal(show_again)?;
    ensure!(
        set_echo(false),
        "the terminal cannot hide the password: give it with --password-file FILE{otherwise}"
    );
    console::print_progress(format_args!("password of {user} (it is not shown):"));
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    show_again();
    read.context("cannot read the password")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn show_again() {
    set_echo(true);
}

/// Makes the terminal show what is typed, or not; returns false if it cannot.
fn set_echo(shows: bool) -> bool {
    let setting = if shows { "echo" } else { "-echo" };
    let status = Command::new("stty").arg(setting).stdin(Stdio::inherit()).status();
    status.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_the_first_line_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        for (text, expected) in [("geheim\n", "geheim"), (" a b \r\nc", " a b "), ("", "")] {
            std::fs::write(&file, text).unwrap();
            let found = credentials(Some("anna"), Some(&file)).unwrap().unwrap();
            assert_eq!((found.user.as_str(), found.password.as_str()), ("anna", expected));
        }
        assert_eq!(credentials(None, None).unwrap(), None);
        assert!(credentials(None, Some(&file)).is_err(), "a password without a user");
        assert!(credentials(Some("anna"), Some(&folder.path().join("none"))).is_err());
    }
}
