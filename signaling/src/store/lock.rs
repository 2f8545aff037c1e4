//! The lock on the data folder while its database is opened and its tables are upgraded, so that
//! of two programs that start at once only one creates or upgrades them.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::OpenError;

/// The name of the lock file. It stays: two programs that both create one would lock two files.
pub(super) const FILE: &str = "signaling.lock";
/// Time to wait for the lock: an upgrade of a large database with its copy takes seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two attempts. Waiting for a lock would hold a thread, and could not be ended.
const RETRY: Duration = Duration::from_millis(20);

/// The lock, which ends when it is dropped, or with the process.
#[derive(Debug)]
pub(super) struct OpenLock {
    _file: File,
}

impl OpenLock {
    /// Waits until no other program opens the database of this folder, for a while.
    pub(super) async fn acquire(data: &Path) -> Result<Self, OpenError> {
        Self::acquire_within(data, PATIENCE).await
    }

    async fn acquire_within(data: &Path, patience: Duration) -> Result<Self, OpenError> {
        let file = create(&data.join(FILE))
            .map_err(|e| OpenError::NotWritable { data: data.to_owned(), error: e.to_string() })?;
        let end = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if Instant::now() < end => sleep(RETRY).await,
                Err(TryLockError::WouldBlock) => {
                    return Err(OpenError::Locked { data: data.to_owned() });
                }
                Err(TryLockError::Error(error)) => {
                    let (data, error) = (data.to_owned(), format!("cannot lock {FILE}: {error}"));
                    return Err(OpenError::Other { data, error });
                }
            }
        }
    }
}

#[cfg(unix)]
fn create(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn create(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MIGRATIONS, Store};

    #[tokio::test]
    async fn programs_that_open_a_data_folder_at_once_upgrade_it_once() {
        for version in 0..MIGRATIONS.len() {
            let data = tempfile::tempdir().unwrap();
            if version > 0 {
                let old = Store::open_as(data.path(), &MIGRATIONS[..version]).await.unwrap();
                old.close().await;
            }
            let opened = (0..4).map(|_| {
                let data = data.path().to_owned();
                tokio::spawn(async move { Store::open(&data).await })
            });
            for opened in opened.collect::<Vec<_>>() {
                opened.await.unwrap().unwrap().close().await;
            }
        }
    }

    #[tokio::test]
    async fn who_waits_too_long_for_another_program_is_told_so_in_a_sentence() {
        let data = tempfile::tempdir().unwrap();
        let held = OpenLock::acquire(data.path()).await.unwrap();
        let waited = OpenLock::acquire_within(data.path(), Duration::ZERO).await;
        let error = waited.unwrap_err().to_string();
        assert!(error.contains("another program has been opening"), "{error}");
        assert!(!error.contains('\n'), "{error}");
        drop(held);
        OpenLock::acquire(data.path()).await.unwrap();
    }
}
