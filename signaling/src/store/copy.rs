//! The copy of the database that is made before its tables change.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use sqlx::{Row as _, SqlitePool};
use tracing::info;

use super::{FILE, OpenError, not_opened};

/// Copies the database to a file beside it, if its tables have an older version than this program.
/// A copy of the same version that exists is kept.
pub(super) async fn before_upgrade(
    db: &SqlitePool,
    data: &Path,
    newest: usize,
) -> Result<(), OpenError> {
    let version = version(db).await.map_err(|error| not_opened(data, error))?;
    let is_older = usize::try_from(version).is_ok_and(|version| (1..newest).contains(&version));
    if !is_older {
        return Ok(());
    }
    let copy = data.join(format!("{FILE}.v{version}"));
    make(db, &copy).await.map_err(|error| OpenError::NotCopied { copy, error })
}

/// Returns the number of the latest migration of the database; 0 if it is empty.
async fn version(db: &SqlitePool) -> Result<i64, sqlx::Error> {
    let table = "SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations'";
    if sqlx::query(table).fetch_optional(db).await?.is_none() {
        return Ok(0);
    }
    let latest = "SELECT COALESCE(MAX(version), 0) AS latest FROM _sqlx_migrations";
    sqlx::query(latest).fetch_one(db).await?.try_get("latest")
}

async fn make(db: &SqlitePool, copy: &Path) -> Result<(), String> {
    if copy.exists() {
        return Ok(());
    }
    let part = copy.with_added_extension("part");
    let text = |error: io::Error| error.to_string();
    let file = open(&part).map_err(text)?;
    file.try_lock().map_err(|_| "another start is copying it".to_owned())?;
    // The other start may have finished before the lock was free.
    if copy.exists() {
        return Ok(());
    }
    let written = write(db, &file, &part, copy).await;
    match &written {
        Ok(()) => info!(copy = %copy.display(), "the database was copied before its upgrade"),
        // What there is of the copy only takes up room.
        Err(_) => drop(std::fs::remove_file(&part)),
    }
    written
}

/// Writes the database, as it is at this moment, to a file that only its owner can read.
pub(super) async fn write_to(db: &SqlitePool, to: &Path) -> Result<(), String> {
    let part = to.with_added_extension("part");
    let file = open(&part).map_err(|error| error.to_string())?;
    write(db, &file, &part, to).await
}

/// Writes the copy to a file of its own, which gets its name when it is complete and on the disk.
async fn write(db: &SqlitePool, file: &File, part: &Path, copy: &Path) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    // SQLite only writes to an empty file. This one may be left from a start that did not finish.
    file.set_len(0).map_err(text)?;
    let path = part.to_str().ok_or("its path is not UTF-8")?;
    let query = sqlx::query("VACUUM INTO ?").bind(path);
    query.execute(db).await.map_err(|error| error.to_string())?;
    file.sync_all().map_err(text)?;
    std::fs::rename(part, copy).map_err(text)?;
    sync_folder(copy).map_err(text)
}

/// Opens a file that only its owner can read, even if it was there before.
#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).open(path)
}

/// Makes sure that the name of a file in its folder is on the disk.
#[cfg(unix)]
fn sync_folder(file: &Path) -> io::Result<()> {
    file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
