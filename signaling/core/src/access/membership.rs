//! The rights of a user: those of its role and, for a viewer, the cameras that it may use.

use std::collections::BTreeMap;

use porthole_signaling_proto::rest::Role;
use porthole_signaling_proto::{CameraId, GatewayId};

use super::{Expiry, Gift, Grant, Objects, Permission, Permissions, Rights};

/// The ways in which a viewer may use a camera, besides watching it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CameraUse {
    /// True if the viewer may hear it.
    pub listen: bool,
    /// True if the viewer may turn it.
    pub control: bool,
}

impl CameraUse {
    const EACH: [Self; 4] = [
        Self { listen: false, control: false },
        Self { listen: false, control: true },
        Self { listen: true, control: false },
        Self { listen: true, control: true },
    ];
    /// The use of whoever may do everything.
    pub const FULL: Self = Self { listen: true, control: true };

    const fn permissions(self) -> Permissions {
        let mut permissions = Permissions::NONE.with(Permission::List).with(Permission::Watch);
        if self.listen {
            permissions = permissions.with(Permission::Listen);
        }
        if self.control {
            permissions = permissions.with(Permission::Control);
        }
        permissions
    }
}

/// The cameras that a viewer may watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Viewed {
    /// All cameras, including ones added later.
    All(CameraUse),
    /// These cameras of these gateways, which need not exist yet; none if it is empty.
    Each(BTreeMap<(GatewayId, CameraId), CameraUse>),
}

/// The rights of a user, which do not end by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The role of the user.
    pub role: Role,
    /// The cameras of a viewer. For the other roles it has no meaning.
    pub viewed: Viewed,
}

impl Membership {
    /// Creates the rights of a role on all cameras. A viewer hears them and does not turn them.
    pub fn of_role(role: Role) -> Self {
        let control = match role {
            Role::Viewer => false,
            Role::Admin | Role::Owner => true,
        };
        Self { role, viewed: Viewed::All(CameraUse { listen: true, control }) }
    }
}

impl Gift for Membership {
    const WAY: Permission = Permission::RunPeople;

    fn rights(&self) -> Rights {
        let grant =
            |usage: CameraUse, objects| Grant::new(usage.permissions(), objects, Expiry::Never);
        match (self.role, &self.viewed) {
            (Role::Owner | Role::Admin, _) => {
                Rights::of_role(self.role, Objects::All, Expiry::Never)
            }
            (Role::Viewer, Viewed::All(usage)) => Rights::new(vec![grant(*usage, Objects::All)]),
            // A viewer without any camera has rights that do not end, too: on nothing. Since there
            // is no object to compare, only those who may give everything make one.
            (Role::Viewer, Viewed::Each(cameras)) if cameras.is_empty() => {
                Rights::new(vec![Grant::new(Permissions::NONE, Objects::All, Expiry::Never)])
            }
            (Role::Viewer, Viewed::Each(cameras)) => {
                let of = |usage: CameraUse| {
                    let same = cameras.iter().filter(move |(_, other)| **other == usage);
                    grant(usage, same.map(|(camera, _)| camera.clone()).collect())
                };
                Rights::new(CameraUse::EACH.map(of).to_vec())
            }
        }
    }

    fn expiry(&self) -> Expiry {
        Expiry::Never
    }

    fn max_kbit_per_s(&self) -> Option<u32> {
        // People have no limit, also in what they get later.
        None
    }

    fn includes_later(&self) -> bool {
        match self.role {
            Role::Owner | Role::Admin => true,
            Role::Viewer => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Object;

    #[test]
    fn a_viewer_has_each_camera_in_its_own_way_and_no_other() {
        let key = |gateway: &str, camera: &str| (gateway.parse().unwrap(), camera.parse().unwrap());
        let cameras = [
            (key("gw-a", "door"), CameraUse { listen: false, control: false }),
            (key("gw-a", "yard"), CameraUse { listen: true, control: false }),
            (key("gw-b", "door"), CameraUse::FULL),
        ];
        let viewed = Viewed::Each(cameras.into_iter().collect());
        let rights = Membership { role: Role::Viewer, viewed }.rights();
        for (gateway, camera, expected) in [
            ("gw-a", "door", [true, false, false]),
            ("gw-a", "door.sub", [true, false, false]),
            ("gw-a", "yard", [true, true, false]),
            ("gw-b", "door", [true, true, true]),
            ("gw-b", "yard", [false; 3]),
        ] {
            let (gateway, camera) = key(gateway, camera);
            let object = Object::Camera { camera: &camera, gateway: Some(&gateway) };
            let found = [Permission::Watch, Permission::Listen, Permission::Control]
                .map(|permission| rights.until(permission, object).is_some());
            assert_eq!(found, expected, "{gateway} {camera}");
            assert_eq!(rights.until(Permission::Manage, Object::Gateway(&gateway)), None);
        }
        let nothing = Membership { role: Role::Viewer, viewed: Viewed::Each(BTreeMap::new()) };
        assert_eq!(nothing.rights().expiry(), Expiry::Never, "it is no expired credential");
        assert_eq!(nothing.rights().until(Permission::Watch, Object::Everything), None);
    }
}
