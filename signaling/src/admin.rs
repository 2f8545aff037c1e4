//! What the command line does with the data folder, also while the server runs.

use crate::store::{OpenError, Store, StoreError};
use porthole_signaling_proto::rest::{Claim, NewToken, Token};
use std::path::Path;

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// There is no database to write to.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes an API token. The server takes it at once.
///
/// # Errors
/// When the data folder cannot be written.
pub async fn create_token(data: &Path, new: NewToken) -> Result<Token, AdminError> {
    let store = Store::open(data).await?;
    let token = store.new_token(&new).await;
    store.close().await;
    Ok(token?)
}

/// Makes a claim code, by which one gateway can become known.
///
/// # Errors
/// When the data folder cannot be written.
pub async fn create_claim(data: &Path) -> Result<Claim, AdminError> {
    let store = Store::open(data).await?;
    let claim = store.new_claim().await;
    store.close().await;
    Ok(claim?)
}
