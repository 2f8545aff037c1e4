//! Changes that the command line makes in the data folder, even while the server runs.

use std::path::Path;

use porthole_signaling_core::{
    Action, Admitted, Denied, Enrolment, Granted, Identity, NotGiven, Objects, Principal, Sender,
};
use porthole_signaling_proto::rest::{Claim, NewToken, Role, Token};

use crate::driver::now;
use crate::store::{CLAIM_LIFETIME, OpenError, Store, StoreError, TokenError};

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
}

/// Creates an API token. A running server accepts it at once.
///
/// # Errors
/// Fails if the data folder cannot be opened or written, or if it is not certain whose camera one
/// of the ids means.
pub async fn create_token(data: &Path, new: NewToken) -> Result<Token, AdminError> {
    let giver = operator(Action::CreateToken)?;
    let store = Store::open(data).await?;
    let token = store.create_token(&giver, &new).await;
    store.close().await;
    Ok(token?)
}

/// Creates a claim code, with which one gateway can enrol within an hour.
///
/// # Errors
/// Fails if the data folder cannot be opened or written.
pub async fn create_claim(data: &Path) -> Result<Claim, AdminError> {
    let granted = enrolment_by_operator()?;
    let store = Store::open(data).await?;
    let claim = store.create_claim(&granted, None).await;
    store.close().await;
    Ok(claim?)
}

/// Returns the permission to enrol a gateway, as the operator gives it.
pub(crate) fn enrolment_by_operator() -> Result<Granted<Enrolment>, NotGiven> {
    operator(Action::CreateClaim)?.give_enrolment(CLAIM_LIFETIME, now())
}

/// Returns the right of the operator on the whole server.
#[cfg(test)]
pub(crate) fn by_operator(
    action: Action,
) -> Result<Granted<porthole_signaling_core::Everything>, Denied> {
    operator(action)?.everything(now())
}

/// Admits the operator to an action: an admin without limits, because the data folder is theirs.
pub(crate) fn operator(action: Action) -> Result<Admitted, Denied> {
    let [subject, credential, name] = ["operator"; 3].map(str::to_owned);
    let identity = Identity { subject, credential, name };
    let operator = Principal::new(identity, Role::Admin, Objects::All, None);
    action.admit(Sender::Principal(operator), now())
}
