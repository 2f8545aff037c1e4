//! The files of a data folder that belong into a backup.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};

use super::DATABASE;

/// Depth of folders within the data folder.
const MAX_DEPTH: usize = 4;
/// Limit of files; a data folder has about a dozen.
const MAX_FILES: usize = 10_000;
/// Ends of names of files that exist only for a moment, or hold nothing.
const PASSING: [&str; 4] = [".part", ".new", ".lock", ".trial"];

/// A file of the data folder.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listed {
    /// The path within the folder.
    pub(super) name: String,
}

/// Lists the files of a data folder without the database, of which a snapshot is taken instead, and
/// without the copies of it that upgrades have made.
///
/// # Errors
///
/// Fails if a folder cannot be read.
pub(super) fn list(data: &Path) -> anyhow::Result<Vec<Listed>> {
    let mut found = Vec::new();
    collect(data, "", 0, &mut found)?;
    found.sort();
    Ok(found)
}

fn collect(
    folder: &Path,
    prefix: &str,
    depth: usize,
    found: &mut Vec<Listed>,
) -> anyhow::Result<()> {
    let unread = || format!("cannot read {}", folder.display());
    ensure!(depth <= MAX_DEPTH, "{} is nested too deeply for a data folder", folder.display());
    for entry in fs::read_dir(folder).with_context(unread)? {
        let entry = entry.with_context(unread)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let kind = entry.file_type().with_context(unread)?;
        let path = format!("{prefix}{name}");
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), depth + 1, found)?;
        } else if kind.is_file() && belongs(&path) {
            found.push(Listed { name: path });
            ensure!(found.len() <= MAX_FILES, "there are too many files for a data folder");
        }
    }
    Ok(())
}

fn belongs(path: &str) -> bool {
    !path.starts_with(DATABASE) && !PASSING.iter().any(|end| path.ends_with(end))
}
