//! Scopes: the parts of what an administrator may do, to which an access token can be limited.

use std::collections::BTreeSet;

use porthole_signaling_proto::rest::Scope;

use super::{Permission, Permissions};

impl Permissions {
    /// Returns what a scope lets an administrator do.
    const fn of_scope(scope: Scope) -> Self {
        match scope {
            Scope::Watch => Self::NONE
                .with(Permission::List)
                .with(Permission::Watch)
                .with(Permission::Listen)
                .with(Permission::Talk)
                .with(Permission::Control),
            Scope::Gateways => Self::NONE
                .with(Permission::List)
                .with(Permission::Manage)
                .with(Permission::ViewGateways)
                .with(Permission::RunGateways),
            Scope::People => Self::NONE.with(Permission::ViewPeople).with(Permission::RunPeople),
            Scope::Shares => Self::NONE.with(Permission::ViewShares).with(Permission::Share),
            Scope::Read => Self::NONE
                .with(Permission::List)
                .with(Permission::ViewGateways)
                .with(Permission::ViewPeople)
                .with(Permission::ViewShares),
            Scope::Audit => Self::NONE.with(Permission::ReadLog),
        }
    }

    /// Returns what these scopes let an administrator do together.
    pub(super) fn of_scopes(scopes: &BTreeSet<Scope>) -> Self {
        let each = scopes.iter().flat_map(|scope| Self::of_scope(*scope).iter());
        each.fold(Self::NONE, Self::with)
    }
}

impl Permission {
    /// Returns the narrowest scope that includes the permission; `None` if none does.
    pub(super) const fn scope(self) -> Option<Scope> {
        match self {
            Self::List | Self::ViewGateways | Self::ViewPeople | Self::ViewShares => {
                Some(Scope::Read)
            }
            Self::Watch | Self::Listen | Self::Talk | Self::Control => Some(Scope::Watch),
            Self::Manage | Self::RunGateways => Some(Scope::Gateways),
            Self::RunPeople => Some(Scope::People),
            Self::Share => Some(Scope::Shares),
            Self::ReadLog => Some(Scope::Audit),
            Self::Own => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_includes_what_is_said_of_it_and_nothing_else() {
        use Permission::{
            Control, List, Listen, Manage, Own, ReadLog, RunGateways, RunPeople, Share, Talk,
            ViewGateways, ViewPeople, ViewShares, Watch,
        };
        let table: [(&[Scope], &[Permission]); 8] = [
            (&[Scope::Watch], &[List, Watch, Listen, Talk, Control]),
            (&[Scope::Gateways], &[List, Manage, ViewGateways, RunGateways]),
            (&[Scope::People], &[ViewPeople, RunPeople]),
            (&[Scope::Shares], &[ViewShares, Share]),
            (&[Scope::Read], &[List, ViewGateways, ViewPeople, ViewShares]),
            (&[Scope::Audit], &[ReadLog]),
            (&[], &[]),
            (&[Scope::Audit, Scope::People], &[ReadLog, ViewPeople, RunPeople]),
        ];
        for (scopes, expected) in table {
            let found = Permissions::of_scopes(&scopes.iter().copied().collect());
            for permission in Permission::ALL {
                let is_expected = expected.contains(&permission);
                assert_eq!(found.has(permission), is_expected, "{scopes:?} {permission:?}");
            }
        }
        for permission in Permission::ALL {
            match permission.scope() {
                Some(scope) => assert!(Permissions::of_scope(scope).has(permission)),
                None => assert_eq!(permission, Own, "a token never owns the server"),
            }
        }
    }
}
