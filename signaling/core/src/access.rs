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
    /// Whether they may see this camera; its smaller stream shows the same.
    pub fn may_see(&self, camera: &CameraId) -> bool {
        match &self.scope {
            Scope::All => true,
            Scope::Only(cameras) => {
                let main = camera.main_stream();
                cameras.contains(camera) || main.is_some_and(|main| cameras.contains(&main))
            }
        }
    }

    /// Whether the credential has ended.
    pub fn is_expired(&self, unix_s: u64) -> bool {
        self.expires_s.is_some_and(|end| end <= unix_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_covers_a_camera_and_its_smaller_stream() {
        let id = |text: &str| text.parse::<CameraId>().unwrap();
        let principal = |scope| Principal {
            subject: "user:1".to_owned(),
            credential: "token:1".to_owned(),
            name: "ada".to_owned(),
            role: Role::Viewer,
            scope,
            expires_s: None,
        };
        for (granted, camera, expected) in [
            (None, "door", true),
            (Some("door"), "door", true),
            (Some("door"), "door.sub", true),
            (Some("door.sub"), "door", false),
            (Some("door"), "yard", false),
            (Some("door"), "door2.sub", false),
        ] {
            let scope = granted.map_or(Scope::All, |granted| Scope::Only([id(granted)].into()));
            assert_eq!(principal(scope).may_see(&id(camera)), expected, "{granted:?} {camera}");
        }
    }
}
