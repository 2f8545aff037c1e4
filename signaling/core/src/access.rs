//! Rights: the owners of credentials, what each request needs, and the proof that it was checked.
//!
//! A [`Principal`] has [`Rights`]. The table [`Action`] has a row for each route and each message,
//! with what it needs. [`Action::admit`] compares the two, and a handler gets the sender of its
//! request from the [`Admitted`] that it returns, and a camera from a [`Granted`].
//!
//! Architecture invariant: only this module makes an [`Admitted`] or a [`Granted`], and what
//! watches a camera or administers the server takes one. So a handler cannot forget its check.

mod action;
mod cap;
mod gift;
mod membership;
mod rights;
mod scope;
mod sharing;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use porthole_clock::Now;
use porthole_signaling_proto::rest::{Role, Scope};
use porthole_signaling_proto::rpc::{Fault, code};
use porthole_signaling_proto::{CameraId, CameraPermission, GatewayId};

pub use action::{Action, Kind, Need};
pub use cap::RateCap;
pub use gift::{Access, Enrolment, Gift, NotGiven};
pub use membership::{CameraUse, Membership, Viewed};
pub use rights::{Expiry, Grant, Object, Objects, Permission, Permissions, Rights};
pub use sharing::Sharing;

/// The names of a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user or token that owns the sessions started with this credential. It stays the same
    /// when a user signs in again.
    pub subject: String,
    /// A non-secret name of the cookie or token itself, by which it can be revoked.
    pub credential: String,
    /// The display name of the user or token.
    pub name: String,
}

/// An authenticated user or access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    identity: Identity,
    role: Role,
    /// The rights with this credential.
    rights: Rights,
    /// The rights of the user or token itself, which may outlast the credential.
    own_rights: Rights,
    /// Permissions that the role includes, and the scopes of the token do not.
    withheld: Permissions,
    /// The scopes of a token; `None` if it has none, and of a user.
    scopes: Option<BTreeSet<Scope>>,
    /// The tokens that stand for it in some respects; `None` if it stands for itself.
    chain: Option<Box<Chain>>,
    /// The limits on what is sent for it: its own, and that of a token from which it comes.
    caps: Vec<RateCap>,
    /// The number of cameras whose rights were taken before the rights were read.
    as_of: u64,
}

/// The place of a token among those that have given each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Chain {
    /// The token by which it is counted, if that is another one.
    counted_as: Option<String>,
    /// The first token of them.
    first: Option<String>,
}

impl Principal {
    /// Creates a principal that has the rights of its role, those of a viewer on these objects
    /// only. `expires_s` is the expiry of the credential in seconds since 1970; `None` if it does
    /// not expire.
    pub fn new(identity: Identity, role: Role, objects: Objects, expires_s: Option<u64>) -> Self {
        let rights = Rights::of_role(role, objects, expires_s.into());
        Self::of(identity, role, rights)
    }

    fn of(identity: Identity, role: Role, rights: Rights) -> Self {
        let (own_rights, withheld) = (rights.clone(), Permissions::NONE);
        let (scopes, chain, caps) = (None, None, Vec::new());
        Self { identity, role, rights, own_rights, withheld, scopes, chain, caps, as_of: 0 }
    }

    /// Returns the principal with the note that its rights were read after this number of
    /// [`Hub::takings`](crate::Hub::takings).
    #[must_use]
    pub fn as_of(self, takings: u64) -> Self {
        Self { as_of: takings, ..self }
    }

    /// Returns how many cameras had lost their rights before the rights of this one were read.
    pub(crate) fn known_takings(&self) -> u64 {
        self.as_of
    }

    /// Creates the principal of a token that gives this access.
    pub fn with_access(identity: Identity, access: &Access) -> Self {
        let (withheld, scopes) = (access.withheld(), access.scopes.clone());
        let principal = Self::of(identity, access.role, access.rights());
        Self { withheld, scopes, ..principal }.with_own_cap(access.max_kbit_per_s)
    }

    /// Creates the principal of a user that has signed in: its rights do not end, but its
    /// credential does.
    pub fn signed_in(identity: Identity, membership: &Membership, credential_end: Expiry) -> Self {
        let own_rights = membership.rights();
        let rights = own_rights.clone().until_at_most(credential_end);
        Self { own_rights, ..Self::of(identity, membership.role, rights) }
    }

    /// Creates the principal of a link that shows cameras.
    pub fn of_share(identity: Identity, sharing: &Sharing) -> Self {
        Self::of(identity, Role::Viewer, sharing.rights()).with_own_cap(sharing.max_kbit_per_s)
    }

    /// Returns true if its rights name this gateway or one of its cameras.
    pub(crate) fn has_rights_on(&self, gateway: &GatewayId) -> bool {
        self.own_rights.name(gateway)
    }

    /// Returns true if its rights name this camera of a gateway, or its sub stream.
    pub(crate) fn has_rights_on_camera(&self, gateway: &GatewayId, camera: &CameraId) -> bool {
        self.own_rights.name_camera(gateway, camera)
    }

    /// Returns the principal with the permission to turn the cameras that it may watch.
    #[must_use]
    pub fn with_control(mut self) -> Self {
        self.rights.allow_control();
        self.own_rights.allow_control();
        self
    }

    /// Returns the principal without the permission to hear cameras.
    #[must_use]
    pub fn without_listening(mut self) -> Self {
        self.rights.withhold_listening();
        self.own_rights.withhold_listening();
        self
    }

    /// Returns the user or token that owns the sessions started with this credential.
    pub fn subject(&self) -> &str {
        &self.identity.subject
    }

    /// Returns the principal that is counted as this token: the first with limits of a chain, in
    /// which each has given the next. All of them together have what one may have.
    #[must_use]
    pub fn counted_as(mut self, token: String) -> Self {
        self.chain.get_or_insert_default().counted_as = Some(token);
        self
    }

    /// Returns the principal of a token in the chain that begins with this one.
    #[must_use]
    pub fn in_chain_of(mut self, first: String) -> Self {
        self.chain.get_or_insert_default().first = Some(first);
        self
    }

    /// Returns the user or token from which all that it does comes: the first of a chain of tokens.
    pub fn origin(&self) -> &str {
        let first = self.chain.as_ref().and_then(|chain| chain.first.as_deref());
        first.unwrap_or(&self.identity.subject)
    }

    /// Returns the user or token by which places, sessions and requests are counted.
    pub fn account(&self) -> &str {
        let counted = self.chain.as_ref().and_then(|chain| chain.counted_as.as_deref());
        counted.unwrap_or(&self.identity.subject)
    }

    /// Returns the scopes to which a token is limited; `None` if it is not.
    pub fn scopes(&self) -> Option<&BTreeSet<Scope>> {
        self.scopes.as_ref()
    }

    /// Returns the non-secret name of the credential, by which it can be revoked.
    pub fn credential(&self) -> &str {
        &self.identity.credential
    }

    /// Returns the display name of the user or token.
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// Returns the role from which the rights came.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Returns the end of the last right that it has.
    pub fn expiry(&self) -> Expiry {
        self.rights.expiry()
    }

    /// Returns true once no right is left. `unix_s` is the time in seconds since 1970.
    pub fn is_expired(&self, unix_s: u64) -> bool {
        self.expiry().is_past(unix_s)
    }

    pub(crate) fn check_expiry(&self, now: Now) -> Result<(), Denied> {
        if self.is_expired(now.unix_s) { Err(Denied::Expired) } else { Ok(()) }
    }

    /// Returns the scope that a permission needs, if it is lacking only because of that.
    fn lacks_scope(&self, permission: Permission) -> Option<Scope> {
        permission.scope().filter(|_| self.withheld.has(permission))
    }

    /// Returns the reason why a permission is lacking: its scope, or else the other one.
    fn denied(&self, permission: Permission, otherwise: Denied) -> Denied {
        self.lacks_scope(permission).map_or(otherwise, Denied::Scope)
    }

    /// Returns the end of the permission on an object; `None` without it.
    fn permitted(&self, permission: Permission, object: Object<'_>, now: Now) -> Option<Expiry> {
        self.rights.until(permission, object).filter(|expiry| !expiry.is_past(now.unix_s))
    }
}

/// The sender of a request, as far as it has proved who it is.
#[derive(Debug, Clone)]
pub enum Sender {
    /// A sender without a credential, or that has not registered.
    Nobody,
    /// The owner of a credential.
    Principal(Principal),
    /// A gateway that has registered.
    Gateway(GatewayId),
}

impl From<Option<Principal>> for Sender {
    fn from(principal: Option<Principal>) -> Self {
        principal.map_or(Self::Nobody, Self::Principal)
    }
}

/// The sender of a request that has what the row of its action requires of it. Objects that the
/// request names are not checked yet.
#[derive(Debug, Clone)]
pub struct Admitted {
    action: Action,
    sender: Sender,
}

impl Action {
    /// Checks everything that the row of this action requires of the sender itself.
    ///
    /// # Errors
    /// The reason why the request is refused.
    pub fn admit(self, sender: Sender, now: Now) -> Result<Admitted, Denied> {
        match (self.need(), &sender) {
            (Need::Nothing | Need::Side, _)
            | (Need::Registered, Sender::Principal(_) | Sender::Gateway(_))
            | (Need::Gateway, Sender::Gateway(_))
            | (
                Need::Credential | Need::OwnSession | Need::On(_, Kind::Gateway | Kind::Camera),
                Sender::Principal(_),
            ) => {}
            (Need::On(permission, Kind::Everything), Sender::Principal(principal)) => {
                principal.check_expiry(now)?;
                let permitted = principal.permitted(permission, Object::Everything, now);
                permitted.ok_or_else(|| principal.denied(permission, Denied::Everything))?;
            }
            (Need::Give(way), Sender::Principal(principal)) => {
                principal.check_expiry(now)?;
                if !principal.rights.has(way) {
                    return Err(principal.denied(way, Denied::Everything));
                }
            }
            (Need::Gateway, Sender::Principal(_)) => return Err(Denied::GatewaysOnly),
            (
                Need::Credential | Need::OwnSession | Need::Give(_) | Need::On(..),
                Sender::Gateway(_),
            ) => {
                return Err(Denied::ClientsOnly);
            }
            (
                Need::Registered
                | Need::Gateway
                | Need::Credential
                | Need::OwnSession
                | Need::Give(_)
                | Need::On(..),
                Sender::Nobody,
            ) => return Err(Denied::Nobody),
        }
        Ok(Admitted { action: self, sender })
    }
}

impl Admitted {
    /// Returns the owner of the sender's credential.
    ///
    /// # Errors
    /// [`Denied::Nobody`] or [`Denied::ClientsOnly`] if the sender is none, which only happens
    /// where the action does not need one.
    pub fn principal(&self) -> Result<&Principal, Denied> {
        match &self.sender {
            Sender::Principal(principal) => Ok(principal),
            Sender::Nobody => Err(Denied::Nobody),
            Sender::Gateway(_) => Err(Denied::ClientsOnly),
        }
    }

    /// Returns the gateway that has sent the message.
    pub(crate) fn gateway(&self) -> Result<&GatewayId, Denied> {
        match &self.sender {
            Sender::Gateway(gateway) => Ok(gateway),
            Sender::Nobody => Err(Denied::Nobody),
            Sender::Principal(_) => Err(Denied::GatewaysOnly),
        }
    }

    /// Returns the user or token whose sessions the request may be about; `None` if its action is
    /// not for the owner of a session.
    pub(crate) fn owner_of_session(&self) -> Option<&str> {
        let is_owner = matches!(self.action.need(), Need::OwnSession);
        self.principal().ok().filter(|_| is_owner).map(Principal::subject)
    }

    /// Admits the same sender to another action, which a response includes for those who may.
    ///
    /// # Errors
    /// The reason why the action is refused.
    pub fn also(self, action: Action, now: Now) -> Result<Self, Denied> {
        action.admit(self.sender, now)
    }

    /// Refuses an expired credential.
    pub(crate) fn check_expiry(&self, now: Now) -> Result<(), Denied> {
        self.principal()?.check_expiry(now)
    }

    /// Returns the proof that the sender may use a gateway's camera in the way that the action
    /// needs. The camera need not exist.
    ///
    /// # Errors
    /// [`Denied::Expired`]; [`Denied::Camera`] without the permission, or if the action needs none
    /// on a camera.
    pub fn camera(
        &self,
        gateway: &GatewayId,
        camera: &CameraId,
        now: Now,
    ) -> Result<Granted<GatewayCamera>, Denied> {
        let object = Object::Camera { camera, gateway: Some(gateway) };
        let granted = GatewayCamera { gateway: gateway.clone(), camera: camera.clone() };
        self.grant(Kind::Camera, object, granted, now, Denied::Camera)
    }

    /// Returns everything that the sender may do with a gateway's camera; `None` if it may not use
    /// the camera in the way that the action needs.
    pub fn permissions(
        &self,
        gateway: &GatewayId,
        camera: &CameraId,
        now: Now,
    ) -> Option<Vec<CameraPermission>> {
        let granted = self.camera(gateway, camera, now).ok()?;
        let on_camera = Object::Camera { camera, gateway: Some(gateway) };
        let each = [
            (Permission::Watch, on_camera, CameraPermission::Watch),
            (Permission::Listen, on_camera, CameraPermission::Listen),
            (Permission::Talk, on_camera, CameraPermission::Talk),
            (Permission::Control, on_camera, CameraPermission::Control),
            (Permission::Manage, Object::Gateway(gateway), CameraPermission::Manage),
        ];
        let principal = granted.principal();
        let has = |(permission, object, _): &(_, _, _)| {
            principal.permitted(*permission, *object, now).is_some()
        };
        Some(each.into_iter().filter(has).map(|(_, _, permission)| permission).collect())
    }

    /// Returns true if the sender may hear a gateway's camera, besides what its action needs.
    pub(crate) fn may_listen(&self, gateway: &GatewayId, camera: &CameraId, now: Now) -> bool {
        let permissions = self.permissions(gateway, camera, now);
        permissions.is_some_and(|may| may.contains(&CameraPermission::Listen))
    }

    /// Checks that the sender may know that no gateway has a camera with this id.
    ///
    /// # Errors
    /// As for [`Self::camera`], so that cameras of others cannot be told from ones that do not
    /// exist.
    pub(crate) fn missing_camera(&self, camera: &CameraId, now: Now) -> Result<(), Denied> {
        let object = Object::Camera { camera, gateway: None };
        self.grant(Kind::Camera, object, (), now, Denied::Camera).map(drop)
    }

    /// Returns the proof that the sender may use a gateway in the way that the action needs. It is
    /// for the requests that manage a gateway's cameras.
    ///
    /// # Errors
    /// [`Denied::Expired`]; [`Denied::Gateway`] without the permission, or if the action needs none
    /// on a gateway.
    pub fn on_gateway(&self, gateway: &GatewayId, now: Now) -> Result<Granted<GatewayId>, Denied> {
        let object = Object::Gateway(gateway);
        self.grant(Kind::Gateway, object, gateway.clone(), now, Denied::Gateway)
    }

    /// Returns true if the sender may manage a gateway, whatever its action needs.
    pub(crate) fn may_manage(&self, gateway: &GatewayId, now: Now) -> bool {
        let manages = |principal: &Principal| {
            principal.permitted(Permission::Manage, Object::Gateway(gateway), now).is_some()
        };
        self.principal().is_ok_and(manages)
    }

    /// Returns the proof that the sender may do on the whole server what the action needs.
    ///
    /// # Errors
    /// [`Denied::Expired`]; [`Denied::Everything`] without the permission, or if the action does
    /// not need one on everything.
    pub fn everything(&self, now: Now) -> Result<Granted<Everything>, Denied> {
        let object = Object::Everything;
        self.grant(Kind::Everything, object, Everything(()), now, Denied::Everything)
    }

    /// Checks that the sender has the scope that the action needs, for a list that would be empty
    /// without it.
    ///
    /// # Errors
    /// [`Denied::Scope`] names the scope that an access token lacks.
    pub fn check_scope(&self) -> Result<(), Denied> {
        let scope = self.needed().and_then(|(one, _)| self.principal().ok()?.lacks_scope(one));
        scope.map_or(Ok(()), |scope| Err(Denied::Scope(scope)))
    }

    /// Returns the permission that the action needs on objects, if it needs one.
    fn needed(&self) -> Option<(Permission, Kind)> {
        match self.action.need() {
            Need::On(permission, kind) => Some((permission, kind)),
            Need::Nothing
            | Need::Side
            | Need::Registered
            | Need::Gateway
            | Need::Credential
            | Need::Give(_)
            | Need::OwnSession => None,
        }
    }

    fn grant<T>(
        &self,
        kind: Kind,
        object: Object<'_>,
        granted: T,
        now: Now,
        denied: Denied,
    ) -> Result<Granted<T>, Denied> {
        let principal = self.principal()?;
        principal.check_expiry(now)?;
        let permission = self.needed().filter(|(_, needed)| *needed == kind);
        let (permission, _) = permission.ok_or(denied)?;
        let expiry = principal.permitted(permission, object, now);
        let expiry = expiry.ok_or_else(|| principal.denied(permission, denied))?;
        Ok(Granted { object: granted, principal: principal.clone(), expiry })
    }
}

/// A camera of one gateway, as the object of a permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayCamera {
    /// The gateway that has the camera.
    pub gateway: GatewayId,
    /// The id of the camera or of its sub stream.
    pub camera: CameraId,
}

/// The whole server, as the object of a permission.
#[derive(Debug, Clone, Copy)]
pub struct Everything(());

impl Granted<Everything> {
    /// Checks that the sender may change a user who has this role, whatever the change is: only
    /// owners change owners.
    ///
    /// # Errors
    /// [`Denied::Owner`] if the user is an owner and the sender is not.
    pub fn over(&self, role: Role) -> Result<(), Denied> {
        match role {
            Role::Viewer | Role::Admin => Ok(()),
            Role::Owner => {
                let owns = self.principal.own_rights.until(Permission::Own, Object::Everything);
                owns.map(drop).ok_or(Denied::Owner)
            }
        }
    }
}

/// An object that a principal may use as its request needs.
#[derive(Debug, Clone)]
pub struct Granted<T> {
    object: T,
    principal: Principal,
    expiry: Expiry,
}

impl<T> Granted<T> {
    /// Returns the object that may be used.
    pub fn object(&self) -> &T {
        &self.object
    }

    /// Returns the owner of the right.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Returns the time for which the object may be used: at most `longest`, and no longer than
    /// the right.
    pub(crate) fn lifetime(&self, now: Now, longest: Duration) -> Duration {
        match self.expiry {
            Expiry::At(end_s) => longest.min(Duration::from_secs(end_s.saturating_sub(now.unix_s))),
            Expiry::Never => longest,
        }
    }
}

/// The reason why a request is refused for lack of rights. Its text says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The sender has not said who it is.
    Nobody,
    /// The credential has expired.
    Expired,
    /// The sender is a gateway.
    ClientsOnly,
    /// The sender is not a gateway.
    GatewaysOnly,
    /// The permission on the whole server is missing.
    Everything,
    /// The access token lacks the scope.
    Scope(Scope),
    /// The request concerns an owner, and the sender is none.
    Owner,
    /// The permission on the gateway is missing.
    Gateway,
    /// The permission on the camera is missing.
    Camera,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Scope(scope) => {
                return write!(
                    f,
                    "this access token lacks the scope `{scope}`: create one that has it"
                );
            }
            Self::Nobody => "not registered: send `register` first",
            Self::Expired => "the access token has expired; sign in or use a new one",
            Self::ClientsOnly => "only clients may do this, not gateways",
            Self::GatewaysOnly => "only gateways may do this, not clients",
            Self::Everything => "only an admin may do this",
            Self::Owner => "only an owner may do this to an owner",
            Self::Gateway => "this access token does not allow that gateway",
            Self::Camera => "this access token does not allow that camera",
        };
        f.write_str(text)
    }
}

impl std::error::Error for Denied {}

impl From<Denied> for Fault {
    fn from(denied: Denied) -> Self {
        let code = match denied {
            Denied::Nobody => code::NOT_FOUND,
            Denied::Expired => code::UNAUTHORIZED,
            Denied::ClientsOnly
            | Denied::GatewaysOnly
            | Denied::Everything
            | Denied::Scope(_)
            | Denied::Owner
            | Denied::Gateway
            | Denied::Camera => code::FORBIDDEN,
        };
        Self::new(code, denied.to_string())
    }
}

#[cfg(test)]
mod tests;
