//! The viewers of a run. Each has a token for some cameras, which is revoked now and then.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use porthole_signaling::admin;
use porthole_signaling_proto::method::{
    Close, Connect, ConnectParams, ConnectResult, Invite, InviteParams, InviteResult, Method as _,
    Notification as _, SessionParams, Trickle, TrickleParams,
};
use porthole_signaling_proto::rest::{NewToken, Role};
use porthole_signaling_proto::rpc::{Fault, Message, RequestId};
use porthole_signaling_proto::{CameraAddress, SessionId, rpc};
use rand::Rng as _;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::gateways::{trickle, unreadable};
use super::stamps::{Counts, Wanted};
use super::{CAMERAS, World, between, lock, whep};
use crate::gateway::Gateway;
use crate::link::Link;

/// Gateways whose cameras a viewer may watch.
const GRANTS: usize = 20;
/// Time between two sessions that a viewer asks for.
const PACE: Duration = Duration::from_millis(200);
/// Life of a connection, from and to, in milliseconds.
const LIFE_MS: (u64, u64) = (3_000, 20_000);
/// Longest wait before a connection is opened again, in milliseconds.
const BACKOFF_MS: u64 = 500;
/// Time for what is on its way when all was asked for.
const LAST: Duration = Duration::from_secs(3);
/// Sessions of a viewer that are remembered.
const MOST_SESSIONS: usize = 4_096;

/// Cameras that a viewer may watch, and the token with which it does.
#[derive(Debug)]
pub(super) struct Access {
    grants: Vec<Wanted>,
    token: Mutex<Option<IssuedToken>>,
    /// Number of the next token.
    next: AtomicU64,
    /// The token that was revoked last, and when.
    revoked: Mutex<Option<(String, Instant)>>,
}

#[derive(Debug, Clone)]
struct IssuedToken {
    name: String,
    text: String,
}

impl Access {
    /// Chooses cameras of some gateways: not all of them, so that what is refused can be seen.
    pub(super) fn random(gateways: &[Gateway]) -> Result<Self> {
        let mut rng = rand::rng();
        let chosen: BTreeSet<usize> =
            (0..GRANTS).map(|_| rng.random_range(0..gateways.len())).collect();
        let gateways = chosen.into_iter().filter_map(|index| gateways.get(index));
        let mut grants = Vec::new();
        for gateway in gateways {
            for camera in CAMERAS.iter().take(CAMERAS.len() - 1) {
                grants.push(Wanted { gateway: gateway.id.clone(), camera: camera.parse()? });
            }
        }
        let (token, revoked) = (Mutex::default(), Mutex::default());
        Ok(Self { grants, token, next: AtomicU64::new(0), revoked })
    }

    /// Revokes the token, if there is one. The viewer gets another one.
    pub(super) async fn revoke(&self, world: &World) -> Result<()> {
        let Some(token) = lock(&self.token).take() else { return Ok(()) };
        let listed = admin::tokens(&world.data).await?;
        let found = listed.iter().find(|listed| listed.name == token.name);
        admin::revoke_token(&world.data, found.context("a token is not listed")?.id).await?;
        *lock(&self.revoked) = Some((token.text, Instant::now()));
        Counts::add(&world.counts.revoked);
        Ok(())
    }

    async fn token(&self, world: &World, number: usize) -> Result<String> {
        if let Some(token) = lock(&self.token).clone() {
            return Ok(token.text);
        }
        let address =
            |wanted: &Wanted| CameraAddress::at(wanted.camera.clone(), wanted.gateway.clone());
        let name = format!("viewer {number}.{}", self.next.fetch_add(1, Ordering::Relaxed));
        let new = NewToken {
            name: name.clone(),
            role: Role::Viewer,
            cameras: self.grants.iter().map(address).collect(),
            control: false,
            listen: true,
            scopes: None,
            max_kbit_per_s: None,
            expires_in_seconds: None,
        };
        let created = admin::create_token(&world.data, new).await?;
        let token = IssuedToken { name, text: created.token };
        *lock(&self.token) = Some(token.clone());
        Ok(token.text)
    }
}

/// Asks for sessions until there were enough of all viewers.
pub(super) async fn run(world: Arc<World>, number: usize) -> Result<()> {
    let access = world.viewers.get(number).context("no such viewer")?;
    let mut sessions = HashMap::new();
    while !world.is_over() {
        let token = access.token(&world, number).await?;
        if let Ok(link) = Link::viewer(world.server, number, &token).await {
            let life = between(LIFE_MS.0, LIFE_MS.1);
            let mut viewer = Viewer {
                world: &world,
                access,
                number,
                token: token.clone(),
                link,
                asked: HashMap::new(),
                sessions: &mut sessions,
                last: 0,
            };
            // However it ends, the next connection is opened.
            if timeout(life, viewer.watch()).await.is_err() {
                Counts::add(&world.counts.cut);
            }
            if let Some((revoked, at)) = lock(&access.revoked).take()
                && revoked == token
            {
                world.note_end(at.elapsed());
            }
        }
        sleep(between(0, BACKOFF_MS)).await;
    }
    Ok(())
}

/// Connection of a viewer.
struct Viewer<'a> {
    world: &'a Arc<World>,
    access: &'a Access,
    number: usize,
    token: String,
    link: Link,
    asked: HashMap<i64, Wanted>,
    /// The camera that each session was asked for, by this connection or one before.
    sessions: &'a mut HashMap<SessionId, Wanted>,
    last: i64,
}

impl Viewer<'_> {
    async fn watch(&mut self) -> Result<()> {
        let mut ticks = interval(PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.world.is_over() {
            tokio::select! {
                _ = ticks.tick() => self.ask().await?,
                message = self.link.next() => {
                    self.handle(message?.context("closed by the server")?).await?;
                }
            }
        }
        let last = async {
            while let Some(message) = self.link.next().await? {
                self.handle(message).await?;
            }
            anyhow::Ok(())
        };
        // Nothing more may come, and then the time runs out.
        timeout(LAST, last).await.unwrap_or(Ok(()))
    }

    /// Asks for a camera, one in ten times for one that the viewer may not watch.
    async fn ask(&mut self) -> Result<()> {
        let (wanted, by_whep) = {
            let mut rng = rand::rng();
            let index = rng.random_range(0..self.access.grants.len());
            let mut wanted = self.access.grants.get(index).context("a grant")?.clone();
            if rng.random_bool(0.1) {
                wanted.camera = CAMERAS[CAMERAS.len() - 1].parse()?;
            }
            (wanted, rng.random_bool(0.3))
        };
        Counts::add(&self.world.counts.asked);
        self.last += 1;
        if by_whep {
            let request = whep::Request { wanted: wanted.clone(), token: self.token.clone() };
            let is_granted = self.is_granted(&wanted);
            tokio::spawn(request.send(Arc::clone(self.world), self.number, is_granted));
            return Ok(());
        }
        let (peer, profile) = (wanted.gateway.clone(), Some(wanted.camera.clone()));
        self.asked.insert(self.last, wanted);
        let params = ConnectParams { peer, profile, authorization: None, audio: None };
        self.link.send(&Message::request::<Connect>(self.last, &params)).await
    }

    fn is_granted(&self, wanted: &Wanted) -> bool {
        self.access.grants.contains(wanted)
    }

    async fn handle(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Response { id: Some(RequestId::Number(id)), outcome } => {
                if let Some(wanted) = self.asked.remove(&id) {
                    let result = outcome.map(rpc::read::<ConnectResult>);
                    self.note_result(wanted, result)?;
                }
            }
            Message::Request { id, method, params } if method == Invite::NAME => {
                let InviteParams { session, offer, .. } = rpc::read(params).map_err(unreadable)?;
                let Some(wanted) = self.compare(&session, &offer) else { return Ok(()) };
                let stamp = wanted.stamp(&session);
                let result = InviteResult { answer: stamp.clone(), subprotocols: None };
                self.link.send(&Message::result::<Invite>(id, &result)).await?;
                self.link.send(&trickle(session.clone(), stamp)).await?;
                if rand::rng().random_bool(0.5) {
                    let close = Message::notification::<Close>(&SessionParams { session });
                    self.link.send(&close).await?;
                }
            }
            Message::Notification { method, params } if method == Trickle::NAME => {
                let TrickleParams { session, candidate } = rpc::read(params).map_err(unreadable)?;
                self.compare(&session, &candidate.candidate);
            }
            Message::Request { .. }
            | Message::Response { .. }
            | Message::Notification { .. }
            | Message::Error(_) => {}
        }
        Ok(())
    }

    fn note_result(
        &mut self,
        wanted: Wanted,
        result: Result<Result<ConnectResult, Fault>, Fault>,
    ) -> Result<()> {
        let Ok(result) = result else {
            Counts::add(&self.world.counts.refused);
            return Ok(());
        };
        let session = result.map_err(unreadable)?.session;
        let is_granted = self.is_granted(&wanted);
        let receiver = format!("viewer {}", self.number);
        self.world.counts.compare(&wanted.stamp(&session), is_granted, &receiver);
        if self.sessions.len() >= MOST_SESSIONS {
            self.sessions.clear();
        }
        let known = self.sessions.insert(session, wanted);
        self.world.counts.compare("a session of before", known.is_none(), &receiver);
        Ok(())
    }

    /// Compares what has arrived about a session. It says nothing of a session that is not known:
    /// its request was sent by a connection that was cut before the response.
    fn compare(&self, session: &SessionId, stamp: &str) -> Option<Wanted> {
        let receiver = format!("viewer {}", self.number);
        let Some(wanted) = self.sessions.get(session) else {
            let is_right = self.access.grants.iter().any(|wanted| wanted.stamp(session) == stamp);
            self.world.counts.compare(stamp, is_right, &receiver);
            return None;
        };
        self.world.counts.compare(stamp, wanted.stamp(session) == stamp, &receiver);
        Some(wanted.clone())
    }
}
