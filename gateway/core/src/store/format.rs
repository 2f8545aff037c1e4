//! The file of the cameras that a gateway keeps: JSON with a version.

use porthole_signaling_proto::{CameraId, ROTATIONS};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Kept, MAX_CAMERAS, Place, Store};
use crate::camera::Picture;
use crate::onvif::ServiceAddress;
use crate::question::MAX_NAME_CHARS;
use crate::rtsp::Address;

/// The version of the format. Version 1 has no `onvif`, `rotation`, `mirrored` and `on_demand`.
const VERSION: u32 = 2;

/// Reasons for not using a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The file is not what was written.
    #[error("it is damaged")]
    Damaged,
    /// The file was written by a newer version of the program; the version of the format.
    #[error("it has the format {0}, of a newer Porthole")]
    Newer(u32),
}

/// The version of a file, whatever else is in it.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    revision: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changed_by: Option<String>,
    cameras: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: CameraId,
    name: String,
    main: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uuid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
    number: u32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    allows_text: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    onvif: Option<String>,
    #[serde(default, skip_serializing_if = "is_upright")]
    rotation: u16,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    mirrored: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    on_demand: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    login: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changed_by: Option<String>,
    changed_s: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_upright(rotation: &u16) -> bool {
    *rotation == 0
}

/// Returns true if a file has a format that is written no more.
pub(super) fn is_older(text: &str) -> bool {
    serde_json::from_str(text).is_ok_and(|Version { version }| version < VERSION)
}

pub(super) fn read(text: &str) -> Result<Store, ReadError> {
    let Version { version } = serde_json::from_str(text).map_err(|_| ReadError::Damaged)?;
    if version > VERSION {
        return Err(ReadError::Newer(version));
    }
    let file: File = serde_json::from_str(text).map_err(|_| ReadError::Damaged)?;
    let mut store =
        Store { revision: file.revision, changed_by: file.changed_by, ..Store::default() };
    for entry in file.cameras {
        let kept = kept(entry).ok_or(ReadError::Damaged)?;
        let twice = store.cameras.insert(kept.id.clone(), kept).is_some();
        if twice || store.cameras.len() > MAX_CAMERAS {
            return Err(ReadError::Damaged);
        }
    }
    Ok(store)
}

fn kept(entry: Entry) -> Option<Kept> {
    let Entry { id, name, main, sub, uuid, mac, number, allows_text, login, onvif, .. } = entry;
    let is_short = (1..=MAX_NAME_CHARS).contains(&name.chars().count());
    let sub = match sub {
        Some(sub) => Some(Address::parse(&sub)?),
        None => None,
    };
    let main = Address::parse(&main)?;
    // The password is encrypted for the host of the main stream, and goes nowhere else.
    let is_there = |service: &ServiceAddress| service.host() == main.host();
    let onvif = onvif.as_deref().and_then(ServiceAddress::parse).filter(is_there);
    let place = Place { main, sub, uuid, mac, number, allows_text, onvif };
    let (changed_by, changed_s) = (entry.changed_by, entry.changed_s);
    let picture = Picture { rotation: entry.rotation, mirrored: entry.mirrored };
    let on_demand = entry.on_demand;
    let is_usable = is_short && id.sub_stream().is_some() && ROTATIONS.contains(&picture.rotation);
    let kept = Kept { id, name, place, picture, on_demand, login, changed_by, changed_s };
    is_usable.then_some(kept)
}

pub(super) fn write(store: &Store) -> String {
    let entry = |kept: &Kept| Entry {
        id: kept.id.clone(),
        name: kept.name.clone(),
        main: kept.place.main.url(),
        sub: kept.place.sub.as_ref().map(Address::url),
        uuid: kept.place.uuid.clone(),
        mac: kept.place.mac.clone(),
        number: kept.place.number,
        allows_text: kept.place.allows_text,
        onvif: kept.place.onvif.as_ref().map(ToString::to_string),
        rotation: kept.picture.rotation,
        mirrored: kept.picture.mirrored,
        on_demand: kept.on_demand,
        login: kept.login.clone(),
        changed_by: kept.changed_by.clone(),
        changed_s: kept.changed_s,
    };
    let file = File {
        version: VERSION,
        revision: store.revision,
        changed_by: store.changed_by.clone(),
        cameras: store.cameras().map(entry).collect(),
    };
    // Fails for maps whose keys are no texts only, and there is none.
    serde_json::to_string_pretty(&file).unwrap_or_default() + "\n"
}
