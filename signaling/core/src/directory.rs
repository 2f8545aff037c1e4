//! The directory: who is where. Gateways with their cameras, the owner of each camera, and the
//! connections of gateways and of people.

mod cameras;
mod gateway;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use porthole_signaling_proto::method::RefusedCamera;
use porthole_signaling_proto::{Camera, CameraId, CameraReport, GatewayId, rest};

use crate::directory::gateway::Gateway;
use crate::{ConnId, StoredGateway};

pub(crate) use gateway::plain_name;

/// The peers that can be addressed, and the connections on which they are reached.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    gateways: BTreeMap<GatewayId, Gateway>,
    /// The gateway of each camera: the first that reported it.
    owners: HashMap<CameraId, GatewayId>,
    /// The connections on which each user or token has registered as a client; never empty.
    clients: BTreeMap<String, BTreeSet<ConnId>>,
}

/// A gateway's name, and the ids of its cameras and streams with their display names.
pub(crate) type Record = (String, Vec<(CameraId, String)>);

impl Directory {
    /// Adds a gateway from the database, which is not connected.
    pub(crate) fn restore(&mut self, stored: StoredGateway) {
        for (camera, _) in &stored.cameras {
            self.owners.insert(camera.clone(), stored.id.clone());
        }
        self.gateways.insert(stored.id, Gateway::restored(stored.name, stored.cameras));
    }

    /// Notes that a gateway has enrolled under this name.
    pub(crate) fn enroll(&mut self, gateway: GatewayId, name: String) {
        self.entry(gateway, &name).set_name(name.clone());
    }

    fn entry(&mut self, gateway: GatewayId, name: &str) -> &mut Gateway {
        let new = || Gateway::restored(name.to_owned(), Vec::new());
        self.gateways.entry(gateway).or_insert_with(new)
    }

    /// Notes that a gateway has connected. Returns the connection that it had until now.
    pub(crate) fn connect_gateway(
        &mut self,
        gateway: &GatewayId,
        conn: ConnId,
        capabilities: Vec<String>,
        name: Option<String>,
    ) -> Option<ConnId> {
        let known = self.entry(gateway.clone(), gateway.as_str());
        if let Some(name) = name.map(|name| plain_name(&name)).filter(|name| !name.is_empty()) {
            known.set_name(name);
        }
        known.connect(conn, capabilities)
    }

    /// Notes that a connection of a gateway is closed. Returns false if the gateway has another by
    /// now.
    pub(crate) fn disconnect_gateway(
        &mut self,
        gateway: &GatewayId,
        conn: ConnId,
        now: Instant,
    ) -> bool {
        self.gateways.get_mut(gateway).is_some_and(|known| known.disconnect(conn, now))
    }

    /// Returns the connection of a gateway; `None` if it is offline or not known.
    pub(crate) fn connection_of(&self, gateway: &GatewayId) -> Option<ConnId> {
        self.gateways.get(gateway)?.connection()
    }

    pub(crate) fn knows(&self, gateway: &GatewayId) -> bool {
        self.gateways.contains_key(gateway)
    }

    /// Returns true if a gateway has been offline for this time.
    pub(crate) fn is_away(&self, gateway: &GatewayId, time: Duration, now: Instant) -> bool {
        let since = self.gateways.get(gateway).and_then(Gateway::away_since);
        since.is_some_and(|since| since + time <= now)
    }

    pub(crate) fn capabilities(&self, gateway: &GatewayId) -> Option<Vec<String>> {
        self.gateways.get(gateway).map(|known| known.capabilities().to_vec())
    }

    /// Notes that a user or token has registered as a client.
    pub(crate) fn connect_client(&mut self, subject: &str, conn: ConnId) {
        self.clients.entry(subject.to_owned()).or_default().insert(conn);
    }

    pub(crate) fn disconnect_client(&mut self, subject: &str, conn: ConnId) {
        let Some(connections) = self.clients.get_mut(subject) else { return };
        connections.remove(&conn);
        if connections.is_empty() {
            self.clients.remove(subject);
        }
    }

    /// Returns the connections on which a user or token is registered.
    pub(crate) fn clients_of(&self, subject: &str) -> impl Iterator<Item = ConnId> {
        self.clients.get(subject).into_iter().flatten().copied()
    }

    /// Returns the users and tokens that are connected.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = &str> {
        self.clients.keys().map(String::as_str)
    }

    /// Takes the complete list of a gateway's cameras. Returns those that are refused.
    pub(crate) fn set_cameras(
        &mut self,
        gateway: &GatewayId,
        cameras: Vec<CameraReport>,
        limit: usize,
    ) -> Vec<RefusedCamera> {
        let (provisional, cameras): (Vec<_>, Vec<_>) =
            cameras.into_iter().partition(|camera| camera.provisional);
        let is_taken = |id: &CameraId| self.owners.get(id).is_some_and(|owner| owner != gateway);
        let (cameras, refused) = cameras::accept(cameras, is_taken, limit);
        let Some(known) = self.gateways.get_mut(gateway) else { return refused };
        for id in known.cameras().iter().flat_map(cameras::profiles) {
            self.owners.remove(id);
        }
        for id in cameras.iter().flat_map(cameras::profiles) {
            self.owners.insert(id.clone(), gateway.clone());
        }
        known.set_cameras(cameras);
        known.set_provisional(cameras::accept_provisional(provisional));
        refused
    }

    /// Returns the record of a gateway if it has to be written to the database.
    pub(crate) fn take_changed(&mut self, gateway: &GatewayId) -> Option<Record> {
        self.gateways.get_mut(gateway)?.take_changed()
    }

    /// Notes that the record of a gateway could not be written: it counts as changed.
    pub(crate) fn persist_failed(&mut self, gateway: &GatewayId) {
        if let Some(known) = self.gateways.get_mut(gateway) {
            known.persist_failed();
        }
    }

    /// Returns the gateway of a camera.
    pub(crate) fn owner(&self, camera: &CameraId) -> Option<&GatewayId> {
        self.owners.get(camera)
    }

    /// Returns the ids under which the cameras of a gateway can be watched.
    pub(crate) fn profiles(&self, gateway: &GatewayId) -> impl Iterator<Item = &CameraId> {
        let known = self.gateways.get(gateway);
        known.into_iter().flat_map(Gateway::cameras).flat_map(cameras::profiles)
    }

    /// Returns the ids under which the cameras can be watched that a gateway has probed and nobody
    /// has added. They are in no list, not written to the database, and only for those who manage
    /// the gateway.
    pub(crate) fn provisional_profiles(
        &self,
        gateway: &GatewayId,
    ) -> impl Iterator<Item = &CameraId> {
        let known = self.gateways.get(gateway);
        known.into_iter().flat_map(Gateway::provisional).flat_map(cameras::profiles)
    }

    /// Returns all cameras that may be seen, sorted by name. `may_see` gets the id of a camera or
    /// stream, and its gateway.
    pub(crate) fn cameras(&self, may_see: impl Fn(&CameraId, &GatewayId) -> bool) -> Vec<Camera> {
        let mut cameras = Vec::new();
        for (gateway, known) in &self.gateways {
            let visible = |camera| cameras::visible(camera, |id| may_see(id, gateway));
            let seen = known.cameras().iter().flat_map(visible);
            cameras.extend(seen.map(|camera| Camera {
                gateway: gateway.clone(),
                report: match known.connection() {
                    Some(_) => camera,
                    None => cameras::offline(camera),
                },
            }));
        }
        cameras.sort_by(|a, b| {
            a.report.name.cmp(&b.report.name).then_with(|| a.report.id.cmp(&b.report.id))
        });
        cameras
    }

    /// Returns all gateways, sorted by name.
    pub(crate) fn gateways(&self) -> Vec<rest::Gateway> {
        let mut gateways: Vec<_> = self
            .gateways
            .iter()
            .map(|(id, known)| rest::Gateway {
                id: id.clone(),
                name: known.name().to_owned(),
                online: known.connection().is_some(),
            })
            .collect();
        gateways.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id)));
        gateways
    }
}

#[cfg(test)]
impl Directory {
    pub(crate) fn assert_consistent(&self) {
        for (gateway, known) in &self.gateways {
            for id in known.cameras().iter().flat_map(cameras::profiles) {
                assert_eq!(self.owners.get(id), Some(gateway), "{id}");
            }
        }
        assert!(self.clients.values().all(|connections| !connections.is_empty()));
    }
}

#[cfg(test)]
mod tests;
