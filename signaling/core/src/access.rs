//! Authenticated principals and the cameras they may see.

use std::collections::BTreeSet;

use porthole_clock::Now;
use porthole_signaling_proto::CameraId;
use porthole_signaling_proto::rest::Role;
use porthole_signaling_proto::rpc::{Fault, code};

/// An authenticated user or access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The user or token that owns the sessions started with this credential. It stays the same
    /// when a user signs in again.
    pub subject: String,
    /// A non-secret name of the cookie or token itself, by which it can be revoked.
    pub credential: String,
    /// The display name of the user or token.
    pub name: String,
    /// The role of the user or token.
    pub role: Role,
    /// The cameras it may see.
    pub scope: Scope,
    /// The expiry of the credential in seconds since 1970; `None` if it does not expire.
    pub expires_s: Option<u64>,
}

/// A set of cameras.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every camera, including ones added later.
    All,
    /// The cameras with these ids, which need not exist yet.
    Only(BTreeSet<CameraId>),
}

impl Principal {
    /// Returns true if it may see this camera. A camera's scope covers its sub stream, which shows
    /// the same picture.
    pub fn may_see(&self, camera: &CameraId) -> bool {
        match &self.scope {
            Scope::All => true,
            Scope::Only(cameras) => {
                let main = camera.main_stream();
                cameras.contains(camera) || main.is_some_and(|main| cameras.contains(&main))
            }
        }
    }

    /// Returns true once the credential has expired. `unix_s` is the time in seconds since 1970.
    pub fn is_expired(&self, unix_s: u64) -> bool {
        self.expires_s.is_some_and(|end| end <= unix_s)
    }

    /// Refuses an expired credential.
    pub(crate) fn check_expiry(&self, now: Now) -> Result<(), Fault> {
        if self.is_expired(now.unix_s) { Err(expired()) } else { Ok(()) }
    }
}

pub(crate) fn expired() -> Fault {
    Fault::new(code::UNAUTHORIZED, "the access token has expired; sign in or use a new one")
}

pub(crate) fn forbidden() -> Fault {
    Fault::new(code::FORBIDDEN, "this access token does not allow that camera")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_covers_a_camera_and_its_sub_stream() {
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
