//! The list of cameras, and its changes.

use std::collections::BTreeSet;

use porthole_gateway_core::camera::Picture;
use porthole_gateway_core::question::Answer;
use porthole_gateway_core::store::{Adjustment, Author, ChangeError, Kept, Store, Vault};
use porthole_signaling_proto::CameraId;
use porthole_signaling_proto::manage::{
    AddCameraParams, CameraOrigin, ChangeCameraParams, ChangedResult, RemoveCameraParams,
    StoredCamera, StoredCamerasResult,
};
use porthole_signaling_proto::rpc::{Fault, code};
use tracing::{error, info, warn};

use super::discover::Known;
use super::probe::unix_s;
use super::{Manager, Provisional};
use crate::cameras::{CameraConfig, OnvifPlace};
use crate::ingest::{Address, Caution, Credentials, RtspCamera, Source, Timeouts, Transport};
use crate::onvif::{MAX_REFUSED, ServiceAddress, USUAL_SERVICE};

impl Manager {
    /// Returns the cameras as people see them, sorted by name.
    pub(super) fn stored_cameras(&self) -> StoredCamerasResult {
        let configured = self.cameras.configured();
        let ids: BTreeSet<CameraId> = configured.iter().map(|camera| camera.id.clone()).collect();
        let mut cameras: Vec<_> = configured.iter().map(shown).collect();
        cameras.extend(self.shelf.store.shown(&ids));
        cameras.sort_by_cached_key(|camera| (camera.name.to_lowercase(), camera.id.clone()));
        StoredCamerasResult { revision: self.shelf.store.revision(), cameras }
    }

    /// Returns the cameras with what tells them from others.
    pub(super) fn known(&self) -> Vec<Known> {
        let configured = self.cameras.configured().into_iter().filter_map(|camera| {
            let Source::Rtsp(rtsp) = camera.source else { return None };
            let host = rtsp.address.host().to_owned();
            Some(Known { id: camera.id, host, uuid: None, mac: None })
        });
        let stored = self.shelf.store.cameras().map(|kept| Known {
            id: kept.id.clone(),
            host: kept.place.main.host().to_owned(),
            uuid: kept.place.uuid.clone(),
            mac: kept.place.mac.clone(),
        });
        configured.chain(stored).collect()
    }

    fn configured_ids(&self) -> BTreeSet<CameraId> {
        self.cameras.configured().into_iter().map(|camera| camera.id).collect()
    }

    pub(super) async fn add_camera(&mut self, params: AddCameraParams) -> Result<Answer, Fault> {
        let AddCameraParams { revision, provisional, name, by, .. } = params;
        let author = Author { revision, by, at_s: unix_s() };
        let provisional = self.provisional(&provisional, None)?;
        let configured = self.configured_ids();
        let mut store = self.shelf.store.clone();
        let vault = &mut self.shelf.vault;
        let mut result = store.add(author.clone(), name, &provisional.probed, &configured, vault);
        if provisional.on_demand
            && let Ok(added) = &result
        {
            let author = Author { revision: added.revision, ..author };
            let adjustment = Adjustment { on_demand: Some(true), ..Adjustment::default() };
            result = store.change(author, &added.camera.clone(), adjustment, None, vault);
        }
        let result = self.keep(store, result).await?;
        // It can be watched until it is forgotten, but not added once more.
        self.provisional.remove(&provisional.id);
        Ok(Answer::Added(result))
    }

    pub(super) async fn change_camera(
        &mut self,
        params: ChangeCameraParams,
    ) -> Result<Answer, Fault> {
        let ChangeCameraParams { revision, camera, name, provisional, by, .. } = params;
        let adjustment = Adjustment {
            name,
            rotation: params.rotation,
            mirrored: params.mirrored,
            on_demand: params.on_demand,
        };
        self.check_stored(&camera)?;
        let author = Author { revision, by, at_s: unix_s() };
        let provisional = match provisional {
            Some(id) => Some(self.provisional(&id, Some(&camera))?),
            None => None,
        };
        let probed = provisional.as_ref().map(|provisional| &provisional.probed);
        let mut store = self.shelf.store.clone();
        let result = store.change(author, &camera, adjustment, probed, &mut self.shelf.vault);
        let result = self.keep(store, result).await?;
        if let Some(provisional) = provisional {
            self.provisional.remove(&provisional.id);
        }
        Ok(Answer::Changed(result))
    }

    pub(super) async fn remove_camera(
        &mut self,
        params: RemoveCameraParams,
    ) -> Result<Answer, Fault> {
        let RemoveCameraParams { revision, camera, by, .. } = params;
        self.check_stored(&camera)?;
        let mut store = self.shelf.store.clone();
        let result = store.remove(Author { revision, by, at_s: unix_s() }, &camera);
        self.keep(store, result).await.map(Answer::Removed)
    }

    /// Returns a camera that was probed to be added, or to replace the camera `replaces`.
    fn provisional(
        &self,
        id: &CameraId,
        replaces: Option<&CameraId>,
    ) -> Result<Provisional, Fault> {
        let found = self.provisional.get(id).filter(|it| it.replaces.as_ref() == replaces);
        found.cloned().ok_or_else(|| {
            let text = "this camera was added already, or was found too long ago: ask it again";
            Fault::new(code::NOT_FOUND, text)
        })
    }

    /// Checks that a camera is one that can be changed here.
    fn check_stored(&self, id: &CameraId) -> Result<(), Fault> {
        let is_configured = self.configured_ids().contains(id);
        if is_configured && self.shelf.store.camera(id).is_none() {
            let text = "this camera is in the configuration of its gateway: change it there";
            return Err(Fault::new(code::FORBIDDEN, text));
        }
        Ok(())
    }

    /// Writes a change to the disk, and then gives the gateway its cameras.
    async fn keep(
        &mut self,
        store: Store,
        result: Result<ChangedResult, ChangeError>,
    ) -> Result<ChangedResult, Fault> {
        let result = result.map_err(|error| error.fault())?;
        self.write(store).await?;
        let ChangedResult { camera, revision } = &result;
        info!(%camera, revision, "the stored cameras changed");
        Ok(result)
    }

    /// Writes cameras to the disk, and then gives them to the gateway.
    pub(super) async fn write(&mut self, store: Store) -> Result<(), Fault> {
        let (file, new) = (self.shelf.file.clone(), store.clone());
        let written = tokio::task::spawn_blocking(move || file.save(&new)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                error!("the cameras of this gateway cannot be written: {error}");
                let text = "the gateway cannot write to its data folder: make room there, and try \
                            again";
                return Err(Fault::new(code::STORAGE_FULL, text));
            }
            Err(error) => {
                error!("writing the cameras has panicked: {error}");
                let text = "the gateway could not store this because of a defect: please report \
                            what its log says";
                return Err(Fault::new(code::INTERNAL_ERROR, text));
            }
        }
        self.shelf.store = store;
        self.cameras.set_stored(stored_configs(&self.shelf.store, &self.shelf.vault)).await;
        Ok(())
    }
}

/// Returns the stored cameras as the gateway runs them.
pub(crate) fn stored_configs(store: &Store, vault: &Vault) -> Vec<CameraConfig> {
    store.cameras().map(|kept| config_of(kept, vault)).collect()
}

fn config_of(kept: &Kept, vault: &Vault) -> CameraConfig {
    let credentials = kept.credentials(vault);
    if kept.has_login() && credentials.is_none() {
        warn!(camera = %kept.id, "its password cannot be decrypted: type it again");
    }
    let allows_text = kept.place.allows_text;
    let source = |address| source(address, credentials.clone(), allows_text);
    CameraConfig {
        id: kept.id.clone(),
        name: kept.name.clone(),
        source: source(kept.place.main.clone()),
        sub_source: kept.place.sub.clone().map(source),
        on_demand: kept.on_demand,
        picture: kept.picture,
        onvif: service_of(kept).map(|service| OnvifPlace {
            service,
            credentials: credentials.clone(),
            allows_text,
            number: kept.place.number,
        }),
    }
}

/// Returns the address of a camera's device service. Cameras that were kept by an older version
/// have none; one that has answered to a search has it at one of the usual ports.
fn service_of(kept: &Kept) -> Option<ServiceAddress> {
    let place = &kept.place;
    let usual = || ServiceAddress::new(false, place.main.host(), None, USUAL_SERVICE);
    place.onvif.clone().or_else(|| place.uuid.as_ref().map(|_| usual()))
}

/// Returns a camera that was probed as the gateway runs it.
pub(super) fn config_of_provisional(provisional: &Provisional) -> CameraConfig {
    let Provisional { id, name, probed, .. } = provisional;
    let source = |address| source(address, probed.credentials.clone(), probed.place.allows_text);
    CameraConfig {
        id: id.clone(),
        name: name.clone(),
        source: source(probed.place.main.clone()),
        sub_source: probed.place.sub.clone().map(source),
        on_demand: true,
        picture: Picture::default(),
        // It is asked what else it can do once it is added.
        onvif: None,
    }
}

fn source(address: Address, credentials: Option<Credentials>, allows_text: bool) -> Source {
    Source::Rtsp(RtspCamera {
        address,
        credentials,
        transport: Transport::Auto,
        verifies_tls: false,
        timeouts: Timeouts::default(),
        caution: Caution { allows_text, max_refused: MAX_REFUSED },
    })
}

/// Returns a camera of the configuration as people see it.
fn shown(camera: &CameraConfig) -> StoredCamera {
    let (address, has_password) = match &camera.source {
        Source::Rtsp(rtsp) => (Some(rtsp.address.to_string()), rtsp.credentials.is_some()),
        Source::Rtp { .. } | Source::RtpSdp { .. } | Source::Test(_) => (None, false),
    };
    StoredCamera {
        id: camera.id.clone(),
        name: camera.name.clone(),
        origin: CameraOrigin::Configured,
        address,
        has_password,
        changed_by: None,
        changed_s: None,
        rotation: camera.picture.rotation,
        mirrored: camera.picture.mirrored,
        on_demand: camera.on_demand,
    }
}
