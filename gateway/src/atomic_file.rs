//! Files that hold secrets or must not be lost: replaced as a whole, readable by their owner only.

use std::fs::{File, OpenOptions};
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Readable by its owner only.
pub(crate) const MODE: u32 = 0o600;

/// Writes a file so that it has the old or the new content, whenever the machine stops.
pub(crate) fn write_atomically(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let temporary = folder.join(format!("{name}.part"));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(MODE).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&temporary, folder.join(name))?;
    // The name is on the disk only when the folder is.
    File::open(folder)?.sync_all()
}
