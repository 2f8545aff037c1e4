//! Sessions by WHEP, each over a connection of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::World;
use super::stamps::{Counts, Wanted};
use crate::link::connect_from;

/// Time for a whole request.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest response that is read.
const MOST_BYTES: u64 = 64 * 1024;

/// Number of the last request of the run.
static LAST: AtomicU64 = AtomicU64::new(0);

/// Request for one session.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) wanted: Wanted,
    pub(super) token: String,
}

impl Request {
    /// Sends it, and compares the answer with what was asked for.
    pub(super) async fn send(self, world: Arc<World>, number: usize, is_granted: bool) {
        let stamp = self.wanted.whep_stamp(LAST.fetch_add(1, Ordering::Relaxed));
        let response = timeout(PATIENCE, self.exchange(&world, number, &stamp)).await;
        // A server that is killed answers nothing.
        let Ok(Ok(response)) = response else { return };
        if !response.starts_with("HTTP/1.1 201 ") {
            return Counts::add(&world.counts.refused);
        }
        let is_right = is_granted && response.ends_with(&format!("\r\n\r\n{stamp}"));
        world.counts.compare(&response, is_right, &format!("viewer {number}, by WHEP,"));
        Counts::add(&world.counts.answered);
    }

    async fn exchange(&self, world: &World, number: usize, stamp: &str) -> Result<String> {
        let mut stream = connect_from(world.server, number).await?;
        let offer = format!("a=ice-ufrag:abcd\r\ns={stamp}\r\n");
        let Wanted { gateway, camera } = &self.wanted;
        let request = format!(
            "POST /whep/{camera}@{gateway} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\nConnection: close\r\n\r\n\
             {offer}",
            world.server,
            self.token,
            offer.len(),
        );
        stream.write_all(request.as_bytes()).await?;
        let mut response = Vec::new();
        stream.take(MOST_BYTES).read_to_end(&mut response).await?;
        String::from_utf8(response).context("the response is not text")
    }
}
