//! One gateway: its key, its claim code, and how it connects.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use ed25519_dalek::SigningKey;
use porthole_signaling_proto::GatewayId;
use porthole_signaling_proto::identity::gateway_id;
use tokio::sync::Semaphore;

use crate::link::Link;

/// Connections that are opened at the same time.
pub(crate) const OPENING: usize = 64;

/// Gateway of a run, with its key.
#[derive(Debug)]
pub(crate) struct Gateway {
    key: SigningKey,
    pub(crate) id: GatewayId,
    /// Its claim code, until it has enrolled.
    claim: Mutex<Option<String>>,
}

impl Gateway {
    pub(crate) fn new(claim: String) -> Self {
        let key = SigningKey::from_bytes(&rand::random());
        let id = gateway_id(&key.verifying_key().to_bytes());
        Self { key, id, claim: Mutex::new(Some(claim)) }
    }

    /// Connects and registers with its cameras, the first time with its claim code.
    pub(crate) async fn open(
        &self,
        server: SocketAddr,
        number: usize,
        opening: &Semaphore,
        cameras: &[&str],
    ) -> Result<Link> {
        let _permit = opening.acquire().await?;
        let claim = self.claim().clone();
        let link = Link::gateway(server, number, &self.key, claim.as_deref(), cameras).await?;
        *self.claim() = None;
        Ok(link)
    }

    pub(crate) fn has_enrolled(&self) -> bool {
        self.claim().is_none()
    }

    fn claim(&self) -> MutexGuard<'_, Option<String>> {
        self.claim.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
