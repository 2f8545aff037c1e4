//! Changes that the command line makes in the data folder, even while the server runs.

use std::path::Path;

use porthole_signaling_proto::rest::{Claim, NewToken, Token};

use crate::store::{OpenError, Store, StoreError};

/// An error of an administrative command.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The database could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Creates an API token. A running server accepts it at once.
///
/// # Errors
/// Fails if the data folder cannot be opened or written.
pub async fn create_token(data: &Path, new: NewToken) -> Result<Token, AdminError> {
    let store = Store::open(data).await?;
    let token = store.create_token(&new).await;
    store.close().await;
    Ok(token?)
}

/// Creates a claim code, with which one gateway can enrol within an hour.
///
/// # Errors
/// Fails if the data folder cannot be opened or written.
pub async fn create_claim(data: &Path) -> Result<Claim, AdminError> {
    let store = Store::open(data).await?;
    let claim = store.create_claim().await;
    store.close().await;
    Ok(claim?)
}
