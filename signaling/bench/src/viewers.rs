//! The viewers: each asks for cameras at its pace, answers the offers and leaves.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use porthole_signaling::admin;
use porthole_signaling_proto::method::{
    Close, Connect, ConnectParams, ConnectResult, Invite, InviteParams, InviteResult, Method as _,
    SessionParams,
};
use porthole_signaling_proto::rest::{NewToken, Role};
use porthole_signaling_proto::rpc::{Message, RequestId};
use porthole_signaling_proto::{CameraAddress, GatewayId, SessionId, rpc};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout_at};

use crate::crowd::{Crowd, OFFER_BYTES};
use crate::link::{CAMERA, Link};
use crate::server::Server;

/// Number of viewers, among whom the gateways are divided.
pub(crate) const VIEWERS: usize = 100;
/// Most cameras of a token.
const MOST_CAMERAS: usize = 256;
/// Time for the last sessions to be set up.
const LAST: Duration = Duration::from_secs(5);

/// Results of all set-ups.
#[derive(Debug)]
pub(crate) struct Setups {
    pub(crate) asked: u64,
    pub(crate) failed: u64,
    pub(crate) times: Vec<Duration>,
}

/// Lets viewers set sessions up at this rate.
pub(crate) async fn run(
    server: &Server,
    crowd: &Arc<Crowd>,
    rate: u32,
    seconds: u64,
) -> Result<Setups> {
    let ids: Vec<_> = crowd.ids().cloned().collect();
    let mut running = Vec::new();
    let pace = Duration::from_secs(1) * u32::try_from(VIEWERS)? / rate.max(1);
    let mut links = Vec::new();
    for (number, gateways) in ids.chunks(ids.len().div_ceil(VIEWERS).max(1)).enumerate() {
        let gateways: Vec<_> = gateways.iter().take(MOST_CAMERAS).cloned().collect();
        let token = token(server, &gateways).await?;
        links.push((number, gateways, Link::viewer(server.address(), number, &token).await?));
    }
    let start = Instant::now();
    for (number, gateways, link) in links {
        // Spread over the time between two requests of one viewer.
        let first = start + pace * u32::try_from(number)? / u32::try_from(VIEWERS)?;
        let viewer = Viewer { crowd: Arc::clone(crowd), link, gateways, asked: HashMap::new() };
        let end = first + Duration::from_secs(seconds);
        running.push(tokio::spawn(viewer.watch(first, pace, end)));
    }
    let (mut asked, mut failed) = (0, 0);
    for viewer in running {
        let (of_viewer, refused) = viewer.await.context("a viewer has panicked")??;
        asked += of_viewer;
        failed += refused;
    }
    Ok(Setups { asked, failed, times: crowd.take_times() })
}

/// Creates a token for these cameras.
async fn token(server: &Server, gateways: &[GatewayId]) -> Result<String> {
    let camera = |gateway: &GatewayId| Ok(CameraAddress::at(CAMERA.parse()?, gateway.clone()));
    let new = NewToken {
        name: "viewer".to_owned(),
        role: Role::Viewer,
        cameras: gateways.iter().map(camera).collect::<Result<_>>()?,
        control: false,
        listen: true,
        scopes: None,
        max_kbit_per_s: None,
        expires_in_seconds: None,
    };
    Ok(admin::create_token(server.data(), new).await?.token)
}

struct Viewer {
    crowd: Arc<Crowd>,
    link: Link,
    gateways: Vec<GatewayId>,
    /// Times at which requests that are not answered yet, and sessions, were asked for.
    asked: HashMap<i64, Duration>,
}

impl Viewer {
    /// Asks for a camera at each tick until the end. Returns how often, and how often in vain.
    async fn watch(mut self, first: Instant, pace: Duration, end: Instant) -> Result<(u64, u64)> {
        let mut ticks = interval_at(first, pace);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut sessions = HashMap::new();
        let (mut count, mut refused) = (0, 0);
        loop {
            tokio::select! {
                tick = ticks.tick() => {
                    if tick >= end {
                        break;
                    }
                    count += 1;
                    self.ask(count).await?;
                }
                message = self.link.next() => {
                    let message = message?.context("closed by the server")?;
                    refused += u64::from(!self.handle(message, &mut sessions).await?);
                }
            }
        }
        let until = Instant::now() + LAST;
        while let Ok(message) = timeout_at(until, self.link.next()).await {
            let message = message?.context("closed by the server")?;
            refused += u64::from(!self.handle(message, &mut sessions).await?);
        }
        Ok((u64::try_from(count)?, refused))
    }

    async fn ask(&mut self, number: i64) -> Result<()> {
        let index = usize::try_from(number)? % self.gateways.len().max(1);
        let peer = self.gateways.get(index).context("no gateway")?.clone();
        let profile = Some(CAMERA.parse()?);
        let params = ConnectParams { peer, profile, authorization: None, audio: None };
        self.asked.insert(number, self.crowd.now());
        self.link.send(&Message::request::<Connect>(number, &params)).await
    }

    /// Handles a message of the server. Returns false if it refuses a request.
    async fn handle(
        &mut self,
        message: Message,
        sessions: &mut HashMap<SessionId, Duration>,
    ) -> Result<bool> {
        match message {
            Message::Response { id: Some(RequestId::Number(id)), outcome } => {
                let Some(asked) = self.asked.remove(&id) else { return Ok(true) };
                let Some(ConnectResult { session, .. }) =
                    outcome.ok().and_then(|result| rpc::read(result).ok())
                else {
                    return Ok(false);
                };
                sessions.insert(session, asked);
            }
            Message::Request { id, method, params } if method == Invite::NAME => {
                let Ok(InviteParams { session, .. }) = rpc::read(params) else { return Ok(true) };
                let Some(asked) = sessions.remove(&session) else { return Ok(true) };
                let answer = format!("{:<OFFER_BYTES$}", asked.as_nanos());
                let result = InviteResult { answer, subprotocols: None };
                self.link.send(&Message::result::<Invite>(id, &result)).await?;
                let close = Message::notification::<Close>(&SessionParams { session });
                self.link.send(&close).await?;
            }
            Message::Request { .. }
            | Message::Response { .. }
            | Message::Notification { .. }
            | Message::Error(_) => {}
        }
        Ok(true)
    }
}
