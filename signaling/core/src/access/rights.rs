//! Rights as values: permissions on objects, until they expire.

use std::collections::{BTreeMap, BTreeSet};

use porthole_signaling_proto::rest::Role;
use porthole_signaling_proto::{CameraId, GatewayId};

/// A way to use an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Seeing a camera, its picture and its state.
    Watch,
    /// Hearing the sound of a camera.
    Listen,
    /// Speaking through the loudspeaker of a camera.
    Talk,
    /// Turning a camera, and zooming.
    Control,
    /// Adding, changing and removing the cameras of a gateway.
    Manage,
    /// Changing who has access to the server: gateways, tokens, people.
    Administer,
}

impl Permission {
    const fn bit(self) -> u8 {
        match self {
            Self::Watch => 1,
            Self::Listen => 1 << 1,
            Self::Talk => 1 << 2,
            Self::Control => 1 << 3,
            Self::Manage => 1 << 4,
            Self::Administer => 1 << 5,
        }
    }
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Permissions(u8);

impl Permissions {
    /// The empty set of permissions.
    pub const NONE: Self = Self(0);

    /// Returns this set and one more permission.
    #[must_use]
    pub const fn with(self, permission: Permission) -> Self {
        Self(self.0 | permission.bit())
    }

    const fn without(self, permission: Permission) -> Self {
        Self(self.0 & !permission.bit())
    }

    const fn has(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }
}

/// The permissions of whoever may watch.
const OF_VIEWERS: Permissions = Permissions::NONE.with(Permission::Watch).with(Permission::Listen);
/// The permissions of an admin on the cameras that it sees.
const OF_ADMINS_ON_CAMERAS: Permissions =
    OF_VIEWERS.with(Permission::Talk).with(Permission::Control);
/// The permissions of an admin on the server.
const OF_ADMINS: Permissions =
    Permissions::NONE.with(Permission::Manage).with(Permission::Administer);

/// The objects of a grant. Groups of cameras will be a variant of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objects {
    /// The server, its gateways and their cameras, including ones added later.
    All,
    /// The gateways with these ids and all their cameras, including ones added later.
    Gateways(BTreeSet<GatewayId>),
    /// The cameras with these ids at these gateways, which need not exist yet. A camera with the
    /// same id at another gateway is another object.
    Cameras(BTreeMap<GatewayId, BTreeSet<CameraId>>),
}

impl FromIterator<(GatewayId, CameraId)> for Objects {
    fn from_iter<T: IntoIterator<Item = (GatewayId, CameraId)>>(pairs: T) -> Self {
        let mut cameras = BTreeMap::<_, BTreeSet<_>>::new();
        for (gateway, camera) in pairs {
            cameras.entry(gateway).or_default().insert(camera);
        }
        Self::Cameras(cameras)
    }
}

impl Objects {
    /// Returns true if the object is one of these. A camera's sub stream shows the same picture,
    /// so a camera covers it.
    fn cover(&self, object: Object<'_>) -> bool {
        match (self, object) {
            (Self::All, _) => true,
            (
                Self::Gateways(gateways),
                Object::Gateway(gateway) | Object::Camera { gateway: Some(gateway), .. },
            ) => gateways.contains(gateway),
            (Self::Cameras(cameras), Object::Camera { camera, gateway: Some(gateway) }) => {
                let has = |id: &CameraId| cameras.get(gateway).is_some_and(|ids| ids.contains(id));
                has(camera) || camera.main_stream().is_some_and(|main| has(&main))
            }
            (Self::Gateways(_), Object::Everything | Object::Camera { gateway: None, .. })
            | (
                Self::Cameras(_),
                Object::Everything | Object::Gateway(_) | Object::Camera { gateway: None, .. },
            ) => false,
        }
    }
}

/// An object that somebody wants to use.
#[derive(Debug, Clone, Copy)]
pub enum Object<'a> {
    /// The whole server, with everything that will ever belong to it.
    Everything,
    /// One gateway of the server.
    Gateway(&'a GatewayId),
    /// One camera or stream.
    Camera {
        /// The id of the camera or of its sub stream.
        camera: &'a CameraId,
        /// The gateway of the camera; `None` if no gateway has a camera with this id.
        gateway: Option<&'a GatewayId>,
    },
}

/// The end of a right. The order is that of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expiry {
    /// The right ends at this time, in seconds since 1970.
    At(u64),
    /// The right does not end by itself.
    Never,
}

impl Expiry {
    /// Returns true from the end on. `unix_s` is the time in seconds since 1970.
    pub fn is_past(self, unix_s: u64) -> bool {
        match self {
            Self::At(end_s) => end_s <= unix_s,
            Self::Never => false,
        }
    }
}

impl From<Option<u64>> for Expiry {
    fn from(end_s: Option<u64>) -> Self {
        end_s.map_or(Self::Never, Self::At)
    }
}

/// Permissions on some objects, until they expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    permissions: Permissions,
    objects: Objects,
    expiry: Expiry,
}

impl Grant {
    /// Creates a grant of all these permissions on each of the objects.
    pub fn new(permissions: Permissions, objects: Objects, expiry: Expiry) -> Self {
        Self { permissions, objects, expiry }
    }
}

/// The rights of a principal: the sum of its grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    grants: Vec<Grant>,
}

impl Rights {
    /// Creates the rights that these grants give together.
    pub fn new(grants: Vec<Grant>) -> Self {
        Self { grants }
    }

    /// Returns the rights of a role. `objects` limits the cameras that it sees, not what an admin
    /// may do with the server.
    pub fn of_role(role: Role, objects: Objects, expiry: Expiry) -> Self {
        let grants = match role {
            Role::Viewer => vec![Grant::new(OF_VIEWERS, objects, expiry)],
            Role::Admin => vec![
                Grant::new(OF_ADMINS_ON_CAMERAS, objects, expiry),
                Grant::new(OF_ADMINS, Objects::All, expiry),
            ],
        };
        Self::new(grants)
    }

    /// Adds the permission to turn the cameras that may be watched.
    pub(super) fn allow_control(&mut self) {
        let watching = self.grants.iter_mut();
        for grant in watching.filter(|grant| grant.permissions.has(Permission::Watch)) {
            grant.permissions = grant.permissions.with(Permission::Control);
        }
    }

    /// Takes the permission to hear cameras away.
    pub(super) fn withhold_listening(&mut self) {
        for grant in &mut self.grants {
            grant.permissions = grant.permissions.without(Permission::Listen);
        }
    }

    /// Returns the end of a permission on an object, which may be past; `None` if it was never
    /// granted.
    pub fn until(&self, permission: Permission, object: Object<'_>) -> Option<Expiry> {
        let has = |grant: &&Grant| grant.permissions.has(permission) && grant.objects.cover(object);
        self.grants.iter().filter(has).map(|grant| grant.expiry).max()
    }

    /// Returns the end of the last right; 1970 if there is none.
    pub fn expiry(&self) -> Expiry {
        self.grants.iter().map(|grant| grant.expiry).max().unwrap_or(Expiry::At(0))
    }
}
