//! The data folder, and the TURN secret that the program stores in it.

use std::fs;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};

use crate::config::{Config, Secret};
use crate::public::{ACME_FILES, OWN_CA_FILES};

/// Accessible to its owner only, because the database, keys and secrets are in it.
const FOLDER_MODE: u32 = 0o700;
const SECRET_MODE: u32 = 0o600;

/// The file with the TURN server's secret.
const TURN_SECRET: &str = "turn.secret";
/// The largest output size of the HMACs used, SHA-1 and SHA-256: a longer key adds little (RFC 2104
/// §3).
const SECRET_BYTES: usize = 32;

/// The files in the data folder that hold secrets, of all roles.
const SECRETS: [&str; 10] = [
    TURN_SECRET,
    "gateway.key",
    "cameras.key",
    "cameras.json",
    "device.key",
    "signaling.sqlite3",
    ACME_FILES[0],
    ACME_FILES[1],
    OWN_CA_FILES[0],
    OWN_CA_FILES[1],
];
/// The permission of everybody to read a file, and to reach the files in a folder.
const READABLE_BY_ALL: u32 = 0o004;
const OPEN_TO_ALL: u32 = 0o001;

/// A file that is written to check that writing works, and then removed.
const TRIAL: &str = ".trial";

/// Creates the data folder if it is missing, and checks that it can be written to.
pub fn prepare(folder: &Path) -> anyhow::Result<()> {
    let created = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
    created.with_context(|| format!("cannot create the data folder {}", folder.display()))?;
    let trial = folder.join(TRIAL);
    // A full disk may accept an empty file, but not a file with data.
    let written = fs::write(&trial, [0; SECRET_BYTES]);
    let _ = fs::remove_file(&trial);
    written.map_err(|error| write_error(folder, &error))
}

/// Returns the space that is free for this user where the folder is; `None` if it is not known.
#[cfg(unix)]
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let found = nix::sys::statvfs::statvfs(folder).ok()?;
    Some(found.blocks_available().saturating_mul(found.fragment_size()))
}

#[cfg(not(unix))]
pub fn free_bytes(_: &Path) -> Option<u64> {
    None
}

/// Returns the error for a data folder that cannot be written to, with what to do about it.
fn write_error(folder: &Path, error: &io::Error) -> anyhow::Error {
    let folder = folder.display();
    anyhow!(
        "cannot write to the data folder {folder}: {error}; make room there, or choose another \
         with --data"
    )
}

/// Returns the files with secrets that every user of the machine can read: the configuration, the
/// key of the certificate, and what is in the data folder.
pub fn readable_secrets(config: &Config, file: Option<&Path>) -> Vec<PathBuf> {
    let mode = |path: &Path| path.metadata().map_or(0, |metadata| metadata.permissions().mode());
    let mut files = Vec::new();
    files.extend(file.filter(|_| config.has_secrets()).map(Path::to_owned));
    files.extend(config.turn.tls_key.clone());
    files.extend(config.public.key.clone());
    if mode(&config.data) & OPEN_TO_ALL != 0 {
        files.extend(SECRETS.map(|name| config.data.join(name)));
    }
    files.retain(|path| mode(path) & READABLE_BY_ALL != 0);
    files
}

/// Returns the TURN server's secret, which is generated on the first start.
pub fn turn_secret(folder: &Path) -> anyhow::Result<Secret> {
    let path = folder.join(TURN_SECRET);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            create_secret(&path).map_err(|error| write_error(folder, &error))?
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
    };
    let secret = text.trim();
    ensure!(
        secret.len() >= SECRET_BYTES,
        "{} is damaged; delete it, and a new one will be created",
        path.display()
    );
    Ok(secret.to_owned().into())
}

/// Returns the TURN server's secret, if there is one in the data folder.
pub fn existing_turn_secret(folder: &Path) -> Option<Secret> {
    let text = fs::read_to_string(folder.join(TURN_SECRET)).ok()?;
    Some(text.trim().to_owned().into())
}

/// Generates the secret and stores it.
fn create_secret(path: &Path) -> io::Result<String> {
    let bytes: [u8; SECRET_BYTES] = rand::random();
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    write_secret(path, text.as_bytes())?;
    Ok(text)
}

/// Writes a file for its owner alone, atomically: it is renamed once it is complete.
pub fn write_secret(path: &Path, text: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file: File = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(SECRET_MODE)
        .open(&temporary)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_created_once_and_readable_by_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a/b");
        prepare(&data).unwrap();
        let secret = turn_secret(&data).unwrap();
        assert_eq!(secret.reveal().len(), 2 * SECRET_BYTES);
        assert_eq!(turn_secret(&data).unwrap(), secret);
        assert_eq!(existing_turn_secret(&data), Some(secret));
        assert_eq!(existing_turn_secret(&data.join("absent")), None);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&data), mode(&data.join(TURN_SECRET))), (FOLDER_MODE, SECRET_MODE));
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "nothing else is left behind");
    }

    #[test]
    fn s15_files_with_secrets_that_others_can_read_are_found_whatever_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let (data, toml) = (folder.path().join("data"), folder.path().join("porthole.toml"));
        prepare(&data).unwrap();
        let mut config = Config { data: data.clone(), ..Config::default() };
        config.turn.secret = Some("s3".to_owned().into());
        config.turn.tls_key = Some(folder.path().join("tls.pem"));
        let mut all = vec![toml.clone(), folder.path().join("tls.pem")];
        all.extend(SECRETS.map(|name| data.join(name)));
        fs::create_dir(data.join("acme")).unwrap();
        fs::create_dir(data.join("own-ca")).unwrap();
        for path in all.iter().chain([&data.join("cameras.log")]) {
            fs::write(path, "secret").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
        }
        assert_eq!(readable_secrets(&config, Some(&toml)), [""; 0].map(PathBuf::from));
        for (path, expected) in all.iter().zip(1..) {
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
            let found = readable_secrets(&config, Some(&toml));
            // Those in the folder are its owner's alone, as long as the folder is.
            assert_eq!(found.len(), expected.min(2), "{}", path.display());
        }
        fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(readable_secrets(&config, Some(&toml)), all);
        config.turn.secret = None;
        assert_eq!(readable_secrets(&config, Some(&toml)), all[1..], "no secrets in the file");
    }

    #[test]
    fn a_damaged_secret_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(TURN_SECRET), "short").unwrap();
        let error = turn_secret(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("is damaged; delete it, and a new one will be created"), "{error}");
    }

    #[test]
    fn a_folder_that_cannot_be_created_is_one_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = format!("{:#}", prepare(&file.join("data")).unwrap_err());
        assert!(error.starts_with("cannot create the data folder"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}
