//! Cameras that are added to a gateway's own file while no gateway runs.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use porthole_gateway_core::import::{Entry, Login, Place};
use porthole_gateway_core::store::{Adjustment, Author, ChangeError, Probed, Store, Vault};
use porthole_gateway_core::{import, store};
use porthole_signaling_proto::CameraId;

use crate::key::{Key, KeyError};
use crate::onvif::Target;
use crate::store_file::{StoreError, StoreFile};

/// Reasons for adding nothing.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// A gateway uses the data folder.
    #[error(
        "a gateway runs with this data folder: stop it first, or choose the file in its dashboard \
         under “Add a camera”"
    )]
    Running,
    /// The key cannot be read or generated.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The file of cameras cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file of cameras cannot be written.
    #[error("the cameras cannot be written: {0}; make room in the data folder, and try again")]
    Write(#[from] std::io::Error),
}

/// Reasons for leaving out a camera. `Display` is a clause for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// A camera has this address already.
    Known,
    /// The device must be asked for its streams first.
    MustBeAsked,
    /// The password is not in the file.
    PasswordMissing,
    /// The gateway keeps no more cameras.
    Full,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Known => "a camera has this address already",
            Self::MustBeAsked => {
                "it must be asked for its streams first: choose the file in the dashboard, or use \
                 porthole probe"
            }
            Self::PasswordMissing => {
                "its password is not in the file: choose the file in the dashboard, and type it"
            }
            Self::Full => "the gateway keeps no more cameras",
        })
    }
}

/// Adds cameras of a file to those that the gateway with this data folder keeps itself. Returns the
/// outcome for each, in their order. None of them is asked; the gateway does that once it runs.
///
/// # Errors
/// If nothing was added.
pub fn add_imported(
    data: &Path,
    entries: &[&import::Entry],
    configured: &BTreeSet<CameraId>,
    unix_s: u64,
) -> Result<Vec<Result<CameraId, Skipped>>, OfflineError> {
    let key = Key::load_or_create(data)?;
    let (file, mut store, mut vault) = StoreFile::load(data, key.id())?;
    if !file.is_alone() {
        return Err(OfflineError::Running);
    }
    let add = |entry: &&Entry| add(&mut store, &mut vault, entry, configured, unix_s);
    let outcomes = entries.iter().map(add).collect();
    file.save(&store)?;
    Ok(outcomes)
}

fn add(
    store: &mut Store,
    vault: &mut Vault,
    entry: &Entry,
    configured: &BTreeSet<CameraId>,
    at_s: u64,
) -> Result<CameraId, Skipped> {
    let probed = probed(entry)?;
    if store.cameras().any(|kept| kept.place.main == probed.place.main) {
        return Err(Skipped::Known);
    }
    let author = |store: &Store| Author {
        revision: store.revision(),
        by: Some("porthole import".to_owned()),
        at_s,
    };
    let full = |_: ChangeError| Skipped::Full;
    let name = entry.name.clone();
    let added = store.add(author(store), name, &probed, configured, vault).map_err(full)?;
    if entry.on_demand {
        let adjustment = Adjustment { on_demand: Some(true), ..Adjustment::default() };
        store.change(author(store), &added.camera, adjustment, None, vault).map_err(full)?;
    }
    Ok(added.camera)
}

/// Returns the place of a camera as it would be known after a probe.
fn probed(entry: &Entry) -> Result<Probed, Skipped> {
    let Some(Place::Streams { main, sub, onvif }) = &entry.place else {
        return Err(Skipped::MustBeAsked);
    };
    let credentials = match &entry.login {
        Login::Open => None,
        Login::Known(credentials) => Some(credentials.clone()),
        Login::Missing => return Err(Skipped::PasswordMissing),
    };
    let place = store::Place {
        main: main.clone(),
        sub: sub.clone(),
        uuid: None,
        mac: None,
        number: 1,
        allows_text: false,
        onvif: onvif.as_deref().and_then(service),
    };
    Ok(Probed { place, credentials })
}

/// Returns the device service of an address as it is typed.
pub(crate) fn service(address: &str) -> Option<crate::onvif::ServiceAddress> {
    Target::parse(address).ok()?.services().into_iter().next()
}

#[cfg(test)]
mod tests {
    use porthole_gateway_core::import::read;

    use super::*;

    const FILE: &str = "
paths:
  yard: {source: 'rtsp://ada:geheim@192.0.2.1/1', sourceOnDemand: yes}
  gate: {source: 'rtsp://192.0.2.2/1'}
  again: {source: 'rtsp://ada:geheim@192.0.2.1/1'}
  attic: {source: 'rtsp://ada:${PASSWORD}@192.0.2.3/1'}
  device: {source: 'onvif://192.0.2.4'}
";

    #[test]
    fn cameras_of_a_file_are_kept_and_those_that_cannot_be_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let import = read(FILE.as_bytes()).unwrap();
        let entries: Vec<_> = import.entries.iter().collect();
        let gate: BTreeSet<CameraId> = BTreeSet::from(["gate".parse().unwrap()]);
        let outcomes = add_imported(folder.path(), &entries, &gate, 7).unwrap();
        let id = |text: &str| Ok(text.parse().unwrap());
        let skipped = [Skipped::Known, Skipped::PasswordMissing, Skipped::MustBeAsked].map(Err);
        assert_eq!(outcomes, [vec![id("yard"), id("gate-2")], skipped.to_vec()].concat());

        let gateway = Key::load_or_create(folder.path()).unwrap().id();
        let (file, store, vault) = StoreFile::load(folder.path(), gateway).unwrap();
        let yard = store.camera(&"yard".parse().unwrap()).unwrap();
        assert_eq!(yard.credentials(&vault).unwrap().password, "geheim");
        assert!(yard.on_demand && !yard.place.allows_text);
        assert!(!store.write().contains("geheim"));

        // A gateway that runs would not notice, and write over it.
        let error = add_imported(folder.path(), &entries, &gate, 8).unwrap_err();
        assert!(matches!(error, OfflineError::Running), "{error}");
        drop(file);
        let outcomes = add_imported(folder.path(), &entries, &gate, 8).unwrap();
        assert!(outcomes.iter().all(Result::is_err), "they are there already");
    }
}
