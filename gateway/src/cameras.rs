//! The cameras of a gateway, which can be changed while it runs.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use porthole_gateway_core::camera::{CameraChange, CameraSettings, Picture, StreamId};
use porthole_gateway_core::onvif::ServiceAddress;
use porthole_signaling_proto::CameraId;
use porthole_signaling_proto::manage::PROVISIONAL_PREFIX;
use tokio::sync::{mpsc, watch};

use crate::StartError;
use crate::control::Places;
use crate::ingest::{self, Credentials, Source};

/// Capacity of the queue of changes to the driver.
pub(crate) const QUEUE: usize = 16;

/// Configuration of a camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraConfig {
    /// The camera's id, unique on its gateway.
    pub id: CameraId,
    /// The name shown to people.
    pub name: String,
    /// The source of the main stream.
    pub source: Source,
    /// The source of the sub stream, if there is one. Its profile token is `ID.sub`.
    pub sub_source: Option<Source>,
    /// Connect to the camera only while somebody watches.
    pub on_demand: bool,
    /// The way in which its picture is shown.
    pub picture: Picture,
    /// The ONVIF service that moves it and tells of motion, if there is one.
    pub onvif: Option<OnvifPlace>,
}

/// The ONVIF service of a camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnvifPlace {
    /// The address of the device service.
    pub service: ServiceAddress,
    /// User and password, if it needs them.
    pub credentials: Option<Credentials>,
    /// True if the password may be sent to the device as readable text.
    pub allows_text: bool,
    /// The number of the camera in the device, from one.
    pub number: u32,
}

impl CameraConfig {
    fn settings(&self) -> CameraSettings {
        CameraSettings {
            id: self.id.clone(),
            name: self.name.clone(),
            on_demand: self.on_demand,
            has_sub: self.sub_source.is_some(),
            picture: self.picture,
            provisional: false,
        }
    }

    /// Returns true if another configuration of the camera has the same streams.
    fn has_sources_of(&self, other: &Self) -> bool {
        self.source == other.source && self.sub_source == other.sub_source
    }

    fn into_sources(self) -> Vec<(StreamId, Source)> {
        let sub = self.sub_source.map(|source| (StreamId::sub(self.id.clone()), source));
        let main = (StreamId::main(self.id), self.source);
        std::iter::once(main).chain(sub).collect()
    }

    fn with_timeouts(self, timeouts: ingest::Timeouts) -> Self {
        Self {
            source: self.source.with_timeouts(timeouts),
            sub_source: self.sub_source.map(|source| source.with_timeouts(timeouts)),
            ..self
        }
    }

    fn check(&self) -> Result<(), StartError> {
        if self.id.as_str().starts_with(PROVISIONAL_PREFIX) {
            return Err(StartError::ReservedId(self.id.clone()));
        }
        if self.sub_source.is_some() && self.id.sub_stream().is_none() {
            return Err(StartError::LongId(self.id.clone()));
        }
        Ok(())
    }
}

/// A change for the driver, with the sources of the camera from now on.
#[derive(Debug)]
pub struct Update {
    /// The change for the core.
    pub(crate) change: CameraChange,
    /// The new sources of its streams; `None` if they stay.
    pub(crate) sources: Option<Vec<(StreamId, Source)>>,
}

/// A difference between the cameras of two configurations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A camera is new.
    Added(CameraId),
    /// A camera has another source or other settings; its viewers connect again.
    Changed(CameraId),
    /// A camera has another name; its viewers go on.
    Renamed(CameraId),
    /// A camera is shown or connected in another way; its viewers go on.
    Adjusted(CameraId),
    /// A camera is gone.
    Removed(CameraId),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(id) => write!(f, "{id} added"),
            Self::Changed(id) => write!(f, "{id} changed"),
            Self::Renamed(id) => write!(f, "{id} renamed"),
            Self::Adjusted(id) => write!(f, "{id} adjusted"),
            Self::Removed(id) => write!(f, "{id} removed"),
        }
    }
}

/// Reason for which a gateway's cameras are not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A camera cannot be configured like this.
    #[error(transparent)]
    Camera(#[from] StartError),
    /// The gateway has ended, or does not keep up with changes.
    #[error("the gateway takes no changes now: try again in a moment")]
    Busy,
}

/// The cameras of a gateway, by where they come from.
#[derive(Debug, Default)]
struct Sets {
    configured: Vec<CameraConfig>,
    stored: Vec<CameraConfig>,
}

impl Sets {
    /// Returns the cameras that run: a configured one hides a stored one of the same id.
    fn running(&self) -> Vec<CameraConfig> {
        let is_shown = |camera: &&CameraConfig| find(&self.configured, &camera.id).is_none();
        let stored = self.stored.iter().filter(is_shown);
        self.configured.iter().chain(stored).cloned().collect()
    }

    /// Returns the ONVIF services of the cameras that run.
    fn places(&self) -> Places {
        let running = self.running().into_iter();
        running.filter_map(|camera| Some((camera.id, camera.onvif?))).collect()
    }
}

/// The cameras of a gateway. A clone changes the same gateway.
#[derive(Debug, Clone)]
pub struct Cameras {
    current: Arc<Mutex<Sets>>,
    timeouts: ingest::Timeouts,
    updates: mpsc::Sender<Vec<Update>>,
    /// The ONVIF services of the cameras that run, for their controls.
    places: watch::Sender<Places>,
}

impl Cameras {
    /// Holds the cameras of a gateway that starts. Returns them as the changes that lead there.
    pub(crate) fn new(
        configured: Vec<CameraConfig>,
        stored: Vec<CameraConfig>,
        timeouts: ingest::Timeouts,
        updates: mpsc::Sender<Vec<Update>>,
        places: watch::Sender<Places>,
    ) -> Result<(Self, Vec<Update>), StartError> {
        let configured = prepared(configured, timeouts)?;
        let sets = Sets { configured, stored: with_timeouts(stored, timeouts) };
        let (_, initial) = differences(&[], &sets.running());
        places.send_replace(sets.places());
        Ok((Self { current: Arc::new(Mutex::new(sets)), timeouts, updates, places }, initial))
    }

    /// Gives the gateway these cameras in the place of those of its configuration, and returns the
    /// differences. Cameras that stay as they are, and their viewers, notice nothing. A camera that
    /// was added in a browser runs unless one of these has its id.
    ///
    /// # Errors
    /// Fails without a change if a camera cannot be configured like this, or if the gateway has
    /// ended or takes no changes now.
    pub fn set(&self, cameras: Vec<CameraConfig>) -> Result<Vec<Difference>, ChangeError> {
        Ok(self.prepare(cameras)?.apply())
    }

    /// Checks what [`Self::set`] checks, and changes nothing before the returned value is applied.
    ///
    /// # Errors
    /// Fails for the reasons of [`Self::set`].
    pub fn prepare(&self, cameras: Vec<CameraConfig>) -> Result<PreparedCameras, ChangeError> {
        let configured = prepared(cameras, self.timeouts)?;
        let place = self.updates.clone().try_reserve_owned().map_err(|_| ChangeError::Busy)?;
        Ok(PreparedCameras { cameras: self.clone(), configured, place })
    }

    /// Gives the gateway these cameras in the place of those that it keeps itself.
    pub(crate) async fn set_stored(&self, stored: Vec<CameraConfig>) {
        // Fails once the gateway is stopping; its cameras do not matter then.
        let Ok(permit) = self.updates.reserve().await else { return };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let before = current.running();
        current.stored = with_timeouts(stored, self.timeouts);
        let (_, updates) = differences(&before, &current.running());
        permit.send(updates);
        self.places.send_replace(current.places());
    }

    /// Adds a camera that was probed. The core forgets it by itself.
    pub(crate) async fn put_provisional(&self, camera: CameraConfig) {
        let camera = camera.with_timeouts(self.timeouts);
        let settings = CameraSettings { provisional: true, ..camera.settings() };
        let change = CameraChange::Put(settings);
        let update = Update { change, sources: Some(camera.into_sources()) };
        // Fails once the gateway is stopping; its cameras do not matter then.
        let _ = self.updates.send(vec![update]).await;
    }

    /// Returns the camera with this id, if it runs and was not only probed.
    pub(crate) fn camera(&self, id: &CameraId) -> Option<CameraConfig> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        find(&current.configured, id).or_else(|| find(&current.stored, id)).cloned()
    }

    /// Returns the cameras of the configuration.
    pub(crate) fn configured(&self) -> Vec<CameraConfig> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).configured.clone()
    }
}

/// Cameras that have been checked, with a place in the queue of changes.
#[must_use]
#[derive(Debug)]
pub struct PreparedCameras {
    cameras: Cameras,
    configured: Vec<CameraConfig>,
    place: mpsc::OwnedPermit<Vec<Update>>,
}

impl PreparedCameras {
    /// Gives them to the gateway in the place of those of its configuration. Returns the
    /// differences.
    pub fn apply(self) -> Vec<Difference> {
        let Self { cameras, configured, place } = self;
        // Held while the changes are queued, so that they arrive in the order of the calls.
        let mut current = cameras.current.lock().unwrap_or_else(PoisonError::into_inner);
        let new = Sets { configured, stored: current.stored.clone() };
        let (differences, updates) = differences(&current.running(), &new.running());
        if !updates.is_empty() {
            place.send(updates);
        }
        *current = new;
        cameras.places.send_replace(current.places());
        differences
    }
}

fn with_timeouts(cameras: Vec<CameraConfig>, timeouts: ingest::Timeouts) -> Vec<CameraConfig> {
    cameras.into_iter().map(|camera| camera.with_timeouts(timeouts)).collect()
}

fn prepared(
    cameras: Vec<CameraConfig>,
    timeouts: ingest::Timeouts,
) -> Result<Vec<CameraConfig>, StartError> {
    let prepare = |camera: CameraConfig| {
        camera.check()?;
        Ok(camera.with_timeouts(timeouts))
    };
    cameras.into_iter().map(prepare).collect()
}

fn differences(old: &[CameraConfig], new: &[CameraConfig]) -> (Vec<Difference>, Vec<Update>) {
    let removed = old.iter().filter(|camera| find(new, &camera.id).is_none()).map(|camera| {
        let change = CameraChange::Removed(camera.id.clone());
        (Difference::Removed(camera.id.clone()), Update { change, sources: Some(Vec::new()) })
    });
    let others = new.iter().filter_map(|camera| {
        let id = camera.id.clone();
        let put = || Update {
            change: CameraChange::Put(camera.settings()),
            sources: Some(camera.clone().into_sources()),
        };
        match find(old, &id) {
            None => Some((Difference::Added(id), put())),
            Some(known) if known == camera => None,
            Some(known) if known.has_sources_of(camera) => {
                let is_renamed = known.name != camera.name;
                let difference =
                    if is_renamed { Difference::Renamed } else { Difference::Adjusted };
                let change = CameraChange::Adjusted {
                    id: id.clone(),
                    name: camera.name.clone(),
                    on_demand: camera.on_demand,
                    picture: camera.picture,
                };
                Some((difference(id), Update { change, sources: None }))
            }
            Some(_) => Some((Difference::Changed(id), put())),
        }
    });
    removed.chain(others).unzip()
}

fn find<'a>(cameras: &'a [CameraConfig], id: &CameraId) -> Option<&'a CameraConfig> {
    cameras.iter().find(|camera| camera.id == *id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(id: &str, name: &str, source: &str, sub: Option<&str>) -> CameraConfig {
        CameraConfig {
            id: id.parse().unwrap(),
            name: name.to_owned(),
            source: source.parse().unwrap(),
            sub_source: sub.map(|source| source.parse().unwrap()),
            on_demand: false,
            picture: Picture::default(),
            onvif: None,
        }
    }

    #[test]
    fn only_what_differs_is_changed() {
        let door = || camera("door", "Door", "rtsp://192.168.1.20/a", None);
        let yard = || camera("yard", "Yard", "rtsp://192.168.1.21/a", None);
        type Case = (&'static str, Vec<CameraConfig>, Vec<&'static str>);
        let table: Vec<Case> = vec![
            ("nothing", vec![yard(), door()], vec![]),
            (
                "one more",
                vec![door(), yard(), camera("gate", "Gate", "test:", None)],
                vec!["gate added"],
            ),
            ("one less", vec![door()], vec!["yard removed"]),
            (
                "a name",
                vec![camera("door", "Gate", "rtsp://192.168.1.20/a", None), yard()],
                vec!["door renamed"],
            ),
            (
                "how it is shown and connected",
                vec![
                    CameraConfig {
                        on_demand: true,
                        picture: Picture { rotation: 180, mirrored: false },
                        ..door()
                    },
                    yard(),
                ],
                vec!["door adjusted"],
            ),
            (
                "a name and an address",
                vec![camera("door", "Gate", "rtsp://192.168.1.22/a", None), yard()],
                vec!["door changed"],
            ),
            (
                "a password",
                vec![camera("door", "Door", "rtsp://a:b@192.168.1.20/a", None), yard()],
                vec!["door changed"],
            ),
            (
                "a sub stream",
                vec![camera("door", "Door", "rtsp://192.168.1.20/a", Some("test:")), yard()],
                vec!["door changed"],
            ),
            (
                "another id",
                vec![camera("d", "Door", "rtsp://192.168.1.20/a", None), yard()],
                vec!["door removed", "d added"],
            ),
        ];
        for (case, new, expected) in table {
            let (differences, updates) = differences(&[door(), yard()], &new);
            let words: Vec<_> = differences.iter().map(ToString::to_string).collect();
            assert_eq!(words, expected, "{case}");
            assert_eq!(updates.len(), expected.len(), "{case}");
        }
    }

    #[test]
    fn a_change_that_is_refused_changes_nothing() {
        let (updates, mut received) = mpsc::channel(1);
        let (places, _) = watch::channel(Places::new());
        let door = camera("door", "Door", "test:", None);
        let timeouts = ingest::Timeouts::default();
        let (cameras, initial) =
            Cameras::new(vec![door.clone()], Vec::new(), timeouts, updates, places).unwrap();
        assert_eq!(initial.len(), 1);
        let long = camera(&"x".repeat(64), "Long", "test:", Some("test:"));
        assert!(matches!(cameras.set(vec![long]), Err(ChangeError::Camera(_))));
        assert_eq!(cameras.set(vec![door.clone()]).unwrap(), []);
        assert!(received.try_recv().is_err(), "nothing was changed");
        assert_eq!(cameras.set(Vec::new()).unwrap().len(), 1);
        // The driver has not taken the last change yet.
        assert!(matches!(cameras.set(vec![door.clone()]), Err(ChangeError::Busy)));
        received.try_recv().unwrap();
        let prepared = cameras.prepare(vec![door.clone()]).unwrap();
        assert!(received.try_recv().is_err(), "it is not applied yet");
        assert!(matches!(cameras.prepare(Vec::new()), Err(ChangeError::Busy)), "it has the place");
        assert_eq!(prepared.apply().len(), 1);
        received.try_recv().unwrap();
        drop(cameras.prepare(Vec::new()).unwrap());
        assert_eq!(cameras.set(vec![door]).unwrap(), [], "what was dropped is not applied");
    }
}
