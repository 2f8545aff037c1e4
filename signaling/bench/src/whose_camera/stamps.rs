//! Stamps and numbers: everything that is sent about a session names the gateway and the camera
//! that it comes from or is meant for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use porthole_signaling_proto::{CameraId, GatewayId, SessionId};

/// The most wrong deliveries that are told of in full.
const MOST_FAULTS: usize = 20;

/// Camera of a gateway that somebody has asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) gateway: GatewayId,
    pub(crate) camera: CameraId,
}

impl Wanted {
    /// Returns the stamp of a session of a WebSocket.
    pub(crate) fn stamp(&self, session: &SessionId) -> String {
        format!("{} {} {session}", self.gateway, self.camera)
    }

    /// Returns the stamp of an offer by WHEP, whose sender does not know the session yet.
    pub(crate) fn whep_stamp(&self, number: u64) -> String {
        format!("{} {} whep{number}.", self.gateway, self.camera)
    }
}

/// Numbers of what has happened in a run.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) asked: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) compared: AtomicU64,
    pub(crate) wrong: AtomicU64,
    pub(crate) answered: AtomicU64,
    pub(crate) cut: AtomicU64,
    pub(crate) revoked: AtomicU64,
    pub(crate) restarted: AtomicU64,
    faults: Mutex<Vec<String>>,
}

impl Counts {
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Compares what has arrived with what was meant for its receiver.
    pub(crate) fn compare(&self, found: &str, is_right: bool, receiver: &str) {
        Self::add(&self.compared);
        if !is_right {
            Self::add(&self.wrong);
            let mut faults = self.told();
            if faults.len() < MOST_FAULTS {
                faults.push(format!("{receiver} receives {found}"));
            }
        }
    }

    /// Returns the first wrong deliveries, in words.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.told().clone()
    }

    fn told(&self) -> MutexGuard<'_, Vec<String>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        write!(
            f,
            "{} sessions asked for, {} refused, {} answered; {} deliveries compared, {} wrong; \
             {} connections cut, {} tokens revoked, {} restarts",
            of(&self.asked),
            of(&self.refused),
            of(&self.answered),
            of(&self.compared),
            of(&self.wrong),
            of(&self.cut),
            of(&self.revoked),
            of(&self.restarted),
        )
    }
}
