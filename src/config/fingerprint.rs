//! A number that stands for the contents of the configuration file.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// The contents of a file, as far as two of them are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Returns that of these contents.
    pub fn of(contents: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        contents.hash(&mut hasher);
        Self(hasher.finish())
    }
}
