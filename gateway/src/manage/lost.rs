//! Cameras that have failed for a while are looked for by what tells them from others: they may
//! have another address.

use porthole_signaling_proto::CameraId;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::Manager;
use super::discover::is_same;
use super::networks::networks;
use super::probe::unix_s;
use crate::onvif;
use crate::onvif::{Device, Discovered};

/// Capacity of the channel for what is found.
const QUEUE: usize = 64;

impl Manager {
    /// Looks for a camera, unless a search is running already: that one is for all of them.
    pub(super) fn look_for(&mut self, id: CameraId) {
        let kept = self.shelf.store.camera(&id);
        let is_known = kept.is_some_and(|it| it.place.uuid.is_some() || it.place.mac.is_some());
        if !is_known {
            return;
        }
        self.lost.insert(id);
        if self.seeking.is_empty() {
            self.seeking.spawn(devices());
        }
    }

    /// Moves the lost cameras that were found at another address.
    pub(super) async fn handle_sought(&mut self, devices: &[Device]) {
        let lost = std::mem::take(&mut self.lost);
        let Ok(allowed) = networks(&self.named) else { return };
        let mut store = self.shelf.store.clone();
        let mut has_moved = false;
        for id in lost {
            let Some(place) = store.camera(&id).map(|kept| &kept.place) else { continue };
            let is_it = |device: &&Device| {
                is_same(&place.uuid, &device.uuid) || is_same(&place.mac, &device.mac)
            };
            let Some(device) = devices.iter().find(is_it) else { continue };
            let host = device.from.ip().to_canonical();
            if place.main.host().parse() == Ok(host) || allowed.check(host).is_err() {
                continue;
            }
            info!(camera = %id, %host, "the camera has another address, and was found again");
            let vault = &mut self.shelf.vault;
            has_moved |= store.relocate(&id, &host.to_string(), unix_s(), vault);
        }
        if has_moved && let Err(fault) = self.write(store).await {
            warn!("the new address of a camera was not stored: {fault}");
        }
    }
}

/// Searches all networks.
async fn devices() -> Vec<Device> {
    let links = onvif::links().unwrap_or_default();
    let (sender, mut found) = mpsc::channel(QUEUE);
    let mut devices: Vec<Device> = Vec::new();
    let collect = async {
        while let Some(output) = found.recv().await {
            let (Discovered::Found(device) | Discovered::Moved(device)) = output else { continue };
            devices.retain(|known| known.number != device.number);
            devices.push(device);
        }
    };
    tokio::join!(onvif::search(&links, &[], sender), collect);
    devices
}
