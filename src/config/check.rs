//! All errors of a configuration at once.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::read::InvalidSetting;
use super::tree::Tree;
use super::{Config, Error, Layers, Loaded};

/// The most errors that are told: who has more has given another file.
const MAX_ERRORS: usize = 100;

/// All errors of a configuration.
#[derive(Debug, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct AllErrors(pub Vec<Error>);

impl AllErrors {
    /// Returns true if all of them are from the command line.
    pub fn are_usage_errors(&self) -> bool {
        let is_usage = |error: &Error| match error {
            Error::Invalid(invalid) => invalid.is_usage_error(),
            Error::Unreadable { .. } | Error::Syntax(_) | Error::NoDataFolder => false,
        };
        self.0.iter().all(is_usage)
    }
}

fn lines(errors: &[Error]) -> String {
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Loads all layers as [`super::load`] does, or returns all their errors in the order of the file.
pub fn check(file: Option<&Path>, flags: impl Fn(&mut Tree)) -> Result<Loaded, Vec<Error>> {
    check_with(file, &super::environment(), flags)
}

pub(super) fn check_with(
    file: Option<&Path>,
    environment: &[(String, String)],
    flags: impl Fn(&mut Tree),
) -> Result<Loaded, Vec<Error>> {
    let layers = Layers::read(file, environment, flags).map_err(|error| vec![error])?;
    let mut errors: Vec<_> = layers.syntax.iter().cloned().map(Error::Syntax).collect();
    let (config, invalid) = read_all::<Config>(&layers.tree);
    errors.extend(invalid.into_iter().map(Error::Invalid));
    errors.truncate(MAX_ERRORS);
    match config {
        Some(config) if errors.is_empty() => layers.finish(config).map_err(|error| vec![error]),
        Some(_) | None => Err(errors),
    }
}

/// Reads a tree, and returns all errors in it. What is wrong is taken out, so that the rest is read
/// as well.
fn read_all<T: DeserializeOwned>(tree: &Tree) -> (Option<T>, Vec<InvalidSetting>) {
    let (mut tree, mut errors, mut value) = (tree.clone(), Vec::new(), None);
    let mut removed = Vec::new();
    while errors.len() < MAX_ERRORS {
        match tree.clone().deserialize() {
            Ok(read) => {
                value = Some(read);
                break;
            }
            Err(error) => {
                let culprit = error.culprit();
                let is_gone = tree.remove(&culprit);
                // A key that was taken out is not missing, nor is one that was misspelt.
                removed.extend(error.meant());
                if !error.missing().is_some_and(|key| removed.contains(&key)) {
                    errors.push(error);
                }
                removed.push(culprit);
                if !is_gone {
                    break;
                }
            }
        }
    }
    errors.sort_by_key(InvalidSetting::place);
    (value, errors)
}
