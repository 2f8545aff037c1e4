//! One gateway: its key, its claim code, and how it connects.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use ed25519_dalek::SigningKey;
use porthole_signaling::admin;
use porthole_signaling_proto::GatewayId;
use porthole_signaling_proto::identity::gateway_id;
use tokio::sync::Semaphore;

use crate::link::Link;

/// Connections that are opened at the same time, and claim codes that are made at once. Together
/// they are no more than the 64 codes that may wait for a gateway.
const OPENING: usize = 32;

/// The way into the server, which a bounded number of gateways takes at the same time.
#[derive(Debug)]
pub(crate) struct Entrance {
    server: SocketAddr,
    data: PathBuf,
    opening: Semaphore,
    /// Claim codes that no gateway has taken yet.
    claims: tokio::sync::Mutex<Vec<String>>,
}

impl Entrance {
    pub(crate) fn new(server: SocketAddr, data: PathBuf) -> Self {
        let (opening, claims) = (Semaphore::new(OPENING), tokio::sync::Mutex::default());
        Self { server, data, opening, claims }
    }

    async fn claim(&self) -> Result<String> {
        let mut claims = self.claims.lock().await;
        if claims.is_empty() {
            let made = admin::create_claims(&self.data, OPENING).await?;
            claims.extend(made.into_iter().map(|claim| claim.code));
        }
        claims.pop().context("no claim code was made")
    }
}

/// Gateway of a run, with its key.
#[derive(Debug)]
pub(crate) struct Gateway {
    key: SigningKey,
    pub(crate) id: GatewayId,
    state: Mutex<State>,
}

/// State of a gateway on its way into the server.
#[derive(Debug, Clone)]
enum State {
    New,
    /// A gateway with a claim code, which it has not used yet, or not seen the answer.
    Claimed(String),
    Enrolled,
}

impl Gateway {
    pub(crate) fn new() -> Self {
        let key = SigningKey::from_bytes(&rand::random());
        let id = gateway_id(&key.verifying_key().to_bytes());
        Self { key, id, state: Mutex::new(State::New) }
    }

    /// Connects and registers with its cameras, the first time with a claim code.
    pub(crate) async fn open(
        &self,
        entrance: &Entrance,
        number: usize,
        cameras: &[&str],
    ) -> Result<Link> {
        let _permit = entrance.opening.acquire().await?;
        let state = self.state().clone();
        let claim = match state {
            State::New => {
                let claim = entrance.claim().await?;
                *self.state() = State::Claimed(claim.clone());
                Some(claim)
            }
            State::Claimed(claim) => Some(claim),
            State::Enrolled => None,
        };
        let (server, claim) = (entrance.server, claim.as_deref());
        let link = Link::gateway(server, number, &self.key, claim, cameras).await?;
        *self.state() = State::Enrolled;
        Ok(link)
    }

    pub(crate) fn has_enrolled(&self) -> bool {
        matches!(*self.state(), State::Enrolled)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
