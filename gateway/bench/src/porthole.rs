//! Our gateway, with a signaling server beside it, and its viewers.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use porthole_gateway_core::dtls_srtp::Identity;
use porthole_signaling_proto::method::{
    Cameras, CamerasParams, Connect, ConnectParams, ConnectResult, Empty, Invite, InviteParams,
    InviteResult, Method as _, Notification as _, Register, RegisterParams, Trickle, TrickleParams,
    Unregister,
};
use porthole_signaling_proto::rpc::{Message, RequestId};
use porthole_signaling_proto::{CameraId, CameraState, GatewayId, IceCandidate, SessionId, rpc};
use porthole_viewer::link::{self, LinkEvent};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use url::Url;

use crate::contender::{Joined, PATIENCE};
use crate::network::ADDRESS;
use crate::process::Process;
use crate::viewer::{Counters, Viewer};

/// Port of the signaling server, in a namespace of the benchmark's own.
const HTTP: u16 = 8080;

/// Number of viewers for each connection to the server; a token is good for 64 sessions.
const VIEWERS_PER_LINK: usize = 50;

/// Capacity of the queues to and from a connection.
const QUEUE: usize = 1024;

/// The number of the request that registers; those of viewers follow.
const REGISTER: i64 = 0;

/// A signaling server and a gateway.
pub(crate) struct Porthole {
    pub(crate) gateway: Process,
    _signaling: Process,
    server: Url,
    cameras: usize,
    links: Vec<JoinHandle<Result<()>>>,
    binary: std::path::PathBuf,
    data: TempDir,
}

impl Porthole {
    /// Starts both, with a camera for each port.
    pub(crate) async fn start(binary: &Path, ports: &[u16]) -> Result<Self> {
        let data = TempDir::new()?;
        let server = format!("http://{}:{HTTP}", Ipv4Addr::LOCALHOST).parse::<Url>()?;
        let mut signaling = Command::new(binary);
        signaling.arg("signaling").args(["--http", &format!("{}:{HTTP}", Ipv4Addr::LOCALHOST)]);
        signaling.arg("--data").arg(data.path().join("server"));
        let signaling = Process::start(&mut signaling)?;
        let began = Instant::now();
        while tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, HTTP)).await.is_err() {
            ensure!(began.elapsed() < PATIENCE, "the signaling server does not start");
            sleep(Duration::from_millis(50)).await;
        }
        let claim = word(binary, &data, &["claim", "create"])?;
        let mut gateway = Command::new(binary);
        gateway.args(["gateway", "--server", server.as_str(), "--claim", &claim]);
        gateway.arg("--data").arg(data.path().join("gateway"));
        gateway.env("PORTHOLE__GATEWAY__PORT_MAPPING", "off");
        for (number, port) in ports.iter().enumerate() {
            let source = format!("cam{number}=rtp://{}:{port}?codec=h264", Ipv4Addr::LOCALHOST);
            gateway.args(["--camera", &source]);
        }
        let gateway = Process::start(&mut gateway)?;
        let (cameras, links, binary) = (ports.len(), Vec::new(), binary.to_owned());
        Ok(Self { gateway, _signaling: signaling, server, cameras, links, binary, data })
    }

    /// Lets this many viewers join, each after an interval; viewer n watches camera n modulo their
    /// number.
    pub(crate) async fn join(
        &mut self,
        viewers: usize,
        interval: Duration,
        counters: &Arc<Counters>,
    ) -> Result<Vec<Joined>> {
        let (joined, mut all) = mpsc::channel(QUEUE);
        let count = viewers.div_ceil(VIEWERS_PER_LINK).max(1);
        let mut lines = Vec::new();
        for _ in 0..count {
            lines.push(self.line(&joined, counters).await?);
        }
        // The connections take turns.
        let turns = u32::try_from(count)?;
        for (first, (line, gateway)) in lines.into_iter().enumerate() {
            let cameras = (first..viewers).step_by(count).map(|viewer| viewer % self.cameras);
            let run = line.run(gateway, cameras.collect(), interval * turns);
            self.links.push(tokio::spawn(run));
            sleep(interval).await;
        }
        drop(joined);
        let mut list = Vec::new();
        while list.len() < viewers {
            let next = timeout(PATIENCE, all.recv()).await.context("a viewer cannot join")?;
            list.push(next.context("a connection has ended")?);
        }
        Ok(list)
    }

    /// Connects to the server with a token of its own, and waits until all cameras are live.
    async fn line(
        &mut self,
        joined: &mpsc::Sender<Joined>,
        counters: &Arc<Counters>,
    ) -> Result<(Line, GatewayId)> {
        let name = format!("bench{}", self.links.len());
        let command = ["token", "create", "--role", "viewer", "--name", &name];
        let token = word(&self.binary, &self.data, &command)?;
        let (messages, outgoing) = mpsc::channel(QUEUE);
        let (events, incoming) = mpsc::channel(QUEUE);
        let server = self.server.clone();
        self.links
            .push(tokio::spawn(async move { link::run(&server, &token, events, outgoing).await }));
        let mut line = Line {
            messages,
            incoming,
            joined: joined.clone(),
            counters: Arc::clone(counters),
            identity: Identity::generate()?,
            sessions: HashMap::new(),
        };
        let gateway = timeout(PATIENCE, line.wait_for_cameras(self.cameras)).await;
        let gateway = gateway.context("the cameras are not live")??;
        Ok((line, gateway))
    }
}

impl Drop for Porthole {
    fn drop(&mut self) {
        self.links.iter().for_each(JoinHandle::abort);
    }
}

/// Runs a command of the program that prints one word.
fn word(binary: &Path, data: &TempDir, arguments: &[&str]) -> Result<String> {
    let folder = data.path().join("server");
    let output = Command::new(binary).args(arguments).arg("--data").arg(folder).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A session that has not answered yet, or whose viewer takes candidates.
struct Session {
    asked: Instant,
    early: Vec<String>,
    candidates: Option<mpsc::Sender<String>>,
}

/// The viewers of one connection.
struct Line {
    messages: mpsc::Sender<Message>,
    incoming: mpsc::Receiver<LinkEvent>,
    joined: mpsc::Sender<Joined>,
    counters: Arc<Counters>,
    identity: Identity,
    sessions: HashMap<SessionId, Session>,
}

impl Line {
    /// Registers, and waits until all cameras are live.
    async fn wait_for_cameras(&mut self, count: usize) -> Result<GatewayId> {
        loop {
            match self.incoming.recv().await.context("the connection has ended")? {
                LinkEvent::Online { .. } => {
                    let register = RegisterParams::default();
                    self.messages.send(Message::request::<Register>(REGISTER, &register)).await?;
                }
                LinkEvent::Offline => return Err(anyhow!("the connection has ended")),
                LinkEvent::Message(Message::Notification { method, params })
                    if method == Cameras::NAME =>
                {
                    let CamerasParams { cameras } =
                        rpc::read(params).map_err(|e| anyhow!("{e}"))?;
                    let live = cameras.iter().filter(|c| c.report.state == CameraState::Live);
                    if live.count() == count
                        && let Some(camera) = cameras.first()
                    {
                        return Ok(camera.gateway.clone());
                    }
                }
                LinkEvent::Message(_) => {}
            }
        }
    }

    /// Lets a viewer of each of these cameras join, and goes on until the connection ends.
    async fn run(
        mut self,
        gateway: GatewayId,
        cameras: Vec<usize>,
        interval: Duration,
    ) -> Result<()> {
        let mut cameras = cameras.into_iter().zip(REGISTER + 1..);
        let mut asked = HashMap::new();
        let mut ticks = tokio::time::interval(interval);
        let mut is_done = false;
        loop {
            tokio::select! {
                _ = ticks.tick(), if !is_done => {
                    let Some((camera, id)) = cameras.next() else {
                        is_done = true;
                        continue;
                    };
                    asked.insert(RequestId::Number(id), Instant::now());
                    let profile = format!("cam{camera}").parse::<CameraId>()?;
                    let params = ConnectParams {
                        peer: gateway.clone(),
                        profile: Some(profile),
                        authorization: None,
                        audio: Some(false),
                    };
                    self.messages.send(Message::request::<Connect>(id, &params)).await?;
                }
                event = self.incoming.recv() => {
                    match event.context("the connection has ended")? {
                        LinkEvent::Message(message) => self.handle(message, &mut asked).await?,
                        LinkEvent::Online { .. } | LinkEvent::Offline => {}
                    }
                }
            }
        }
    }

    async fn handle(
        &mut self,
        message: Message,
        asked: &mut HashMap<RequestId, Instant>,
    ) -> Result<()> {
        match message {
            Message::Response { id: Some(id), outcome } => {
                let Some(asked) = asked.remove(&id) else { return Ok(()) };
                let result = outcome.and_then(rpc::read::<ConnectResult>);
                let session = result.map_err(|fault| anyhow!("{fault}"))?.session;
                let (early, candidates) = (Vec::new(), None);
                self.sessions.entry(session).or_insert(Session { asked, early, candidates });
            }
            Message::Request { id, method, params } if method == Invite::NAME => {
                let params = rpc::read(params).map_err(|e| anyhow!("{e}"))?;
                self.answer(id, params).await?;
            }
            Message::Request { id, .. } => {
                let done = Message::result::<Unregister>(id, &Empty {});
                self.messages.send(done).await?;
            }
            Message::Notification { method, params } if method == Trickle::NAME => {
                let trickle: TrickleParams = rpc::read(params).map_err(|e| anyhow!("{e}"))?;
                let Some(session) = self.sessions.get_mut(&trickle.session) else { return Ok(()) };
                let candidate = trickle.candidate.candidate;
                match &session.candidates {
                    // A viewer that has ended takes none.
                    Some(candidates) => drop(candidates.send(candidate).await),
                    None => session.early.push(candidate),
                }
            }
            Message::Response { .. } | Message::Notification { .. } | Message::Error(_) => {}
        }
        Ok(())
    }

    /// Answers the offer of a session with a viewer.
    async fn answer(&mut self, id: RequestId, params: InviteParams) -> Result<()> {
        let InviteParams { session: name, offer, .. } = params;
        let session = self.sessions.get_mut(&name).context("an offer without a session")?;
        let (viewer, reply) = Viewer::start(&offer, ADDRESS, &self.identity, &self.counters)?;
        for candidate in session.early.drain(..) {
            viewer.candidates.send(candidate).await?;
        }
        session.candidates = Some(viewer.candidates.clone());
        let asked = session.asked;
        let result = InviteResult { answer: reply.answer, subprotocols: None };
        self.messages.send(Message::result::<Invite>(id, &result)).await?;
        for candidate in reply.candidates {
            let candidate = IceCandidate {
                candidate,
                sdp_mid: None,
                sdp_mline_index: Some(0),
                username_fragment: None,
            };
            let params = TrickleParams { session: name.clone(), candidate };
            self.messages.send(Message::notification::<Trickle>(&params)).await?;
        }
        self.joined.send(Joined { asked, viewer }).await?;
        Ok(())
    }
}
