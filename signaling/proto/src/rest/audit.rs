//! Bodies of the audit log.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// A kind of event in the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum AuditKind {
    /// The first owner was created with the setup link.
    SetUp,
    /// A user has signed in.
    SignedIn,
    /// A wrong name or password was given.
    SignInFailed,
    /// The right password of a user was given, and then no code of its second factor.
    CodeMissing,
    /// Browsers were signed out, by their user or somebody else.
    SignedOut,
    /// A right was not given to others, because its giver does not have it.
    GiftRefused,
    /// A token was created.
    TokenCreated,
    /// A token was revoked.
    TokenRevoked,
    /// A claim code was created.
    ClaimCreated,
    /// A claim code was revoked.
    ClaimRevoked,
    /// A gateway has enrolled.
    GatewayEnrolled,
    /// A gateway was refused, because its claim code was wrong, used or expired.
    EnrolmentRefused,
    /// A gateway was removed.
    GatewayRemoved,
    /// A user was removed.
    UserRemoved,
    /// A user was given another password on the host, or has set one with a link.
    UserReset,
    /// The rights of a user were changed.
    UserChanged,
    /// An invitation, or a link for a new password, was created.
    InvitationCreated,
    /// An invitation was revoked.
    InvitationRevoked,
    /// A person has accepted an invitation.
    InvitationAccepted,
    /// A user has changed its password.
    PasswordChanged,
    /// A user has a second factor now.
    SecondFactorAdded,
    /// The second factor of a user was removed, by itself or somebody else.
    SecondFactorRemoved,
    /// A link that shows cameras was made.
    ShareCreated,
    /// Such a link was revoked.
    ShareRevoked,
    /// Such a link was used.
    ShareOpened,
    /// A wrong password was given for such a link.
    ShareRefused,
    /// A user has a passkey more.
    PasskeyAdded,
    /// A user has removed one of its passkeys.
    PasskeyRemoved,
    /// A passkey of a user was used in a wrong way.
    PasskeyRefused,
    /// A passkey was refused because its counter went back: there may be a copy of it.
    PasskeyCopied,
    /// A user has linked an account at the provider.
    IdentityAdded,
    /// A user has unlinked such an account.
    IdentityRemoved,
    /// Such an account was refused, or what claimed to be one.
    IdentityRefused,
    /// A person has become a user with such an account, without an invitation.
    UserJoined,
    /// A camera was removed from its gateway, and every right to it.
    CameraRemoved,
    /// The rights to a camera were taken, because it is about to be removed.
    CameraRightsEnded,
    /// The id of a former camera is kept for its gateway no longer, and nobody has rights to it.
    CameraReleased,
    /// A camera was added to a gateway.
    CameraAdded,
    /// The name of a camera was changed, or how it is shown.
    CameraChanged,
    /// The addresses and the password of a camera were replaced: it may show something else.
    CameraReaddressed,
    /// A person has given a gateway another name.
    GatewayRenamed,
}

impl AuditKind {
    /// The kinds of events.
    pub const ALL: [Self; 41] = [
        Self::SetUp,
        Self::SignedIn,
        Self::SignInFailed,
        Self::CodeMissing,
        Self::SignedOut,
        Self::GiftRefused,
        Self::TokenCreated,
        Self::TokenRevoked,
        Self::ClaimCreated,
        Self::ClaimRevoked,
        Self::GatewayEnrolled,
        Self::EnrolmentRefused,
        Self::GatewayRemoved,
        Self::UserRemoved,
        Self::UserReset,
        Self::UserChanged,
        Self::InvitationCreated,
        Self::InvitationRevoked,
        Self::InvitationAccepted,
        Self::PasswordChanged,
        Self::SecondFactorAdded,
        Self::SecondFactorRemoved,
        Self::ShareCreated,
        Self::ShareRevoked,
        Self::ShareOpened,
        Self::ShareRefused,
        Self::PasskeyAdded,
        Self::PasskeyRemoved,
        Self::PasskeyRefused,
        Self::PasskeyCopied,
        Self::IdentityAdded,
        Self::IdentityRemoved,
        Self::IdentityRefused,
        Self::UserJoined,
        Self::CameraRemoved,
        Self::CameraRightsEnded,
        Self::CameraReleased,
        Self::CameraAdded,
        Self::CameraChanged,
        Self::CameraReaddressed,
        Self::GatewayRenamed,
    ];

    /// Returns the name of the kind, in words. The database has it, so it never changes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SetUp => "set up",
            Self::SignedIn => "signed in",
            Self::SignInFailed => "sign-in failed",
            Self::CodeMissing => "code missing",
            Self::SignedOut => "signed out",
            Self::GiftRefused => "gift refused",
            Self::TokenCreated => "token created",
            Self::TokenRevoked => "token revoked",
            Self::ClaimCreated => "claim code created",
            Self::ClaimRevoked => "claim code revoked",
            Self::GatewayEnrolled => "gateway enrolled",
            Self::EnrolmentRefused => "enrolment refused",
            Self::GatewayRemoved => "gateway removed",
            Self::UserRemoved => "user removed",
            Self::UserReset => "password reset",
            Self::UserChanged => "user changed",
            Self::InvitationCreated => "invitation created",
            Self::InvitationRevoked => "invitation revoked",
            Self::InvitationAccepted => "invitation accepted",
            Self::PasswordChanged => "password changed",
            Self::SecondFactorAdded => "second factor added",
            Self::SecondFactorRemoved => "second factor removed",
            Self::ShareCreated => "link created",
            Self::ShareRevoked => "link revoked",
            Self::ShareOpened => "link used",
            Self::ShareRefused => "link refused",
            Self::PasskeyAdded => "passkey added",
            Self::PasskeyRemoved => "passkey removed",
            Self::PasskeyRefused => "passkey refused",
            Self::PasskeyCopied => "passkey copied",
            Self::IdentityAdded => "account linked",
            Self::IdentityRemoved => "account unlinked",
            Self::IdentityRefused => "account refused",
            Self::UserJoined => "user joined",
            Self::CameraRemoved => "camera removed",
            Self::CameraRightsEnded => "rights to camera ended",
            Self::CameraReleased => "camera released",
            Self::CameraAdded => "camera added",
            Self::CameraChanged => "camera changed",
            Self::CameraReaddressed => "camera address changed",
            Self::GatewayRenamed => "gateway renamed",
        }
    }
}

/// An event in the audit log, or several of one kind in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// The number of the event; later ones have higher numbers.
    #[ts(type = "number")]
    pub id: i64,
    /// The kind of event.
    pub kind: AuditKind,
    /// The time of the first, in seconds since 1970.
    #[ts(type = "number")]
    pub first_s: u64,
    /// The time of the last.
    #[ts(type = "number")]
    pub last_s: u64,
    /// The number of events: equal ones of an hour that change nothing are counted together.
    pub count: u32,
    /// The name of the user or token that has done it; `operator` for a command on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub actor: Option<String>,
    /// The user or token whose name that is, such as `user:1` or `token:12`: a token may have the
    /// name of a user. Unknown for events that an earlier version has written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub actor_subject: Option<String>,
    /// The name of the object that it was done to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub object: Option<String>,
    /// The address from which it was done, if it is known; of several, that of the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub address: Option<String>,
}

/// A page of the audit log, the newest events first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct AuditList {
    /// The events of the page. If there are none, the log is at its end.
    pub events: Vec<AuditEvent>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = AuditKind::ALL.map(AuditKind::name).into();
        assert_eq!(names.len(), AuditKind::ALL.len());
    }
}
