//! The files in a backup: for each its name and length, then its bytes.

use std::io::{Read, Write};
use std::path::{Component, Path};

use anyhow::{Context as _, ensure};

/// Limit of the length of a name in bytes.
const MAX_NAME: usize = 255;

/// The beginning of a file in a backup.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The path within the data folder.
    pub(super) name: String,
    pub(super) length: u64,
}

impl Entry {
    pub(super) fn write(&self, to: &mut impl Write) -> anyhow::Result<()> {
        let name = self.name.as_bytes();
        ensure!(is_plain(&self.name), "the file name {} cannot be in a backup", self.name);
        to.write_all(&u16::try_from(name.len())?.to_be_bytes())?;
        to.write_all(name)?;
        Ok(to.write_all(&self.length.to_be_bytes())?)
    }

    /// Marks that no file follows.
    pub(super) fn write_end(to: &mut impl Write) -> anyhow::Result<()> {
        Ok(to.write_all(&0_u16.to_be_bytes())?)
    }

    /// Reads the next entry; `None` if there is none.
    pub(super) fn read(from: &mut impl Read) -> anyhow::Result<Option<Self>> {
        let ends_early = "the backup ends too early: it is damaged";
        let mut length = [0; 2];
        from.read_exact(&mut length).context(ends_early)?;
        let mut name = vec![0; usize::from(u16::from_be_bytes(length))];
        if name.is_empty() {
            return Ok(None);
        }
        from.read_exact(&mut name).context(ends_early)?;
        let mut length = [0; 8];
        from.read_exact(&mut length).context(ends_early)?;
        let name = String::from_utf8(name).unwrap_or_default();
        ensure!(is_plain(&name), "the backup names a file outside of its folder");
        Ok(Some(Self { name, length: u64::from_be_bytes(length) }))
    }
}

/// Returns true for a path that stays within the folder.
fn is_plain(name: &str) -> bool {
    let is_normal = |part: Component<'_>| matches!(part, Component::Normal(_));
    (1..=MAX_NAME).contains(&name.len())
        && !name.contains('\0')
        && Path::new(name).components().all(is_normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_within_the_folder() {
        for (name, expected) in [
            ("gateway.key", true),
            ("acme/account.json", true),
            ("", false),
            ("/etc/passwd", false),
            ("../gateway.key", false),
            ("acme/../../x", false),
            ("a\0b", false),
        ] {
            assert_eq!(is_plain(name), expected, "{name:?}");
            let mut bytes = u16::try_from(name.len()).unwrap().to_be_bytes().to_vec();
            bytes.extend(name.as_bytes());
            bytes.extend(7_u64.to_be_bytes());
            let read = Entry::read(&mut bytes.as_slice());
            match name {
                "" => assert_eq!(read.unwrap(), None),
                _ => assert_eq!(read.is_ok(), expected, "{name:?}"),
            }
        }
    }
}
