//! Who somebody is and which cameras they may see.

use porthole_signaling_proto::{CameraId, rest::Role};
use std::collections::BTreeSet;

/// Somebody whose token or cookie was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The user or the token: who owns the sessions begun with it. Survives signing in again.
    pub subject: String,
    /// The cookie or the token itself, by a name that is no secret: what can be revoked.
    pub credential: String,
    /// What people call them.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Which cameras they may see.
    pub scope: Scope,
    /// When the credential ends, in seconds since 1970.
    pub expires_s: Option<u64>,
}

/// A set of cameras.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every camera, also those to come.
    All,
    /// These, whether they exist yet or not.
    Only(BTreeSet<CameraId>),
}

impl Principal {
    /// Whether they may see this camera.
    pub fn may_see(&self, camera: &CameraId) -> bool {
        match &self.scope {
            Scope::All => true,
            Scope::Only(cameras) => cameras.contains(camera),
        }
    }

    /// Whether the credential has ended.
    pub fn is_expired(&self, unix_s: u64) -> bool {
        self.expires_s.is_some_and(|end| end <= unix_s)
    }
}
