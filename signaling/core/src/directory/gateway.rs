//! One gateway: its name, its connection and its cameras.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::Instant;

use porthole_clock::Now;
use porthole_signaling_proto::method::PROTOCOL;
use porthole_signaling_proto::names::is_shown;
use porthole_signaling_proto::rest::Age;
use porthole_signaling_proto::{CameraId, CameraReport, CameraState, GatewayId};

use super::cameras::{fold_sub_streams, profiles};
use crate::{ConnId, StoredCamera, StoredGateway};

/// The longest display name of a gateway or camera; more does not fit a tile of the dashboard.
const MAX_NAME_CHARS: usize = 64;
/// The most cameras in all parts of a report; more than the limit, so that what is refused can be
/// named.
const MAX_PARTS_CAMERAS: usize = 1024;
/// The most ids of cameras that are kept for a gateway that no longer has them: as many as it may
/// have cameras. Those are kept that it has got first.
const MAX_FORMER: usize = 256;
/// The most capabilities of a gateway; the standard defines two.
const MAX_CAPABILITIES: usize = 16;

/// A gateway that has enrolled.
#[derive(Debug)]
pub(super) struct Gateway {
    name: String,
    /// True if a person has named it.
    renamed: bool,
    /// The time at which it was seen last, in seconds since 1970.
    seen_s: Option<u64>,
    /// The version of its program, as long as the server has run.
    version: Option<String>,
    /// The age of its program, as long as the server has run.
    age: Option<Age>,
    conn: Option<ConnId>,
    /// The time its last WebSocket closed; `None` while it is connected or has never been.
    away_since: Option<Instant>,
    capabilities: Vec<String>,
    cameras: Vec<CameraReport>,
    /// The place of each camera in the order in which gateways have got theirs.
    places: HashMap<CameraId, u64>,
    /// The places of cameras that it had, which get them back with their ids. Until then nobody
    /// else is meant by these ids alone.
    former: HashMap<CameraId, u64>,
    /// The cameras that it has probed and nobody has added.
    provisional: Vec<CameraReport>,
    /// The parts of a report whose last part has not arrived yet.
    parts: Vec<CameraReport>,
    /// The name and cameras in the last [`Output::Persist`](crate::Output::Persist).
    persisted: Option<(String, Vec<StoredCamera>)>,
}

/// The properties of a gateway that it tells when it registers.
#[derive(Debug, Default)]
pub(crate) struct Introduction {
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) protocol: Option<u32>,
    pub(crate) capabilities: Vec<String>,
}

/// Returns the age of a gateway that speaks this protocol. One that tells its version and no
/// protocol is from before there were numbers; one that tells neither is another program.
fn age(has_version: bool, protocol: Option<u32>) -> Option<Age> {
    let spoken = protocol.or(has_version.then_some(0))?;
    match spoken.cmp(&PROTOCOL) {
        Ordering::Less => Some(Age::Older),
        Ordering::Equal => None,
        Ordering::Greater => Some(Age::Newer),
    }
}

impl Gateway {
    /// Creates a gateway that is not connected and whose cameras are offline.
    pub(super) fn restored(stored: StoredGateway) -> Self {
        let StoredGateway { name, renamed, seen_s, mut cameras, .. } = stored;
        cameras.sort();
        let all = cameras.clone();
        let (former, cameras): (Vec<_>, Vec<_>) = cameras.into_iter().partition(|one| one.former);
        let report = |camera: &StoredCamera| {
            CameraReport::new(camera.id.clone(), camera.name.clone(), CameraState::Offline)
        };
        let reports = fold_sub_streams(cameras.iter().map(report).collect());
        let is_camera = |id: &CameraId| reports.iter().any(|camera| camera.id == *id);
        let places = cameras.iter().filter(|camera| is_camera(&camera.id));
        Self {
            renamed,
            seen_s,
            version: None,
            age: None,
            conn: None,
            away_since: None,
            capabilities: Vec::new(),
            places: places.map(|camera| (camera.id.clone(), camera.place)).collect(),
            former: former.iter().map(|camera| (camera.id.clone(), camera.place)).collect(),
            cameras: reports,
            provisional: Vec::new(),
            parts: Vec::new(),
            persisted: Some((name.clone(), all)),
            name,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Names it as its own configuration has it, unless a person has named it.
    pub(super) fn set_name(&mut self, name: String) {
        if !self.renamed {
            self.name = name;
        }
    }

    /// Names it as a person wants it.
    pub(super) fn rename(&mut self, name: String) {
        self.name = name;
        self.renamed = true;
    }

    pub(super) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    pub(super) fn age(&self) -> Option<Age> {
        self.age
    }

    pub(super) fn seen_s(&self) -> Option<u64> {
        self.seen_s
    }

    /// Notes that it has connected. Returns the connection that it had until now.
    pub(super) fn connect(
        &mut self,
        conn: ConnId,
        introduction: Introduction,
        now: Now,
    ) -> Option<ConnId> {
        let Introduction { name, version, protocol, capabilities } = introduction;
        self.age = age(version.is_some(), protocol);
        if let Some(name) = name.map(|name| plain_name(&name)).filter(|name| !name.is_empty()) {
            self.set_name(name);
        }
        self.version = version.map(|version| plain_name(&version));
        self.parts.clear();
        self.away_since = None;
        self.seen_s = Some(now.unix_s);
        let capabilities = capabilities.iter().take(MAX_CAPABILITIES);
        self.capabilities = capabilities.map(|capability| plain_name(capability)).collect();
        self.conn.replace(conn)
    }

    /// Notes that a connection is closed. Returns false if it is not the current one.
    pub(super) fn disconnect(&mut self, conn: ConnId, now: Now) -> bool {
        if self.conn != Some(conn) {
            return false;
        }
        self.conn = None;
        self.away_since = Some(now.instant);
        self.seen_s = Some(now.unix_s);
        true
    }

    /// Keeps a part of a report, as many cameras as any gateway may report. Returns all parts with
    /// the last one.
    pub(super) fn gather_report(
        &mut self,
        cameras: Vec<CameraReport>,
        more: bool,
    ) -> Option<Vec<CameraReport>> {
        let room = MAX_PARTS_CAMERAS.saturating_sub(self.parts.len());
        self.parts.extend(cameras.into_iter().take(room));
        (!more).then(|| std::mem::take(&mut self.parts))
    }

    pub(super) fn connection(&self) -> Option<ConnId> {
        self.conn
    }

    pub(super) fn away_since(&self) -> Option<Instant> {
        self.away_since
    }

    pub(super) fn capabilities(&self) -> &[String] {
        &self.capabilities
    }

    pub(super) fn cameras(&self) -> &[CameraReport] {
        &self.cameras
    }

    /// Returns the cameras that it has, and had, with their places.
    pub(super) fn places(&self) -> impl Iterator<Item = (&CameraId, u64)> {
        self.places.iter().chain(&self.former).map(|(id, place)| (id, *place))
    }

    /// Takes over the places of the cameras of a gateway that it replaces.
    pub(super) fn inherit(&mut self, old: &Self) {
        for (id, place) in old.places() {
            match self.places.get_mut(id) {
                Some(own) => *own = place.min(*own),
                None => drop(self.former.insert(id.clone(), place)),
            }
        }
        self.bound_former();
    }

    pub(super) fn is_former(&self, camera: &CameraId) -> bool {
        self.former.contains_key(camera)
    }

    /// Forgets that it had a camera. Returns false if it did not.
    pub(super) fn release(&mut self, camera: &CameraId) -> bool {
        self.former.remove(camera).is_some()
    }

    fn bound_former(&mut self) {
        while self.former.len() > MAX_FORMER {
            let last = self.former.iter().max_by_key(|(_, place)| **place);
            let Some(last) = last.map(|(id, _)| id.clone()) else { return };
            self.former.remove(&last);
        }
    }

    /// Takes the complete list of cameras. Those that it has, or had, keep their places, and others
    /// get the next ones.
    pub(super) fn set_cameras(
        &mut self,
        cameras: Vec<CameraReport>,
        mut next_place: impl FnMut() -> u64,
    ) {
        let mut before = std::mem::take(&mut self.places);
        before.extend(self.former.drain());
        let mut place = |id: &CameraId| before.remove(id).unwrap_or_else(&mut next_place);
        self.places = cameras.iter().map(|camera| (camera.id.clone(), place(&camera.id))).collect();
        self.cameras = cameras;
        self.former = before;
        self.bound_former();
    }

    pub(super) fn provisional(&self) -> &[CameraReport] {
        &self.provisional
    }

    pub(super) fn set_provisional(&mut self, cameras: Vec<CameraReport>) {
        self.provisional = cameras;
    }

    /// Returns what is to be stored if name or cameras have changed since it was returned last.
    pub(super) fn take_changed(&mut self, id: &GatewayId) -> Option<StoredGateway> {
        let stored = self.stored(id);
        let current = (stored.name.clone(), stored.cameras.clone());
        if self.persisted.as_ref() == Some(&current) {
            return None;
        }
        self.persisted = Some(current);
        Some(stored)
    }

    /// Returns what is to be stored. A sub stream is a row of its own.
    pub(super) fn stored(&self, id: &GatewayId) -> StoredGateway {
        let rows = |camera: &CameraReport| {
            let place = self.places.get(&camera.id).copied().unwrap_or_default();
            let row = |id: &CameraId| {
                let (id, name) = (id.clone(), camera.name.clone());
                StoredCamera { id, name, place, former: false }
            };
            profiles(camera).map(row).collect::<Vec<_>>()
        };
        let mut cameras: Vec<_> = self.cameras.iter().flat_map(rows).collect();
        cameras.extend(self.former.iter().map(|(id, place)| {
            let (id, name) = (id.clone(), id.to_string());
            StoredCamera { id, name, place: *place, former: true }
        }));
        cameras.sort();
        StoredGateway {
            id: id.clone(),
            name: self.name.clone(),
            renamed: self.renamed,
            seen_s: self.seen_s,
            cameras,
        }
    }

    pub(super) fn persist_failed(&mut self) {
        self.persisted = None;
    }
}

/// Makes a name fit for display: one line, at most [`MAX_NAME_CHARS`] characters.
pub(crate) fn plain_name(text: &str) -> String {
    let shown = text.trim().chars().filter(|c| is_shown(*c));
    shown.take(MAX_NAME_CHARS).collect()
}
