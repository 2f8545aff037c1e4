//! The data folder, and the secret in it that this program makes itself.

use crate::config::Secret;
use anyhow::{Context, anyhow, ensure};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

/// For its owner only: the database, keys and secrets are in there.
const FOLDER_MODE: u32 = 0o700;
const SECRET_MODE: u32 = 0o600;

/// Where the TURN server's secret is.
const TURN_SECRET: &str = "turn.secret";
/// As much as SHA-1's and SHA-256's HMAC can make use of.
const SECRET_BYTES: usize = 32;

/// Written, to see whether writing works, and removed.
const TRIAL: &str = ".trial";

/// Makes the data folder if it is missing, and finds out now whether it can be written.
pub fn prepare(folder: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
    made.with_context(|| format!("cannot make the data folder {}", folder.display()))?;
    let trial = folder.join(TRIAL);
    // A full disk takes an empty file, but not one with something in it.
    let written = fs::write(&trial, [0; SECRET_BYTES]);
    let _ = fs::remove_file(&trial);
    written.map_err(|error| not_written(folder, &error))
}

/// Whatever is in the way, there is one way out.
fn not_written(folder: &Path, error: &io::Error) -> anyhow::Error {
    let folder = folder.display();
    anyhow!(
        "cannot write to the data folder {folder}: {error}; make room there, or choose another \
         with --data"
    )
}

/// The TURN server's secret, made on the first start.
pub fn turn_secret(folder: &Path) -> anyhow::Result<Secret> {
    let path = folder.join(TURN_SECRET);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make_secret(&path).map_err(|error| not_written(folder, &error))?
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
    };
    let secret = text.trim();
    ensure!(
        secret.len() >= SECRET_BYTES,
        "{} is damaged; remove it, and a new one is made",
        path.display()
    );
    Ok(secret.to_owned().into())
}

/// Whole or not at all: written beside its place, then moved there.
fn make_secret(path: &Path) -> io::Result<String> {
    let bytes: [u8; SECRET_BYTES] = rand::random();
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let beside = path.with_extension("new");
    let mut file: File = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(SECRET_MODE)
        .open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_secret_is_made_once_and_is_the_owners() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a/b");
        prepare(&data).unwrap();
        let secret = turn_secret(&data).unwrap();
        assert_eq!(secret.reveal().len(), 2 * SECRET_BYTES);
        assert_eq!(turn_secret(&data).unwrap(), secret);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&data), mode(&data.join(TURN_SECRET))), (FOLDER_MODE, SECRET_MODE));
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "nothing else is left behind");
    }

    #[test]
    fn a_damaged_secret_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(TURN_SECRET), "short").unwrap();
        let error = turn_secret(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("is damaged; remove it, and a new one is made"), "{error}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_one_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = format!("{:#}", prepare(&file.join("data")).unwrap_err());
        assert!(error.starts_with("cannot make the data folder"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}
