//! `porthole backup` and `porthole restore`: the data folder as one encrypted file.
//!
//! The file has everything that makes the server and its gateway who they are: the database, the
//! keys, and the cameras with their passwords. The database is copied as of one moment, also while
//! the server runs.

mod entries;
mod files;
mod sealed;

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use porthole_signaling::admin;

use crate::cameras::password;
use crate::config::Config;
use crate::{cli, console};
use entries::Entry;
use sealed::{SealedReader, SealedWriter};

/// Readable by its owner only, although it is encrypted.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
/// Shortest passphrase: whoever has the file can try as many as they like.
const MIN_PASSPHRASE: usize = 12;
/// The name of the database, in the folder and in the backup.
const DATABASE: &str = "signaling.sqlite3";

/// Writes the data folder to a file that does not exist yet.
///
/// # Errors
///
/// Fails if there is nothing to back up, or if a file cannot be read or written. What was written
/// of the backup is removed then.
pub async fn backup(
    config: &Config,
    configuration: Option<&Path>,
    flags: &cli::Backup,
) -> anyhow::Result<()> {
    let data = &config.data;
    ensure!(data.is_dir(), "there is no data folder at {}", data.display());
    let passphrase = passphrase(flags.password_file.as_deref())?;
    let length = passphrase.chars().count();
    ensure!(
        length >= MIN_PASSPHRASE,
        "choose a longer password for the backup: at least {MIN_PASSPHRASE} characters"
    );
    let snapshot = Snapshot::of_database(data).await?;
    let listed = files::list(data)?;
    let cannot = || format!("cannot write the backup to {}", flags.file.display());
    let created = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&flags.file);
    let file = created.with_context(cannot)?;
    let written = write(file, &passphrase, data, &listed, snapshot.path.as_deref());
    if written.is_err() {
        // Half of it would be mistaken for one.
        let _ = fs::remove_file(&flags.file);
    }
    let count = written.with_context(cannot)?;
    console::print_line(format_args!(
        "{count} files of {} are in {}, encrypted with the password; without it nobody can read \
         them",
        data.display(),
        flags.file.display()
    ))?;
    match configuration.filter(|path| !path.starts_with(data)) {
        Some(path) => console::print_line(format_args!(
            "Keep {} as well: it is not in the data folder, and so not in the backup",
            path.display()
        )),
        None => Ok(()),
    }
}

/// Writes the files of a backup to the data folder, which must not exist or be empty.
///
/// # Errors
///
/// Fails if the password is wrong, the file is damaged, or the folder has something in it. Nothing
/// is in the folder then.
pub fn restore(config: &Config, flags: &cli::Restore) -> anyhow::Result<()> {
    let data = &config.data;
    let is_empty = fs::read_dir(data).map_or(!data.exists(), |mut found| found.next().is_none());
    ensure!(
        is_empty,
        "{} is not empty: move it away, or choose another folder with --data",
        data.display()
    );
    let file = File::open(&flags.file)
        .with_context(|| format!("cannot read the backup {}", flags.file.display()))?;
    let passphrase = passphrase(flags.password_file.as_deref())?;
    let part = beside(data, "restoring")?;
    let count = match unpack(file, &passphrase, &part) {
        Ok(count) => count,
        Err(error) => {
            let _ = fs::remove_dir_all(&part);
            return Err(error);
        }
    };
    let cannot = || format!("cannot move the restored files to {}", data.display());
    if data.exists() {
        fs::remove_dir(data).with_context(cannot)?;
    }
    fs::rename(&part, data).with_context(cannot)?;
    console::print_line(format_args!(
        "{count} files are restored in {}. Do not start Porthole on the former machine any more: \
         both would be the same server and the same gateway",
        data.display()
    ))
}

fn passphrase(file: Option<&Path>) -> anyhow::Result<String> {
    password::read("the backup", file, "")
}

/// Returns a path beside the data folder, on the same disk.
fn beside(data: &Path, what: &str) -> anyhow::Result<PathBuf> {
    let name = data.file_name().with_context(|| format!("{} has no name", data.display()))?;
    let path = data.with_file_name(format!("{}.{what}", name.to_string_lossy()));
    ensure!(
        !path.exists(),
        "{} is left from a restore that was interrupted: remove it first",
        path.display()
    );
    Ok(path)
}

/// A copy of the database, which is removed when it is dropped. Without a database there is none.
struct Snapshot {
    path: Option<PathBuf>,
}

impl Snapshot {
    async fn of_database(data: &Path) -> anyhow::Result<Self> {
        if !data.join(DATABASE).exists() {
            return Ok(Self { path: None });
        }
        let path = data.join(format!("{DATABASE}.backup"));
        let snapshot = Self { path: Some(path.clone()) };
        admin::copy_database(data, &path).await?;
        Ok(snapshot)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}

/// Writes all files, and returns their number.
fn write(
    file: File,
    passphrase: &str,
    data: &Path,
    listed: &[files::Listed],
    database: Option<&Path>,
) -> anyhow::Result<usize> {
    let mut sealed = SealedWriter::new(BufWriter::new(file), passphrase)?;
    let others = listed.iter().map(|one| (one.name.clone(), data.join(&one.name)));
    let all = database.map(|path| (DATABASE.to_owned(), path.to_owned())).into_iter().chain(others);
    let mut count = 0;
    for (name, path) in all {
        let unread = || format!("cannot read {}", path.display());
        let mut source = File::open(&path).with_context(unread)?;
        let length = source.metadata().with_context(unread)?.len();
        Entry { name, length }.write(&mut sealed)?;
        // A file that grows meanwhile is taken as long as it was.
        let copied = std::io::copy(&mut (&mut source).take(length), &mut sealed)?;
        ensure!(copied == length, "{} has become shorter meanwhile: try again", path.display());
        count += 1;
    }
    ensure!(count > 0, "there is nothing to back up in {}", data.display());
    Entry::write_end(&mut sealed)?;
    let file = sealed.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(count)
}

/// Writes the files of a backup to a new folder, and returns their number.
fn unpack(file: File, passphrase: &str, folder: &Path) -> anyhow::Result<usize> {
    let mut sealed = SealedReader::new(BufReader::new(file), passphrase)?;
    let mut count = 0;
    while let Some(Entry { name, length }) = Entry::read(&mut sealed)? {
        let path = folder.join(&name);
        let cannot = || format!("cannot write {}", path.display());
        let parent = path.parent().unwrap_or(folder);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(parent)
            .with_context(cannot)?;
        let created = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path);
        let mut target = created.with_context(cannot)?;
        let copied = std::io::copy(&mut (&mut sealed).take(length), &mut target);
        let copied = copied.with_context(cannot)?;
        ensure!(copied == length, "the backup ends too early: it is damaged");
        target.flush().and_then(|()| target.sync_all()).with_context(cannot)?;
        count += 1;
    }
    if count == 0 {
        bail!("the backup has no files");
    }
    Ok(count)
}

#[cfg(test)]
mod tests;
