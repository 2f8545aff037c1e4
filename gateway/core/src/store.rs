//! The cameras that a gateway keeps itself: those that were added in a browser.
//!
//! [`Store`] is a value. A change makes a new one, which takes its place once the driver has
//! written it to the disk. [`Vault`] encrypts the passwords in it.

mod camera_ids;
mod format;
mod vault;

use std::collections::{BTreeMap, BTreeSet};

use porthole_signaling_proto::CameraId;
use porthole_signaling_proto::manage::{CameraOrigin, ChangedResult, StoredCamera};
use porthole_signaling_proto::rpc::{Fault, code};
use thiserror::Error;

use crate::camera::Picture;
use crate::onvif::ServiceAddress;
use crate::rtsp::{Address, Credentials};
use camera_ids::id_for;

pub use format::ReadError;
pub use vault::Vault;

/// Maximum number of cameras that are kept, as many as a signaling server takes of one gateway.
pub const MAX_CAMERAS: usize = 256;

/// The name of who has changed a camera that was found again.
const GATEWAY: &str = "the gateway";

/// The streams of a camera, and what tells it from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The address of the main stream.
    pub main: Address,
    /// The address of the sub stream, if there is one.
    pub sub: Option<Address>,
    /// The UUID of the device in its answers to searches.
    pub uuid: Option<String>,
    /// The MAC address of the device.
    pub mac: Option<String>,
    /// The number of the camera in the device, from one.
    pub number: u32,
    /// True if the password may be sent to the device as readable text.
    pub allows_text: bool,
    /// The address of the device service of ONVIF, if the device has one. Its host is that of the
    /// main stream.
    pub onvif: Option<ServiceAddress>,
}

/// The changes to what people set for a camera; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adjustment {
    /// The name that people see.
    pub name: Option<String>,
    /// The degrees by which its picture is turned clockwise.
    pub rotation: Option<u16>,
    /// True if its picture is mirrored.
    pub mirrored: Option<bool>,
    /// True: connect only while somebody watches.
    pub on_demand: Option<bool>,
}

/// A camera that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The id, which never changes.
    pub id: CameraId,
    /// The name that people see.
    pub name: String,
    /// The streams of the camera.
    pub place: Place,
    /// The way in which its picture is shown.
    pub picture: Picture,
    /// True: connect only while somebody watches.
    pub on_demand: bool,
    /// The encrypted user and password, if there are some.
    login: Option<String>,
    /// The name of who changed it last.
    changed_by: Option<String>,
    /// The time of the last change in seconds since 1970.
    changed_s: u64,
}

impl Kept {
    /// Returns true if a user and a password are kept.
    #[must_use]
    pub fn has_login(&self) -> bool {
        self.login.is_some()
    }

    /// Returns user and password; `None` if there are none, or if they cannot be decrypted.
    #[must_use]
    pub fn credentials(&self, vault: &Vault) -> Option<Credentials> {
        vault.open(&self.id, &self.place, self.login.as_deref()?)
    }

    /// Returns the camera as people see it.
    fn shown(&self, is_hidden: bool) -> StoredCamera {
        StoredCamera {
            id: self.id.clone(),
            name: self.name.clone(),
            origin: if is_hidden { CameraOrigin::Hidden } else { CameraOrigin::Stored },
            address: Some(self.place.main.to_string()),
            has_password: self.has_login(),
            changed_by: self.changed_by.clone(),
            changed_s: Some(self.changed_s),
            rotation: self.picture.rotation,
            mirrored: self.picture.mirrored,
            on_demand: self.on_demand,
        }
    }

    fn adjust(&mut self, adjustment: Adjustment) {
        let Adjustment { name, rotation, mirrored, on_demand } = adjustment;
        self.name = name.unwrap_or_else(|| std::mem::take(&mut self.name));
        self.picture.rotation = rotation.unwrap_or(self.picture.rotation);
        self.picture.mirrored = mirrored.unwrap_or(self.picture.mirrored);
        self.on_demand = on_demand.unwrap_or(self.on_demand);
    }
}

/// The circumstances of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The revision that the person has seen.
    pub revision: u32,
    /// The name of the person.
    pub by: Option<String>,
    /// The time in seconds since 1970.
    pub at_s: u64,
}

/// A place that was probed, with the password that was typed for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// The streams of the camera.
    pub place: Place,
    /// User and password, if the device needs them.
    pub credentials: Option<Credentials>,
}

/// Reasons for refusing a change.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChangeError {
    /// Another person has changed the cameras in the meantime; the name, if it is known.
    #[error(
        "{} changed the cameras of this gateway in the meantime: look at them again, then repeat \
         your change",
        .0.as_deref().unwrap_or("somebody else")
    )]
    Conflict(Option<String>),
    /// The store has as many cameras as it can keep.
    #[error("this gateway keeps {MAX_CAMERAS} cameras already: remove one, or use another gateway")]
    Full,
    /// No camera of this id is kept.
    #[error("this gateway keeps no such camera: look at the list of its cameras again")]
    NoCamera,
}

impl ChangeError {
    /// Returns the fault to answer with.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let number = match self {
            Self::Conflict(_) => code::CONFLICT,
            Self::Full => code::INSUFFICIENT_RESOURCES,
            Self::NoCamera => code::NOT_FOUND,
        };
        Fault::new(number, self.to_string())
    }
}

/// The cameras that are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Store {
    revision: u32,
    /// The name of who made the last change.
    changed_by: Option<String>,
    cameras: BTreeMap<CameraId, Kept>,
}

impl Store {
    /// Reads the text of the file.
    ///
    /// # Errors
    /// With the reason if it cannot be used.
    pub fn read(text: &str) -> Result<Self, ReadError> {
        format::read(text)
    }

    /// Returns true if a text is a file of an older version, which [`Self::read`] takes and
    /// [`Self::write`] writes no more.
    #[must_use]
    pub fn is_older(text: &str) -> bool {
        format::is_older(text)
    }

    /// Writes the text of the file.
    #[must_use]
    pub fn write(&self) -> String {
        format::write(self)
    }

    /// Returns the number of the last change.
    #[must_use]
    pub fn revision(&self) -> u32 {
        self.revision
    }

    /// Returns the cameras, sorted by id.
    pub fn cameras(&self) -> impl Iterator<Item = &Kept> {
        self.cameras.values()
    }

    /// Returns a camera.
    #[must_use]
    pub fn camera(&self, id: &CameraId) -> Option<&Kept> {
        self.cameras.get(id)
    }

    /// Returns the cameras as people see them; those of `configured` hide those of the same id.
    #[must_use]
    pub fn shown(&self, configured: &BTreeSet<CameraId>) -> Vec<StoredCamera> {
        self.cameras().map(|camera| camera.shown(configured.contains(&camera.id))).collect()
    }

    /// Adds a camera. Its id is made of the name, and none of `configured`.
    ///
    /// # Errors
    /// With the reason if it is not added.
    pub fn add(
        &mut self,
        author: Author,
        name: String,
        probed: &Probed,
        configured: &BTreeSet<CameraId>,
        vault: &mut Vault,
    ) -> Result<ChangedResult, ChangeError> {
        self.check(&author)?;
        if self.cameras.len() >= MAX_CAMERAS {
            return Err(ChangeError::Full);
        }
        let is_used = |id: &CameraId| {
            let is_known = |id: &CameraId| configured.contains(id) || self.cameras.contains_key(id);
            is_known(id) || id.sub_stream().as_ref().is_some_and(is_known)
        };
        let id = id_for(&name, is_used).ok_or(ChangeError::Full)?;
        let place = probed.place.clone();
        let login = probed.credentials.as_ref().map(|login| vault.seal(&id, &place, login));
        let (changed_by, changed_s) = (author.by.clone(), author.at_s);
        let kept = Kept {
            id: id.clone(),
            name,
            place,
            picture: Picture::default(),
            on_demand: false,
            login,
            changed_by,
            changed_s,
        };
        self.cameras.insert(id.clone(), kept);
        Ok(self.changed(author, id))
    }

    /// Changes what people set for a camera, or its place and password, or both.
    ///
    /// # Errors
    /// With the reason if it is not changed.
    pub fn change(
        &mut self,
        author: Author,
        id: &CameraId,
        adjustment: Adjustment,
        probed: Option<&Probed>,
        vault: &mut Vault,
    ) -> Result<ChangedResult, ChangeError> {
        self.check(&author)?;
        let kept = self.cameras.get_mut(id).ok_or(ChangeError::NoCamera)?;
        kept.adjust(adjustment);
        if let Some(Probed { place, credentials }) = probed {
            kept.login = credentials.as_ref().map(|login| vault.seal(id, place, login));
            kept.place = place.clone();
        }
        (kept.changed_by, kept.changed_s) = (author.by.clone(), author.at_s);
        Ok(self.changed(author, id.clone()))
    }

    /// Moves a camera to another host, at which it was found again. From now on it gets its
    /// password in no readable form, because the host may be an impostor. Returns false if there is
    /// none.
    pub fn relocate(&mut self, id: &CameraId, host: &str, at_s: u64, vault: &mut Vault) -> bool {
        let Some(kept) = self.cameras.get_mut(id) else { return false };
        let credentials = kept.credentials(vault);
        let place = &mut kept.place;
        place.main = place.main.at_host(host);
        place.sub = place.sub.as_ref().map(|sub| sub.at_host(host));
        place.allows_text = false;
        place.onvif = place.onvif.as_ref().map(|service| service.at_host(host));
        kept.login = credentials.map(|login| vault.seal(id, &kept.place, &login));
        let by = Some(GATEWAY.to_owned());
        (kept.changed_by, kept.changed_s) = (by.clone(), at_s);
        self.changed(Author { revision: self.revision, by, at_s }, id.clone());
        true
    }

    /// Removes a camera.
    ///
    /// # Errors
    /// With the reason if it is not removed.
    pub fn remove(&mut self, author: Author, id: &CameraId) -> Result<ChangedResult, ChangeError> {
        self.check(&author)?;
        self.cameras.remove(id).ok_or(ChangeError::NoCamera)?;
        Ok(self.changed(author, id.clone()))
    }

    fn check(&self, author: &Author) -> Result<(), ChangeError> {
        if author.revision == self.revision {
            return Ok(());
        }
        Err(ChangeError::Conflict(self.changed_by.clone()))
    }

    fn changed(&mut self, author: Author, camera: CameraId) -> ChangedResult {
        self.revision = self.revision.wrapping_add(1);
        self.changed_by = author.by;
        ChangedResult { camera, revision: self.revision }
    }
}

#[cfg(test)]
mod tests;
