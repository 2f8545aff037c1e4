//! The directory: who is where. Gateways with their cameras, the gateway that each short address
//! of a camera means, and the connections of gateways and of people.

mod cameras;
mod gateway;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use porthole_clock::Now;
use porthole_signaling_proto::method::RefusedCamera;
use porthole_signaling_proto::{
    Camera, CameraAddress, CameraId, CameraPermission, CameraReport, CameraState, GatewayId, rest,
};

use crate::directory::gateway::Gateway;
use crate::{ConnId, Principal, StoredGateway};

pub(crate) use gateway::{Introduction, plain_name};

/// The peers that can be addressed, and the connections on which they are reached.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    gateways: BTreeMap<GatewayId, Gateway>,
    /// The gateways that have or had a camera with each id, in the order in which they have got it;
    /// never empty. A camera has the id of its sub stream too, even if it has no sub stream.
    owners: Owners,
    /// The place of the camera that a gateway has got last.
    last_place: u64,
    /// The connections on which each user or token has registered as a client; never empty.
    clients: Clients,
    /// The connections of clients by the user or token that they are counted for; never empty.
    counted: Clients,
}

/// The connections on which each user or token has registered.
type Clients = BTreeMap<String, BTreeSet<ConnId>>;

/// The gateways that have a camera with each id, with the places of their cameras.
type Owners = HashMap<CameraId, BTreeSet<(u64, GatewayId)>>;

impl Directory {
    /// Adds a gateway from the database, which is not connected.
    pub(crate) fn restore(&mut self, stored: StoredGateway) {
        let last = stored.cameras.iter().map(|camera| camera.place).max();
        self.last_place = self.last_place.max(last.unwrap_or_default());
        let id = stored.id.clone();
        let gateway = Gateway::restored(stored);
        own(&mut self.owners, &id, &gateway);
        self.gateways.insert(id, gateway);
    }

    /// Notes that a gateway has enrolled under this name. True for `renamed` if a person has given
    /// it.
    pub(crate) fn enroll(&mut self, gateway: GatewayId, name: String, renamed: bool) {
        let known = self.entry(gateway, &name);
        if renamed {
            known.rename(name);
        } else {
            known.set_name(name);
        }
    }

    fn entry(&mut self, gateway: GatewayId, name: &str) -> &mut Gateway {
        let (id, name) = (gateway.clone(), name.to_owned());
        let new = StoredGateway { id, name, renamed: false, seen_s: None, cameras: Vec::new() };
        self.gateways.entry(gateway).or_insert_with(|| Gateway::restored(new))
    }

    /// Names a gateway as a person wants it.
    pub(crate) fn rename(&mut self, gateway: &GatewayId, name: String) {
        if let Some(known) = self.gateways.get_mut(gateway) {
            known.rename(name);
        }
    }

    /// Gives a gateway the places of the cameras of another, which it replaces.
    pub(crate) fn replace(&mut self, old: &GatewayId, new: &GatewayId) {
        let Some(replaced) = self.gateways.remove(old) else { return };
        if let Some(known) = self.gateways.get_mut(new) {
            disown(&mut self.owners, new, known);
            known.inherit(&replaced);
            own(&mut self.owners, new, known);
        }
        self.gateways.insert(old.clone(), replaced);
    }

    /// Forgets that a gateway had a camera that it no longer has, so that its id alone can mean
    /// that of another. Returns false if it did not, or has it.
    pub(crate) fn release(&mut self, gateway: &GatewayId, camera: &CameraId) -> bool {
        let Some(known) = self.gateways.get_mut(gateway) else { return false };
        disown(&mut self.owners, gateway, known);
        let released = known.release(camera);
        own(&mut self.owners, gateway, known);
        released
    }

    /// Returns true if a gateway had a camera that it no longer has.
    pub(crate) fn is_former(&self, gateway: &GatewayId, camera: &CameraId) -> bool {
        self.gateways.get(gateway).is_some_and(|known| known.is_former(camera))
    }

    /// Removes a gateway with its cameras. Returns its connection.
    pub(crate) fn remove(&mut self, gateway: &GatewayId) -> Option<ConnId> {
        let known = self.gateways.remove(gateway)?;
        disown(&mut self.owners, gateway, &known);
        known.connection()
    }

    /// Notes that a gateway has connected. Returns the connection that it had until now.
    pub(crate) fn connect_gateway(
        &mut self,
        gateway: &GatewayId,
        conn: ConnId,
        introduction: Introduction,
        now: Now,
    ) -> Option<ConnId> {
        self.entry(gateway.clone(), gateway.as_str()).connect(conn, introduction, now)
    }

    /// Notes that a connection of a gateway is closed. Returns false if the gateway has another by
    /// now.
    pub(crate) fn disconnect_gateway(
        &mut self,
        gateway: &GatewayId,
        conn: ConnId,
        now: Now,
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
    pub(crate) fn connect_client(&mut self, principal: &Principal, conn: ConnId) {
        self.clients.entry(principal.subject().to_owned()).or_default().insert(conn);
        self.counted.entry(principal.account().to_owned()).or_default().insert(conn);
    }

    pub(crate) fn disconnect_client(&mut self, principal: &Principal, conn: ConnId) {
        remove_client(&mut self.clients, principal.subject(), conn);
        remove_client(&mut self.counted, principal.account(), conn);
    }

    /// Returns the connections on which a user or token is registered.
    pub(crate) fn clients_of(&self, subject: &str) -> impl Iterator<Item = ConnId> {
        self.clients.get(subject).into_iter().flatten().copied()
    }

    /// Returns the connections that are counted for a user or token: its own, and those of the
    /// tokens that have come from it.
    pub(crate) fn clients_counted_for(&self, account: &str) -> impl Iterator<Item = ConnId> {
        self.counted.get(account).into_iter().flatten().copied()
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
        let (foreign, cameras) = self.split_foreign(gateway, cameras);
        let (cameras, mut refused) = cameras::accept(cameras, limit);
        refused.extend(foreign);
        let Some(known) = self.gateways.get_mut(gateway) else { return refused };
        disown(&mut self.owners, gateway, known);
        known.set_cameras(cameras, || {
            self.last_place += 1;
            self.last_place
        });
        known.set_provisional(cameras::accept_provisional(provisional));
        own(&mut self.owners, gateway, known);
        refused
    }

    /// Splits the cameras off that are named like the sub stream of another gateway's camera, with
    /// the reason why they are refused: people would take the one for the other.
    fn split_foreign(
        &self,
        gateway: &GatewayId,
        cameras: Vec<CameraReport>,
    ) -> (Vec<RefusedCamera>, Vec<CameraReport>) {
        let own: BTreeSet<_> = cameras.iter().map(|camera| camera.id.clone()).collect();
        let is_foreign = |camera: &CameraReport| {
            let main = camera.id.main_stream().filter(|main| !own.contains(main));
            main.and_then(|main| self.owner(&main)).is_some_and(|owner| owner != gateway)
        };
        let (foreign, cameras): (Vec<_>, Vec<_>) = cameras.into_iter().partition(is_foreign);
        let refuse = |camera: CameraReport| {
            let reason = "it is named like the sub stream of another gateway's camera; choose \
                          another id"
                .to_owned();
            RefusedCamera { id: camera.id, reason }
        };
        (foreign.into_iter().map(refuse).collect(), cameras)
    }

    /// Gathers the parts of a report. Returns the cameras of all parts with the last one.
    pub(crate) fn gather_report(
        &mut self,
        gateway: &GatewayId,
        cameras: Vec<CameraReport>,
        more: bool,
    ) -> Option<Vec<CameraReport>> {
        match self.gateways.get_mut(gateway) {
            Some(known) => known.gather_report(cameras, more),
            None => Some(cameras),
        }
    }

    /// Returns what is to be stored of a gateway if its name or its cameras have changed.
    pub(crate) fn take_changed(&mut self, gateway: &GatewayId) -> Option<StoredGateway> {
        self.gateways.get_mut(gateway)?.take_changed(gateway)
    }

    /// Returns what is to be stored of a gateway.
    pub(crate) fn stored(&self, gateway: &GatewayId) -> Option<StoredGateway> {
        self.gateways.get(gateway).map(|known| known.stored(gateway))
    }

    /// Notes that the record of a gateway could not be written: it counts as changed.
    pub(crate) fn persist_failed(&mut self, gateway: &GatewayId) {
        if let Some(known) = self.gateways.get_mut(gateway) {
            known.persist_failed();
        }
    }

    /// Returns the gateway that is meant if a camera's id stands alone: of those that have or had a
    /// camera with this id, the one that has got it first. It stays the same until that gateway is
    /// removed or the id released, whatever gateways report. The sub stream of a camera is at the
    /// camera's gateway.
    pub(crate) fn owner(&self, camera: &CameraId) -> Option<&GatewayId> {
        self.owners.get(camera)?.first().map(|(_, gateway)| gateway)
    }

    /// Returns the shortest address of a gateway's camera or stream.
    fn address(&self, gateway: &GatewayId, camera: &CameraId) -> CameraAddress {
        let is_first = self.owner(camera) == Some(gateway);
        let named = (!is_first).then(|| gateway.clone());
        CameraAddress { camera: camera.clone(), gateway: named }
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

    /// Returns all cameras that may be seen, sorted by name. `permissions` gets a gateway, and the
    /// id of one of its cameras or streams; without an answer the camera is not seen.
    pub(crate) fn cameras(
        &self,
        permissions: impl Fn(&GatewayId, &CameraId) -> Option<Vec<CameraPermission>>,
    ) -> Vec<Camera> {
        let mut cameras = Vec::new();
        for (gateway, known) in &self.gateways {
            let visible = |camera| cameras::visible(camera, |id| permissions(gateway, id));
            let seen = known.cameras().iter().flat_map(visible);
            cameras.extend(seen.map(|(camera, permissions)| Camera {
                gateway: gateway.clone(),
                address: self.address(gateway, &camera.id),
                permissions,
                report: match known.connection() {
                    Some(_) => camera,
                    None => cameras::offline(camera),
                },
            }));
        }
        cameras.sort_by(|a, b| {
            a.report.name.cmp(&b.report.name).then_with(|| a.address.cmp(&b.address))
        });
        cameras
    }

    /// Returns for each gateway if it is connected, and the states of its cameras.
    pub(crate) fn states(&self) -> impl Iterator<Item = (bool, impl Iterator<Item = CameraState>)> {
        self.gateways.values().map(|known| {
            let is_online = known.connection().is_some();
            let state = move |camera: &CameraReport| match is_online {
                true => camera.state,
                false => CameraState::Offline,
            };
            (is_online, known.cameras().iter().map(state))
        })
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
                version: known.version().map(str::to_owned),
                age: known.age(),
                seen_s: known.seen_s(),
            })
            .collect();
        gateways.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id)));
        gateways
    }
}

/// Returns the ids that a gateway's cameras have and had, with the places of the cameras.
fn owned(known: &Gateway) -> impl Iterator<Item = (CameraId, u64)> {
    known.places().flat_map(|(id, place)| {
        let ids = [Some(id.clone()), id.sub_stream()];
        ids.into_iter().flatten().map(move |id| (id, place))
    })
}

/// Notes which ids a gateway's cameras have.
fn own(owners: &mut Owners, gateway: &GatewayId, known: &Gateway) {
    for (id, place) in owned(known) {
        owners.entry(id).or_default().insert((place, gateway.clone()));
    }
}

/// Forgets which ids a gateway's cameras have.
fn disown(owners: &mut Owners, gateway: &GatewayId, known: &Gateway) {
    for (id, place) in owned(known) {
        let Some(gateways) = owners.get_mut(&id) else { continue };
        gateways.remove(&(place, gateway.clone()));
        if gateways.is_empty() {
            owners.remove(&id);
        }
    }
}

/// Forgets a connection of a user or token.
fn remove_client(clients: &mut Clients, name: &str, conn: ConnId) {
    let Some(connections) = clients.get_mut(name) else { return };
    connections.remove(&conn);
    if connections.is_empty() {
        clients.remove(name);
    }
}

#[cfg(test)]
impl Directory {
    pub(crate) fn assert_consistent(&self) {
        let mut owners = Owners::new();
        for (gateway, known) in &self.gateways {
            let stored = known.stored(gateway).cameras;
            let ids: BTreeSet<_> = stored.iter().map(|camera| &camera.id).collect();
            assert_eq!(ids.len(), stored.len(), "{gateway}");
            for id in known.cameras().iter().flat_map(cameras::profiles) {
                assert!(self.owners[id].iter().any(|(_, owner)| owner == gateway), "{id}");
            }
            own(&mut owners, gateway, known);
        }
        assert_eq!(self.owners, owners);
        for clients in [&self.clients, &self.counted] {
            assert!(clients.values().all(|connections| !connections.is_empty()));
        }
        let [own, counted] = [&self.clients, &self.counted]
            .map(|clients| clients.values().flatten().collect::<BTreeSet<_>>());
        assert_eq!(own, counted);
    }
}

#[cfg(test)]
mod tests;
