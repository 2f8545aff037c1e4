//! The file of the cameras that the gateway keeps itself, and the key for the passwords in it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use porthole_gateway_core::store::{ReadError, Store, Vault};
use porthole_signaling_proto::GatewayId;
use tracing::{error, info};
use zeroize::Zeroizing;

use crate::atomic_file::write_atomically;

/// Name of the file of cameras in the data folder.
const FILE: &str = "cameras.json";

/// Name of the copy of a file in version 1, which older programs can read.
const OLDER: &str = "cameras.json.version-1";

/// Name of the file with the key of the passwords.
const KEY_FILE: &str = "cameras.key";

/// Maximum length of the file in bytes: 256 cameras with the longest addresses have less.
const MAX_LEN: u64 = 4 << 20;

/// Maximum number of damaged files that are kept beside the file.
const MAX_DAMAGED: u32 = 100;

/// Reason for which the gateway cannot use its file of cameras.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file cannot be read or written.
    #[error("cannot {verb} {}: {source}; check that the folder exists, is yours and has room",
            path.display())]
    File {
        /// The operation that failed: `read` or `write`.
        verb: &'static str,
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file was written by a newer version of the program.
    #[error(
        "{} has the format {version}, which only a newer Porthole can read: install that, or move \
         the file away to start without the cameras in it",
        path.display()
    )]
    Newer {
        /// The path of the file.
        path: PathBuf,
        /// The version of its format.
        version: u32,
    },
}

/// The file of cameras. Only one task writes it.
#[derive(Debug, Clone)]
pub(crate) struct StoreFile {
    folder: PathBuf,
    /// The key's file, locked so that no other program writes the cameras; absent if another one
    /// has locked it.
    lock: Option<Arc<File>>,
}

impl StoreFile {
    /// Reads the cameras and the key from the data folder. Without a file there are no cameras; a
    /// damaged one is kept beside it.
    ///
    /// # Errors
    /// If a file cannot be read, or was written by a newer version.
    pub(crate) fn load(
        folder: &Path,
        gateway: GatewayId,
    ) -> Result<(Self, Store, Vault), StoreError> {
        let mut file = Self { folder: folder.to_owned(), lock: None };
        let vault = Vault::new(gateway, &*file.key()?, rand::random());
        // The key's file is there, and is never replaced.
        let key = File::open(folder.join(KEY_FILE)).ok();
        file.lock = key.filter(|key| key.try_lock().is_ok()).map(Arc::new);
        let store = file.read()?;
        Ok((file, store, vault))
    }

    /// Returns true if no other program uses the cameras in this folder.
    pub(crate) fn is_alone(&self) -> bool {
        self.lock.is_some()
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    fn read(&self) -> Result<Store, StoreError> {
        let path = self.path();
        let text = match read_bounded(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Store::default()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
            Err(source) => return Err(StoreError::File { verb: "read", path, source }),
        };
        match Store::read(&text) {
            Ok(store) => {
                if Store::is_older(&text) {
                    self.keep_older(&text)?;
                }
                Ok(store)
            }
            Err(ReadError::Newer(version)) => Err(StoreError::Newer { path, version }),
            Err(ReadError::Damaged) => {
                let kept = self.set_aside(&path);
                let kept = kept.map_err(|source| {
                    let path = path.clone();
                    StoreError::File { verb: "write", path, source }
                })?;
                error!(
                    "{} is damaged and was kept as {}: the cameras in it are missing until it is \
                     restored from a copy, or they are added again",
                    path.display(),
                    kept.display()
                );
                Ok(Store::default())
            }
        }
    }

    /// Keeps a copy of a file of an older version, which the next change replaces.
    fn keep_older(&self, text: &str) -> Result<(), StoreError> {
        let path = self.folder.join(OLDER);
        if path.exists() {
            return Ok(());
        }
        let written = write_atomically(&self.folder, OLDER, text.as_bytes());
        written.map_err(|source| StoreError::File { verb: "write", path: path.clone(), source })?;
        info!(
            "the cameras of this gateway get a newer format with their next change; an older \
             Porthole can read {}, a copy from before",
            path.display()
        );
        Ok(())
    }

    /// Gives a damaged file another name, which no file has.
    fn set_aside(&self, path: &Path) -> io::Result<PathBuf> {
        let names =
            (1..=MAX_DAMAGED).map(|number| self.folder.join(format!("{FILE}.damaged-{number}")));
        let free = names.into_iter().find(|name| !name.exists());
        let kept = free.ok_or_else(|| io::Error::other("there are too many damaged files"))?;
        std::fs::rename(path, &kept)?;
        Ok(kept)
    }

    /// Writes the cameras. When it returns, they are on the disk.
    ///
    /// # Errors
    /// If they are not; the file has the cameras from before, or these.
    pub(crate) fn save(&self, store: &Store) -> io::Result<()> {
        write_atomically(&self.folder, FILE, store.write().as_bytes())
    }

    /// Reads the key of the passwords, or generates one if there is no file yet.
    fn key(&self) -> Result<Zeroizing<[u8; 32]>, StoreError> {
        let path = self.folder.join(KEY_FILE);
        let text = match read_bounded(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Zeroizing::default(),
            Err(source) => return Err(StoreError::File { verb: "read", path, source }),
        };
        let bytes = URL_SAFE_NO_PAD.decode(text.trim()).map(Zeroizing::new).unwrap_or_default();
        if let Ok(key) = <[u8; 32]>::try_from(bytes.as_slice()) {
            return Ok(Zeroizing::new(key));
        }
        let error = |source| StoreError::File { verb: "write", path: path.clone(), source };
        if !text.is_empty() {
            let kept = self.folder.join(format!("{KEY_FILE}.damaged"));
            std::fs::rename(&path, &kept).map_err(error)?;
            error!(
                "{} is damaged and was kept as {}: the passwords of cameras must be typed again",
                path.display(),
                kept.display()
            );
        }
        let key = Zeroizing::new(rand::random::<[u8; 32]>());
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(*key));
        write_atomically(&self.folder, KEY_FILE, text.as_bytes()).map_err(error)?;
        Ok(key)
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    if std::fs::metadata(path)?.len() > MAX_LEN {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    std::fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use porthole_gateway_core::store::{Author, Place, Probed};

    use super::*;
    use crate::atomic_file::MODE;
    use crate::ingest::{Address, Credentials};

    type Loaded = Result<(StoreFile, Store, Vault), StoreError>;

    fn load(folder: &Path) -> Loaded {
        StoreFile::load(folder, porthole_signaling_proto::identity::gateway_id(&[7; 32]))
    }

    fn add(store: &mut Store, vault: &mut Vault, name: &str) {
        let main = Address::parse("rtsp://192.168.1.20/main").unwrap();
        let (uuid, mac) = (None, None);
        let place =
            Place { main, sub: None, uuid, mac, number: 1, allows_text: false, onvif: None };
        let (user, password) = ("anna".to_owned(), "geheim".to_owned());
        let probed = Probed { place, credentials: Some(Credentials { user, password }) };
        let author = Author { revision: store.revision(), by: None, at_s: 1 };
        store.add(author, name.to_owned(), &probed, &[].into(), vault).unwrap();
    }

    #[test]
    fn the_cameras_survive_a_restart_and_only_the_owner_can_read_them() {
        let folder = tempfile::tempdir().unwrap();
        let (file, mut store, mut vault) = load(folder.path()).unwrap();
        assert_eq!(store.cameras().count(), 0);
        add(&mut store, &mut vault, "Door");
        file.save(&store).unwrap();
        let (_, read, vault) = load(folder.path()).unwrap();
        assert_eq!(read, store);
        let kept = read.cameras().next().unwrap();
        assert_eq!(kept.credentials(&vault).unwrap().password, "geheim");
        for name in [FILE, KEY_FILE] {
            let path = folder.path().join(name);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE, "{name}");
            assert!(!fs::read_to_string(&path).unwrap().contains("geheim"));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left behind");
    }

    #[test]
    fn a_damaged_file_is_kept_and_a_newer_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        for number in 1..=2 {
            fs::write(&path, "half of i").unwrap();
            let (_, store, _) = load(folder.path()).unwrap();
            assert_eq!(store.cameras().count(), 0);
            let kept = folder.path().join(format!("{FILE}.damaged-{number}"));
            assert_eq!(fs::read_to_string(kept).unwrap(), "half of i");
            assert!(!path.exists());
        }
        fs::write(&path, "{\"version\": 3}").unwrap();
        let error = load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("newer Porthole") && !error.contains('\n'), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"version\": 3}", "it is left alone");
    }

    #[test]
    fn a_file_of_the_first_version_is_read_and_a_copy_of_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let older = r#"{"version": 1, "revision": 3, "cameras": [{"id": "door", "name": "Door",
            "main": "rtsp://192.168.1.20/main", "number": 1, "changed_s": 1}]}"#;
        fs::write(&path, older).unwrap();
        let (file, mut store, mut vault) = load(folder.path()).unwrap();
        assert_eq!(store.cameras().next().unwrap().place.onvif, None);
        assert_eq!(fs::read_to_string(&path).unwrap(), older, "only a change replaces it");
        add(&mut store, &mut vault, "Yard");
        file.save(&store).unwrap();
        assert_eq!(load(folder.path()).unwrap().1, store);
        let copy = fs::read_to_string(folder.path().join(OLDER)).unwrap();
        assert_eq!(copy, older);
    }

    #[test]
    fn without_its_key_a_camera_is_kept_and_its_password_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (file, mut store, mut vault) = load(folder.path()).unwrap();
        add(&mut store, &mut vault, "Door");
        file.save(&store).unwrap();
        for content in [None, Some("no key")] {
            fs::remove_file(folder.path().join(KEY_FILE)).unwrap();
            if let Some(content) = content {
                fs::write(folder.path().join(KEY_FILE), content).unwrap();
            }
            let (_, store, vault) = load(folder.path()).unwrap();
            let kept = store.cameras().next().unwrap();
            assert!(kept.has_login() && kept.credentials(&vault).is_none());
        }
    }

    #[test]
    fn a_half_written_file_from_before_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(format!("{FILE}.part")), "half").unwrap();
        let (file, mut store, mut vault) = load(folder.path()).unwrap();
        add(&mut store, &mut vault, "Door");
        file.save(&store).unwrap();
        assert_eq!(load(folder.path()).unwrap().1, store);
    }
}
