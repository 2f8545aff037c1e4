//! Rights as values: permissions on objects, until they expire.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use porthole_signaling_proto::rest::Role;
use porthole_signaling_proto::{CameraId, GatewayId};

/// A way to use an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Seeing that a camera is there, and its state.
    List,
    /// Seeing the picture of a camera.
    Watch,
    /// Hearing the sound of a camera.
    Listen,
    /// Speaking through the loudspeaker of a camera.
    Talk,
    /// Turning a camera, and zooming.
    Control,
    /// Adding, changing and removing the cameras of a gateway.
    Manage,
    /// Listing gateways, and the claim codes for new ones.
    ViewGateways,
    /// Enrolling, naming and removing gateways. To give this on is to give a claim code.
    RunGateways,
    /// Listing people, access tokens, invitations and sign-ins.
    ViewPeople,
    /// Deciding who has access: people, access tokens, invitations and sign-ins. On a camera, it is
    /// to give others access to it, no more than the giver has.
    RunPeople,
    /// Listing the links that show cameras.
    ViewShares,
    /// Making and revoking links that show cameras, no more than the giver sees.
    Share,
    /// Reading the audit log.
    ReadLog,
    /// Deciding who owns the server, and what becomes of its owners.
    Own,
}

impl Permission {
    pub(super) const ALL: [Self; 14] = [
        Self::List,
        Self::Watch,
        Self::Listen,
        Self::Talk,
        Self::Control,
        Self::Manage,
        Self::ViewGateways,
        Self::RunGateways,
        Self::ViewPeople,
        Self::RunPeople,
        Self::ViewShares,
        Self::Share,
        Self::ReadLog,
        Self::Own,
    ];

    const fn bit(self) -> u16 {
        match self {
            Self::List => 1,
            Self::Watch => 1 << 1,
            Self::Listen => 1 << 2,
            Self::Talk => 1 << 3,
            Self::Control => 1 << 4,
            Self::Manage => 1 << 5,
            Self::ViewGateways => 1 << 6,
            Self::RunGateways => 1 << 7,
            Self::ViewPeople => 1 << 8,
            Self::RunPeople => 1 << 9,
            Self::ViewShares => 1 << 10,
            Self::Share => 1 << 11,
            Self::ReadLog => 1 << 12,
            Self::Own => 1 << 13,
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::List => "listing",
            Self::Watch => "watching",
            Self::Listen => "listening to",
            Self::Talk => "speaking through",
            Self::Control => "turning",
            Self::Manage => "managing",
            Self::ViewGateways => "listing the gateways of",
            Self::RunGateways => "adding gateways to",
            Self::ViewPeople => "listing the people of",
            Self::RunPeople => "giving others access to",
            Self::ViewShares => "listing the share links of",
            Self::Share => "sharing",
            Self::ReadLog => "reading the log of",
            Self::Own => "owning",
        })
    }
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Permissions(u16);

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

    /// Returns the permissions of this set that are not in another.
    pub(super) const fn except(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) const fn has(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |permission| self.has(*permission))
    }
}

/// The permissions of whoever may watch.
const OF_VIEWERS: Permissions =
    Permissions::NONE.with(Permission::List).with(Permission::Watch).with(Permission::Listen);
/// The permissions of an admin. Those on gateways and on the server have no effect for an admin of
/// some cameras only.
const OF_ADMINS: Permissions = OF_VIEWERS
    .with(Permission::Talk)
    .with(Permission::Control)
    .with(Permission::Manage)
    .with(Permission::ViewGateways)
    .with(Permission::RunGateways)
    .with(Permission::ViewPeople)
    .with(Permission::RunPeople)
    .with(Permission::ViewShares)
    .with(Permission::Share)
    .with(Permission::ReadLog);
/// The permissions of an owner.
const OF_OWNERS: Permissions = OF_ADMINS.with(Permission::Own);

impl Permissions {
    /// Returns the permissions of a role.
    pub(super) const fn of_role(role: Role) -> Self {
        match role {
            Role::Viewer => OF_VIEWERS,
            Role::Admin => OF_ADMINS,
            Role::Owner => OF_OWNERS,
        }
    }
}

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

impl fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("the server with all its cameras"),
            Self::Gateway(gateway) => write!(f, "the gateway `{gateway}`"),
            // Whose camera it is stays unsaid: the giver need not know that there is another.
            Self::Camera { camera, .. } => write!(f, "the camera `{camera}`"),
        }
    }
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

impl Grant {
    fn excess_over(&self, giver: &Rights, way: Permission) -> Option<Excess> {
        match &self.objects {
            Objects::All => self.excess_on(giver, way, Object::Everything),
            Objects::Gateways(gateways) => {
                gateways.iter().find_map(|id| self.excess_on(giver, way, Object::Gateway(id)))
            }
            Objects::Cameras(cameras) => {
                let each = cameras.iter().flat_map(|(id, ids)| ids.iter().map(move |c| (id, c)));
                let mut objects =
                    each.map(|(gateway, camera)| Object::Camera { camera, gateway: Some(gateway) });
                objects.find_map(|object| self.excess_on(giver, way, object))
            }
        }
    }

    /// Returns what of these permissions on an object is more than the giver has, with the one that
    /// this way of giving needs.
    fn excess_on(&self, giver: &Rights, way: Permission, object: Object<'_>) -> Option<Excess> {
        // The way first: whoever gives nothing on an object is told no more about it.
        let needed = [way].into_iter().chain(self.permissions.iter());
        let mut excess = needed.filter_map(|permission| match giver.until(permission, object) {
            None => Some(Excess::Permission(permission, object.to_string())),
            Some(Expiry::At(end_s)) if Expiry::At(end_s) < self.expiry => {
                Some(Excess::Expiry(end_s))
            }
            Some(Expiry::At(_) | Expiry::Never) => None,
        });
        excess.next()
    }
}

/// A right that is more than its giver has.
#[derive(Debug)]
pub(super) enum Excess {
    /// The giver does not have the permission on this object.
    Permission(Permission, String),
    /// The right lasts longer than the giver's, which ends at this time.
    Expiry(u64),
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

    /// Returns the rights of a role on these objects. An admin of some cameras only can change
    /// neither the server nor a gateway, because that would reach other cameras.
    pub fn of_role(role: Role, objects: Objects, expiry: Expiry) -> Self {
        Self::new(vec![Grant::new(Permissions::of_role(role), objects, expiry)])
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

    /// Takes all permissions away but these, on all objects.
    pub(super) fn keep(&mut self, permissions: Permissions) {
        for grant in &mut self.grants {
            grant.permissions = Permissions(grant.permissions.0 & permissions.0);
        }
    }

    /// Returns the end of a permission on an object, which may be past; `None` if it was never
    /// granted.
    pub fn until(&self, permission: Permission, object: Object<'_>) -> Option<Expiry> {
        let has = |grant: &&Grant| grant.permissions.has(permission) && grant.objects.cover(object);
        self.grants.iter().filter(has).map(|grant| grant.expiry).max()
    }

    /// Returns true if any of these rights names a gateway or one of its cameras.
    pub(super) fn name(&self, gateway: &GatewayId) -> bool {
        self.grants.iter().any(|grant| match &grant.objects {
            Objects::All => false,
            Objects::Gateways(gateways) => gateways.contains(gateway),
            Objects::Cameras(cameras) => cameras.contains_key(gateway),
        })
    }

    /// Returns true if any of these rights names a camera of a gateway, or its sub stream.
    pub(super) fn name_camera(&self, gateway: &GatewayId, camera: &CameraId) -> bool {
        let is_meant = |id: &CameraId| id == camera || id.main_stream().as_ref() == Some(camera);
        self.grants.iter().any(|grant| match &grant.objects {
            Objects::All | Objects::Gateways(_) => false,
            Objects::Cameras(cameras) => {
                cameras.get(gateway).is_some_and(|ids| ids.iter().any(is_meant))
            }
        })
    }

    /// Returns true if a permission is granted on any object, whether or not it has expired.
    pub(super) fn has(&self, permission: Permission) -> bool {
        self.grants.iter().any(|grant| grant.permissions.has(permission))
    }

    /// Returns these rights until a time at which all end that have not ended before.
    pub(super) fn until_at_most(mut self, end: Expiry) -> Self {
        for grant in &mut self.grants {
            grant.expiry = grant.expiry.min(end);
        }
        self
    }

    /// Returns the first of these rights that somebody with other rights cannot give in a way,
    /// because they have not got it themselves, may not give it so, or not for as long.
    pub(super) fn excess_over(&self, giver: &Self, way: Permission) -> Option<Excess> {
        self.grants.iter().find_map(|grant| grant.excess_over(giver, way))
    }

    /// Returns the end of the last right; 1970 if there is none.
    pub fn expiry(&self) -> Expiry {
        self.grants.iter().map(|grant| grant.expiry).max().unwrap_or(Expiry::At(0))
    }
}
