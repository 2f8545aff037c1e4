//! The cameras of a gateway, which can be changed while it runs.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use porthole_gateway_core::camera::{CameraChange, CameraSettings, StreamId};
use porthole_signaling_proto::CameraId;
use tokio::sync::mpsc;

use crate::StartError;
use crate::ingest::{self, Source};

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
}

impl CameraConfig {
    fn settings(&self) -> CameraSettings {
        CameraSettings {
            id: self.id.clone(),
            name: self.name.clone(),
            on_demand: self.on_demand,
            has_sub: self.sub_source.is_some(),
        }
    }

    fn into_sources(self) -> Vec<(StreamId, Source)> {
        let sub = self.sub_source.map(|source| (StreamId::sub(self.id.clone()), source));
        let main = (StreamId::main(self.id), self.source);
        std::iter::once(main).chain(sub).collect()
    }

    fn check(&self) -> Result<(), StartError> {
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
    /// A camera has another name.
    Renamed(CameraId),
    /// A camera is gone.
    Removed(CameraId),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(id) => write!(f, "{id} added"),
            Self::Changed(id) => write!(f, "{id} changed"),
            Self::Renamed(id) => write!(f, "{id} renamed"),
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

/// The cameras of a gateway. A clone changes the same gateway.
#[derive(Debug, Clone)]
pub struct Cameras {
    current: Arc<Mutex<Vec<CameraConfig>>>,
    timeouts: ingest::Timeouts,
    updates: mpsc::Sender<Vec<Update>>,
}

impl Cameras {
    /// Holds the cameras of a gateway that starts. Returns them as the changes that lead there.
    pub(crate) fn new(
        cameras: Vec<CameraConfig>,
        timeouts: ingest::Timeouts,
        updates: mpsc::Sender<Vec<Update>>,
    ) -> Result<(Self, Vec<Update>), StartError> {
        let cameras = prepared(cameras, timeouts)?;
        let (_, initial) = differences(&[], &cameras);
        Ok((Self { current: Arc::new(Mutex::new(cameras)), timeouts, updates }, initial))
    }

    /// Gives the gateway these cameras in the place of its present ones, and returns the
    /// differences. Cameras that stay as they are, and their viewers, notice nothing.
    ///
    /// # Errors
    /// Fails without a change if a camera cannot be configured like this, or if the gateway has
    /// ended or takes no changes now.
    pub fn set(&self, cameras: Vec<CameraConfig>) -> Result<Vec<Difference>, ChangeError> {
        let cameras = prepared(cameras, self.timeouts)?;
        // Held while the changes are queued, so that they arrive in the order of the calls.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let (differences, updates) = differences(&current, &cameras);
        if !updates.is_empty() {
            self.updates.try_send(updates).map_err(|_| ChangeError::Busy)?;
        }
        *current = cameras;
        Ok(differences)
    }
}

fn prepared(
    cameras: Vec<CameraConfig>,
    timeouts: ingest::Timeouts,
) -> Result<Vec<CameraConfig>, StartError> {
    let prepare = |camera: CameraConfig| {
        camera.check()?;
        Ok(CameraConfig {
            source: camera.source.with_timeouts(timeouts),
            sub_source: camera.sub_source.map(|source| source.with_timeouts(timeouts)),
            ..camera
        })
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
            Some(known)
                if *known == (CameraConfig { name: known.name.clone(), ..camera.clone() }) =>
            {
                let name = camera.name.clone();
                let change = CameraChange::Renamed { id: id.clone(), name };
                Some((Difference::Renamed(id), Update { change, sources: None }))
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
        let door = camera("door", "Door", "test:", None);
        let timeouts = ingest::Timeouts::default();
        let (cameras, initial) = Cameras::new(vec![door.clone()], timeouts, updates).unwrap();
        assert_eq!(initial.len(), 1);
        let long = camera(&"x".repeat(64), "Long", "test:", Some("test:"));
        assert!(matches!(cameras.set(vec![long]), Err(ChangeError::Camera(_))));
        assert_eq!(cameras.set(vec![door.clone()]).unwrap(), []);
        assert!(received.try_recv().is_err(), "nothing was changed");
        assert_eq!(cameras.set(Vec::new()).unwrap().len(), 1);
        // The driver has not taken the last change yet.
        assert!(matches!(cameras.set(vec![door.clone()]), Err(ChangeError::Busy)));
        received.try_recv().unwrap();
        assert_eq!(cameras.set(vec![door]).unwrap().len(), 1);
    }
}
