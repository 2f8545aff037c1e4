//! Gifts: rights that somebody gives to others, and the one check that nobody gives more than they
//! have.
//!
//! Architecture invariant: what is written to the database for others takes a [`Granted`] gift, and
//! only [`Admitted::give`] makes one.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use porthole_clock::Now;
use porthole_signaling_proto::CameraId;
use porthole_signaling_proto::rest::{Role, Scope};

use super::rights::Excess;
use super::{
    Admitted, Denied, Expiry, Grant, Granted, Need, Object, Objects, Permission, Permissions,
    Principal, Rights,
};

/// The access that an access token gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The role of the token.
    pub role: Role,
    /// The objects that the token is for.
    pub objects: Objects,
    /// True if a viewer may also turn the cameras. Admins may anyway.
    pub control: bool,
    /// True if the token may hear the cameras.
    pub listen: bool,
    /// The scopes to which an admin is limited; `None` if it may do everything that admins may.
    pub scopes: Option<BTreeSet<Scope>>,
    /// The time at which the token ends.
    pub expiry: Expiry,
    /// The most that each gateway sends for the token at a time, in kbit/s.
    pub max_kbit_per_s: Option<u32>,
}

impl Access {
    /// Returns what the role includes and the scopes do not, to say which one is missing.
    pub(super) fn withheld(&self) -> Permissions {
        let all = Permissions::of_role(self.role);
        let kept = self.scopes.as_ref().map_or(all, Permissions::of_scopes);
        all.except(kept)
    }
}

/// The permission to enrol one gateway, which a claim code gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// The time until which the code can be used.
    pub expiry: Expiry,
}

/// A right that can be given to others.
pub trait Gift {
    /// The permission that its giver must have on each object of it.
    const WAY: Permission;

    /// Returns the rights that their giver must have.
    fn rights(&self) -> Rights;

    /// Returns the end of these rights.
    fn expiry(&self) -> Expiry;

    /// Returns the most that each gateway sends at a time for what is watched with them, in kbit/s;
    /// `None` without a limit.
    fn max_kbit_per_s(&self) -> Option<u32>;

    /// Returns true if it includes what its holder may do in later versions, too. No list of scopes
    /// does.
    fn includes_later(&self) -> bool {
        false
    }
}

impl Gift for Access {
    const WAY: Permission = Permission::RunPeople;

    fn rights(&self) -> Rights {
        let mut rights = Rights::of_role(self.role, self.objects.clone(), self.expiry);
        if self.control {
            rights.allow_control();
        }
        if !self.listen {
            rights.withhold_listening();
        }
        if let Some(scopes) = &self.scopes {
            rights.keep(Permissions::of_scopes(scopes));
        }
        rights
    }

    fn expiry(&self) -> Expiry {
        self.expiry
    }

    fn max_kbit_per_s(&self) -> Option<u32> {
        self.max_kbit_per_s
    }
}

impl Gift for Enrolment {
    const WAY: Permission = Permission::RunGateways;

    fn rights(&self) -> Rights {
        let permissions = Permissions::NONE.with(Permission::RunGateways);
        Rights::new(vec![Grant::new(permissions, Objects::All, self.expiry)])
    }

    fn expiry(&self) -> Expiry {
        self.expiry
    }

    fn max_kbit_per_s(&self) -> Option<u32> {
        // Nothing is watched with it.
        Some(0)
    }
}

impl Admitted {
    /// Returns the proof that the sender may give this. It is for every request that gives rights
    /// to others, whoever sends it in whatever way.
    ///
    /// # Errors
    /// [`NotGiven::Missing`], [`NotGiven::TooLong`], [`NotGiven::TooFast`] or [`NotGiven::Scoped`]
    /// if the sender has less itself, [`NotGiven::Denied`] if the action is not for giving.
    pub fn give<G: Gift>(&self, gift: G, now: Now) -> Result<Granted<G>, NotGiven> {
        let giver = self.principal()?;
        giver.check_expiry(now)?;
        if self.action.need() != Need::Give(G::WAY) {
            return Err(Denied::Everything.into());
        }
        if gift.includes_later() && giver.scopes.is_some() {
            return Err(NotGiven::Scoped);
        }
        // Of the user, not of the cookie by which it is known, since it can sign in again.
        let excess = gift.rights().excess_over(&giver.own_rights, G::WAY);
        if let Some(excess) = excess {
            return Err(NotGiven::new(excess, giver, now));
        }
        // A gift that names no object has to end with its giver, too.
        if let Expiry::At(end_s) = giver.own_rights.expiry()
            && Expiry::At(end_s) < gift.expiry()
        {
            return Err(NotGiven::new(Excess::Expiry(end_s), giver, now));
        }
        if let Some(most) = giver.max_kbit_per_s()
            && gift.max_kbit_per_s().is_none_or(|given| given > most)
        {
            return Err(NotGiven::TooFast { kbit_per_s: most });
        }
        Ok(Granted { expiry: gift.expiry(), object: gift, principal: giver.clone() })
    }

    /// Checks that the sender of a gift may know that no gateway has a camera with this id.
    ///
    /// # Errors
    /// As for a camera that exists, but that the sender may not see.
    pub fn gives_on_everything(&self, camera: &CameraId) -> Result<(), NotGiven> {
        let (object, giver) = (Object::Camera { camera, gateway: None }, self.principal()?);
        let Need::Give(way) = self.action.need() else { return Err(Denied::Everything.into()) };
        let lacks = |one: &Permission| giver.own_rights.until(*one, object).is_none();
        let Some(permission) = [way, Permission::List].into_iter().find(lacks) else {
            return Ok(());
        };
        let (object, scope) = (object.to_string(), giver.lacks_scope(permission));
        Err(NotGiven::Missing { permission, object, scope })
    }

    /// Returns the permission to enrol a gateway until `longest` is over, or the giver's own rights
    /// end.
    ///
    /// # Errors
    /// As for [`Self::give`].
    pub fn give_enrolment(
        &self,
        longest: Duration,
        now: Now,
    ) -> Result<Granted<Enrolment>, NotGiven> {
        let end = Expiry::At(now.unix_s.saturating_add(longest.as_secs()));
        let expiry = end.min(self.principal()?.own_rights.expiry());
        self.give(Enrolment { expiry }, now)
    }
}

/// The reason why somebody cannot give a right. Its text says what is too much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotGiven {
    /// The request itself is refused.
    Denied(Denied),
    /// The giver does not have this permission itself.
    Missing {
        /// The permission that is missing.
        permission: Permission,
        /// The object that it is on, in words.
        object: String,
        /// The scope that the giver lacks, if that is why.
        scope: Option<Scope>,
    },
    /// The right would outlast the giver's.
    TooLong {
        /// The time in seconds for which the giver has the right.
        left_s: u64,
    },
    /// More would be sent than for the giver.
    TooFast {
        /// The most that is sent for the giver, in kbit/s.
        kbit_per_s: u32,
    },
    /// The role of an administrator would include more than the scopes of the giver ever do.
    Scoped,
}

impl NotGiven {
    fn new(excess: Excess, giver: &Principal, now: Now) -> Self {
        match excess {
            Excess::Permission(permission, object) => {
                Self::Missing { permission, object, scope: giver.lacks_scope(permission) }
            }
            Excess::Expiry(end_s) => Self::TooLong { left_s: end_s.saturating_sub(now.unix_s) },
        }
    }
}

impl NotGiven {
    /// Returns in words what the giver wanted to give and does not have; `None` if the request
    /// itself was refused.
    pub fn too_much(&self) -> Option<String> {
        match self {
            Self::Denied(_) => None,
            Self::Missing { permission, object, .. } => Some(format!("{permission} {object}")),
            Self::TooLong { .. } => Some("a longer time than it has".to_owned()),
            Self::TooFast { kbit_per_s } => Some(format!("more than {kbit_per_s} kbit/s")),
            Self::Scoped => Some("the role of an administrator".to_owned()),
        }
    }
}

impl From<Denied> for NotGiven {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl fmt::Display for NotGiven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denied) => denied.fmt(f),
            Self::Missing { permission, object, scope } => {
                write!(
                    f,
                    "nobody gives more than they have: your access does not include {permission} \
                     {object}"
                )?;
                match scope {
                    Some(scope) => write!(f, ", which is in the scope `{scope}`"),
                    None => Ok(()),
                }
            }
            Self::TooLong { left_s } => write!(
                f,
                "nobody gives more than they have: your access ends in {left_s} seconds, and what \
                 you give must end by then"
            ),
            Self::TooFast { kbit_per_s } => write!(
                f,
                "nobody gives more than they have: at most {kbit_per_s} kbit/s are sent for your \
                 access token, so what it gives are access tokens and share links with a limit of \
                 at most that"
            ),
            Self::Scoped => f.write_str(
                "nobody gives more than they have: an access token with scopes does not give the \
                 role of an administrator, which includes more than any list of scopes; sign in, \
                 or use a token without scopes",
            ),
        }
    }
}

impl std::error::Error for NotGiven {}

#[cfg(test)]
mod tests;
