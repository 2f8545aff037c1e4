//! The rights of a link that shows cameras.

use std::collections::BTreeMap;

use porthole_signaling_proto::{CameraId, GatewayId};

use super::{Expiry, Gift, Grant, Permission, Permissions, Rights};

/// The access that a link gives: cameras that are watched until an hour, and nothing else. Nobody
/// turns a camera with a link, or gives it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharing {
    /// The cameras of these gateways; true for those that are heard, too.
    pub cameras: BTreeMap<(GatewayId, CameraId), bool>,
    /// The time at which it ends, in seconds since 1970. Every link ends.
    pub end_s: u64,
    /// The most that each gateway sends at a time to all who use it, in kbit/s.
    pub max_kbit_per_s: Option<u32>,
}

impl Gift for Sharing {
    const WAY: Permission = Permission::Share;

    fn rights(&self) -> Rights {
        let watch = Permissions::NONE.with(Permission::List).with(Permission::Watch);
        let of = |(permissions, heard): (Permissions, bool)| {
            let same = self.cameras.iter().filter(move |(_, listen)| **listen == heard);
            let objects = same.map(|(camera, _)| camera.clone()).collect();
            Grant::new(permissions, objects, self.expiry())
        };
        Rights::new([(watch, false), (watch.with(Permission::Listen), true)].map(of).to_vec())
    }

    fn expiry(&self) -> Expiry {
        Expiry::At(self.end_s)
    }

    fn max_kbit_per_s(&self) -> Option<u32> {
        self.max_kbit_per_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Object;

    #[test]
    fn a_link_shows_its_cameras_with_or_without_sound_until_its_hour_and_does_nothing_else() {
        let key = |gateway: &str, camera: &str| (gateway.parse().unwrap(), camera.parse().unwrap());
        let cameras = [(key("gw-a", "door"), false), (key("gw-b", "yard"), true)];
        let cameras = cameras.into_iter().collect();
        let sharing = Sharing { cameras, end_s: 50, max_kbit_per_s: None };
        let rights = sharing.rights();
        assert_eq!(rights.expiry(), Expiry::At(50));
        for (gateway, camera, [watches, hears]) in [
            ("gw-a", "door", [true, false]),
            ("gw-a", "door.sub", [true, false]),
            ("gw-b", "yard", [true, true]),
            ("gw-b", "door", [false, false]),
            ("gw-a", "yard", [false, false]),
        ] {
            let (gateway, camera) = key(gateway, camera);
            let object = Object::Camera { camera: &camera, gateway: Some(&gateway) };
            for permission in Permission::ALL {
                let expected = match permission {
                    Permission::List | Permission::Watch => watches,
                    Permission::Listen => hears,
                    Permission::Talk
                    | Permission::Control
                    | Permission::Manage
                    | Permission::ViewGateways
                    | Permission::RunGateways
                    | Permission::ViewPeople
                    | Permission::RunPeople
                    | Permission::ViewShares
                    | Permission::Share
                    | Permission::ReadLog
                    | Permission::Own => false,
                };
                let found = rights.until(permission, object);
                let expected = expected.then_some(Expiry::At(50));
                assert_eq!(found, expected, "{permission:?} {gateway} {camera}");
            }
        }
    }
}
