//! Changes that the command line makes in the data folder, even while the server runs. What is
//! revoked here, the server ends within a second.

use std::path::Path;

use porthole_signaling_core::{
    Action, Admitted, Denied, Enrolment, Everything, Granted, Identity, NotGiven, Objects,
    Principal, Sender, StoredGateway,
};
use porthole_signaling_proto::GatewayId;
use porthole_signaling_proto::rest::{
    AuditEvent, Claim, ClaimInfo, Invitation, InvitationInfo, NewInvitation, NewShare, NewToken,
    Removed, Role, ShareInfo, ShareLink, SignInInfo, Token, TokenInfo, UserAccess, UserInfo,
};

use crate::driver::now;
use crate::password;
use crate::store::{
    CLAIM_LIFETIME, OfUsers, OpenError, Removal, ShareError, Store, StoreError, TokenError,
    UserError,
};

pub use crate::store::{Added, AddedOne, Given};

/// The outcome of a new password that the operator has set for a user.
#[derive(Debug)]
pub struct Reset {
    /// Counts of everything that was removed.
    pub removed: Removed,
    /// Counts of everything that the user has given and that is still valid.
    pub left: Removed,
    /// The people and gateways that the user has added, who stay.
    pub added: Added,
}

/// An error of an administrative command.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The database could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The token could not be created.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The operator may not do this.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The operator may not give this.
    #[error(transparent)]
    NotGiven(#[from] NotGiven),
    /// The user cannot be changed or removed.
    #[error(transparent)]
    User(#[from] UserError),
    /// The link could not be made.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// The object that was named does not exist.
    #[error("there is no {0}; `porthole {1} list` shows what there is")]
    Unknown(String, &'static str),
    /// The new password is too weak.
    #[error("{0}")]
    Weak(&'static str),
    /// The new password could not be hashed.
    #[error("the password could not be hashed; try again")]
    Hash,
}

/// Writes a copy of the database as it is at this moment to a file, which is replaced if it exists.
///
/// # Errors
///
/// Fails if the database cannot be opened, or the copy not written.
pub async fn copy_database(data: &Path, to: &Path) -> Result<(), AdminError> {
    Ok(Store::open(data).await?.copy_to(to).await?)
}

/// Creates the path of a setup link, which makes those before it invalid; `None` if the server has
/// an owner already. A running server accepts it at once.
///
/// # Errors
///
/// Fails if the database cannot be opened or written.
pub async fn create_setup_path(data: &Path) -> Result<Option<String>, AdminError> {
    let store = Store::open(data).await?;
    if store.has_owner().await? {
        return Ok(None);
    }
    Ok(Some(format!("/setup#t={}", store.create_setup_token().await?)))
}

/// Creates an API token. A running server accepts it at once.
///
/// # Errors
/// Fails if the data folder cannot be opened or written, or if it is not certain whose camera one
/// of the ids means.
pub async fn create_token(data: &Path, new: NewToken) -> Result<Token, AdminError> {
    let giver = operator(Action::CreateToken)?;
    with_store(data, async |store| Ok(store.create_token(&giver, &new).await?)).await
}

/// Creates a claim code, with which one gateway can enrol within an hour.
///
/// # Errors
/// Fails if the data folder cannot be opened or written.
pub async fn create_claim(data: &Path) -> Result<Claim, AdminError> {
    let granted = enrolment_by_operator()?;
    with_store(data, async |store| Ok(store.create_claim(&granted, None).await?)).await
}

/// Creates several claim codes at once, as [`create_claim`] does.
///
/// # Errors
/// Fails if the data folder cannot be opened or written.
pub async fn create_claims(data: &Path, count: usize) -> Result<Vec<Claim>, AdminError> {
    let granted = enrolment_by_operator()?;
    with_store(data, async |store| {
        let mut claims = Vec::new();
        for _ in 0..count {
            claims.push(store.create_claim(&granted, None).await?);
        }
        Ok(claims)
    })
    .await
}

/// Returns all API tokens, the newest first.
///
/// # Errors
/// Fails if the data folder cannot be opened.
pub async fn tokens(data: &Path) -> Result<Vec<TokenInfo>, AdminError> {
    let granted = by_operator(Action::ListTokens)?;
    with_store(data, async |store| Ok(store.tokens(&granted).await?)).await
}

/// Revokes an API token, and everything that was given with it.
///
/// # Errors
/// Fails if there is no such token, or if the data folder cannot be opened or written.
pub async fn revoke_token(data: &Path, token: i64) -> Result<Removed, AdminError> {
    let granted = by_operator(Action::RevokeToken)?;
    let removed = with_store(data, async |store| Ok(store.remove_token(&granted, token).await?));
    found(removed.await?, || (format!("token {token}"), "token"))
}

/// Returns the claim codes that can be used.
///
/// # Errors
/// Fails if the data folder cannot be opened.
pub async fn claims(data: &Path) -> Result<Vec<ClaimInfo>, AdminError> {
    let granted = by_operator(Action::ListClaims)?;
    with_store(data, async |store| Ok(store.claims(&granted).await?)).await
}

/// Revokes a claim code.
///
/// # Errors
/// Fails if there is no such code, or if the data folder cannot be opened or written.
pub async fn revoke_claim(data: &Path, id: &str) -> Result<Removed, AdminError> {
    let granted = by_operator(Action::RevokeClaim)?;
    let removed = with_store(data, async |store| Ok(store.remove_claim(&granted, id).await?));
    found(removed.await?, || (format!("claim code {id}"), "claim"))
}

/// Returns the gateways that have enrolled, with their cameras.
///
/// # Errors
/// Fails if the data folder cannot be opened.
pub async fn gateways(data: &Path) -> Result<Vec<StoredGateway>, AdminError> {
    by_operator(Action::ListGateways)?;
    with_store(data, async |store| Ok(store.gateways().await?)).await
}

/// Removes a gateway with its cameras and the rights to them. Its key is refused from now on.
///
/// # Errors
/// Fails if there is no such gateway, or if the data folder cannot be opened or written.
pub async fn remove_gateway(data: &Path, gateway: &GatewayId) -> Result<Removed, AdminError> {
    let granted = by_operator(Action::RemoveGateway)?;
    let removed =
        with_store(data, async |store| Ok(store.remove_gateway(&granted, gateway).await?));
    found(removed.await?, || (format!("gateway {gateway}"), "gateway"))
}

/// Returns all users, with the browsers in which they are signed in.
///
/// # Errors
/// Fails if the data folder cannot be opened.
pub async fn users(data: &Path) -> Result<(Vec<UserInfo>, Vec<SignInInfo>), AdminError> {
    let granted = by_operator(Action::ListUsers)?;
    with_store(data, async |store| {
        Ok((store.users(&granted).await?, store.sign_ins(OfUsers::All, "").await?))
    })
    .await
}

/// Gives a user other rights, and ends what it has started with the former ones.
///
/// # Errors
/// Fails if there is no such user, if it is the last owner and would not be one any more, if it is
/// not certain whose camera one of the ids means, or if the data folder cannot be opened or
/// written.
pub async fn change_user(
    data: &Path,
    name: &str,
    access: &UserAccess,
) -> Result<Removed, AdminError> {
    let (granted, giver) = (by_operator(Action::ChangeUser)?, operator(Action::InvitePerson)?);
    let removed = with_store(data, async |store| match store.find_user(name).await? {
        Some(user) => Ok(store.change_user(&granted, &giver, user.id, access).await?),
        None => Ok(None),
    });
    found(removed.await?, || (format!("user {name}"), "user"))
}

/// Creates an invitation, whose link makes a person a user once.
///
/// # Errors
/// Fails if too many wait, if it is not certain whose camera one of the ids means, or if the data
/// folder cannot be opened or written.
pub async fn invite(data: &Path, new: &NewInvitation) -> Result<Invitation, AdminError> {
    let giver = operator(Action::InvitePerson)?;
    with_store(data, async |store| Ok(store.create_invitation(&giver, new).await?)).await
}

/// Returns the invitations that can be accepted.
///
/// # Errors
/// Fails if the data folder cannot be opened.
pub async fn invitations(data: &Path) -> Result<Vec<InvitationInfo>, AdminError> {
    let granted = by_operator(Action::ListInvitations)?;
    with_store(data, async |store| Ok(store.invitations(&granted).await?)).await
}

/// Revokes an invitation.
///
/// # Errors
/// Fails if there is no such invitation, or if the data folder cannot be opened or written.
pub async fn revoke_invitation(data: &Path, invitation: i64) -> Result<Removed, AdminError> {
    let granted = by_operator(Action::RevokeInvitation)?;
    let removed =
        with_store(data, async |store| Ok(store.remove_invitation(&granted, invitation).await?));
    found(removed.await?, || (format!("invitation {invitation}"), "invite"))
}

/// Makes a link that shows cameras to whoever has it, until an hour.
///
/// # Errors
/// Fails if the password is weak, if there are too many links, if it is not certain whose camera
/// one of the ids means, or if the data folder cannot be opened or written.
pub async fn share(data: &Path, mut new: NewShare) -> Result<ShareLink, AdminError> {
    let giver = operator(Action::CreateShare)?;
    let hash = match new.password.take() {
        Some(password) => Some(hash_of(password).await?),
        None => None,
    };
    with_store(data, async |store| Ok(store.create_share(&giver, &new, hash.as_deref()).await?))
        .await
}

/// Returns the shares whose links work.
///
/// # Errors
/// Fails if the data folder cannot be opened.
pub async fn shares(data: &Path) -> Result<Vec<ShareInfo>, AdminError> {
    let granted = by_operator(Action::ListShares)?;
    with_store(data, async |store| Ok(store.shares(&granted).await?)).await
}

/// Revokes a link that shows cameras.
///
/// # Errors
/// Fails if there is no such share, or if the data folder cannot be opened or written.
pub async fn revoke_share(data: &Path, share: i64) -> Result<Removed, AdminError> {
    let granted = by_operator(Action::RevokeShare)?;
    let removed = with_store(data, async |store| Ok(store.remove_share(&granted, share).await?));
    found(removed.await?, || (format!("link {share}"), "share"))
}

/// Removes a user, its sign-ins, and what it has given.
///
/// # Errors
/// Fails if there is no such user, if it is the last owner, or if the data folder cannot be opened
/// or written.
pub async fn remove_user(data: &Path, name: &str) -> Result<Removed, AdminError> {
    let granted = by_operator(Action::RemoveUser)?;
    let removed = with_store(data, async |store| match store.find_user(name).await? {
        Some(user) => Ok(store.remove_user(&granted, user.id).await?),
        None => Ok(None),
    });
    found(removed.await?, || (format!("user {name}"), "user"))
}

/// Signs a user out everywhere.
///
/// # Errors
/// Fails if there is no such user, or if the data folder cannot be opened or written.
pub async fn sign_user_out(data: &Path, name: &str) -> Result<Removed, AdminError> {
    let granted = by_operator(Action::SignUserOut)?;
    let by = granted.principal();
    let removed = with_store(data, async |store| match store.find_user(name).await? {
        Some(user) => Ok(Some(store.remove_sign_ins(by, OfUsers::One(user.id), None).await?)),
        None => Ok(None),
    });
    found(removed.await?, || (format!("user {name}"), "user"))
}

/// Gives a user a new password, and signs it out everywhere.
///
/// # Errors
/// Fails if there is no such user, if the password is weak, or if the data folder cannot be opened
/// or written.
pub async fn reset_user(
    data: &Path,
    name: &str,
    password: String,
    given: Given,
) -> Result<Reset, AdminError> {
    let granted = by_operator(Action::ResetUser)?;
    let hash = hash_of(password).await?;
    let reset = with_store(data, async |store| {
        let Some(user) = store.find_user(name).await? else { return Ok(None) };
        let reset = store.reset_user(&granted, user.id, &hash, given).await?;
        let left = store.look_at_given(&granted, user.id).await?;
        Ok(reset.map(|(removal, added)| Reset { removed: removal.removed, left, added }))
    });
    reset.await?.ok_or_else(|| AdminError::Unknown(format!("user {name}"), "user"))
}

/// Returns everything that would go with a token, except sessions.
///
/// # Errors
/// Fails if there is no such token, or if the data folder cannot be opened.
pub async fn foresee_token(data: &Path, token: i64) -> Result<Removed, AdminError> {
    let granted = by_operator(Action::ForeseeToken)?;
    let removal = with_store(data, async |store| Ok(store.look_at_token(&granted, token).await?));
    found(removal.await?, || (format!("token {token}"), "token"))
}

/// Returns everything that would go with a gateway, except sessions.
///
/// # Errors
/// Fails if there is no such gateway, or if the data folder cannot be opened.
pub async fn foresee_gateway(data: &Path, gateway: &GatewayId) -> Result<Removed, AdminError> {
    let granted = by_operator(Action::ForeseeGateway)?;
    let removal =
        with_store(data, async |store| Ok(store.look_at_gateway(&granted, gateway).await?));
    found(removal.await?, || (format!("gateway {gateway}"), "gateway"))
}

/// Returns everything that would go with a user, except sessions.
///
/// # Errors
/// Fails if there is no such user, if it is the last owner, or if the data folder cannot be opened.
pub async fn foresee_user(data: &Path, name: &str) -> Result<Removed, AdminError> {
    let granted = by_operator(Action::ForeseeUser)?;
    let removal = with_store(data, async |store| match store.find_user(name).await? {
        Some(user) => Ok(store.look_at_user(&granted, user.id).await?),
        None => Ok(None),
    });
    found(removal.await?, || (format!("user {name}"), "user"))
}

/// Returns the hash of a new password, unless it is weak.
async fn hash_of(password: String) -> Result<String, AdminError> {
    if let Some(weakness) = password::weakness(&password) {
        return Err(AdminError::Weak(weakness));
    }
    password::hash(password).await.map_err(|_| AdminError::Hash)
}

/// Returns the newest events of the audit log, the latest first.
///
/// # Errors
/// Fails if the data folder cannot be opened.
pub async fn audit(data: &Path) -> Result<Vec<AuditEvent>, AdminError> {
    let granted = by_operator(Action::ReadAudit)?;
    with_store(data, async |store| Ok(store.audit(&granted, None).await?)).await
}

/// Opens the database, uses it and closes it.
async fn with_store<T>(
    data: &Path,
    act: impl AsyncFnOnce(&Store) -> Result<T, AdminError>,
) -> Result<T, AdminError> {
    let store = Store::open(data).await?;
    let result = act(&store).await;
    store.close().await;
    result
}

/// Returns what was removed; without anything, the error that names it and the list to look at.
fn found(
    removal: Option<Removal>,
    name: impl FnOnce() -> (String, &'static str),
) -> Result<Removed, AdminError> {
    removal.map(|removal| removal.removed).ok_or_else(|| {
        let (name, list) = name();
        AdminError::Unknown(name, list)
    })
}

/// Returns the permission to enrol a gateway, as the operator gives it.
pub(crate) fn enrolment_by_operator() -> Result<Granted<Enrolment>, NotGiven> {
    operator(Action::CreateClaim)?.give_enrolment(CLAIM_LIFETIME, now())
}

/// Returns the right of the operator on the whole server.
pub(crate) fn by_operator(action: Action) -> Result<Granted<Everything>, Denied> {
    operator(action)?.everything(now())
}

/// Admits the operator to an action: an owner without limits, because the data folder is theirs.
pub(crate) fn operator(action: Action) -> Result<Admitted, Denied> {
    let [subject, credential, name] = ["operator"; 3].map(str::to_owned);
    let identity = Identity { subject, credential, name };
    let operator = Principal::new(identity, Role::Owner, Objects::All, None);
    action.admit(Sender::Principal(operator), now())
}
