//! The gateways: each keeps its connection, and answers whoever asks for its camera.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use porthole_signaling_proto::method::{
    ConnectDevice, ConnectDeviceParams, ConnectDeviceResult, Invite, InviteParams, InviteResult,
    Method as _,
};
use porthole_signaling_proto::rpc::Message;
use porthole_signaling_proto::{GatewayId, rpc};

use crate::gateway::{Entrance, Gateway};
use crate::link::{CAMERA, Link};
use crate::server::Server;

/// Size of a description: a browser's has as much.
pub(crate) const OFFER_BYTES: usize = 3_000;
/// Longest wait before a connection is opened again.
const BACKOFF: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

/// All gateways of a run.
#[derive(Debug)]
pub(crate) struct Crowd {
    gateways: Vec<Gateway>,
    online: AtomicUsize,
    entrance: Entrance,
    start: Instant,
    /// Times from each request to the answer at the gateway.
    times: Mutex<Vec<Duration>>,
}

impl Crowd {
    /// Makes the keys of this many gateways.
    pub(crate) fn new(server: &Server, count: usize) -> Self {
        Self {
            gateways: (0..count).map(|_| Gateway::new()).collect(),
            online: AtomicUsize::new(0),
            entrance: Entrance::new(server.address(), server.data().to_owned()),
            start: Instant::now(),
            times: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &GatewayId> {
        self.gateways.iter().map(|gateway| &gateway.id)
    }

    /// Returns the time since the start, as a viewer writes it into its answer.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Returns the times that were noted so far.
    pub(crate) fn take_times(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.times.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Starts a task for each gateway, which connects again whenever its connection has ended.
    pub(crate) fn connect(self: &Arc<Self>) {
        for number in 0..self.gateways.len() {
            let crowd = Arc::clone(self);
            tokio::spawn(async move {
                loop {
                    if let Ok(link) = crowd.open(number).await {
                        crowd.online.fetch_add(1, Ordering::Relaxed);
                        // However it ends, the next one is opened.
                        let _ = crowd.serve(link).await;
                        crowd.online.fetch_sub(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(BACKOFF.mul_f64(rand::random())).await;
                }
            });
        }
    }

    async fn open(&self, number: usize) -> Result<Link> {
        let Some(gateway) = self.gateways.get(number) else { bail!("no such gateway") };
        gateway.open(&self.entrance, number, &[CAMERA]).await
    }

    /// Answers as a gateway until the connection ends.
    async fn serve(&self, mut link: Link) -> Result<()> {
        let mut last = 0;
        while let Some(message) = link.next().await? {
            match message {
                Message::Request { id, method, params } if method == ConnectDevice::NAME => {
                    let Ok(ConnectDeviceParams { session, .. }) = rpc::read(params) else {
                        continue;
                    };
                    let result = ConnectDeviceResult::default();
                    link.send(&Message::result::<ConnectDevice>(id, &result)).await?;
                    let offer = "x".repeat(OFFER_BYTES);
                    let invite = InviteParams { session, offer, subprotocols: None };
                    last += 1;
                    link.send(&Message::request::<Invite>(last, &invite)).await?;
                }
                Message::Response { outcome: Ok(result), .. } => {
                    let Ok(InviteResult { answer, .. }) = rpc::read(result) else { continue };
                    let asked = answer.trim_end().parse().map(Duration::from_nanos)?;
                    let took = self.now().saturating_sub(asked);
                    self.times.lock().unwrap_or_else(PoisonError::into_inner).push(took);
                }
                Message::Request { .. }
                | Message::Response { .. }
                | Message::Notification { .. }
                | Message::Error(_) => {}
            }
        }
        Ok(())
    }

    /// Waits until all gateways are registered.
    pub(crate) async fn wait_until_online(&self, patience: Duration) -> Result<()> {
        self.wait(patience, "online", |online| online == self.gateways.len()).await
    }

    /// Waits until no gateway has a connection.
    pub(crate) async fn wait_until_offline(&self, patience: Duration) -> Result<()> {
        self.wait(patience, "offline", |online| online == 0).await
    }

    async fn wait(&self, patience: Duration, what: &str, is: impl Fn(usize) -> bool) -> Result<()> {
        let until = Instant::now() + patience;
        while !is(self.online.load(Ordering::Relaxed)) {
            if Instant::now() > until {
                let online = self.online.load(Ordering::Relaxed);
                bail!("not all are {what}: {online} of {}", self.gateways.len());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}
