//! The gateways of a run, whose connections are cut again and again.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use porthole_signaling_proto::method::{
    ConnectDevice, ConnectDeviceParams, ConnectDeviceResult, Invite, InviteParams, InviteResult,
    Method as _, Notification as _, Offer, OfferParams, OfferResult, Trickle, TrickleParams,
};
use porthole_signaling_proto::rpc::{Fault, Message, RequestId};
use porthole_signaling_proto::{CameraId, IceCandidate, SessionId, rpc};
use tokio::time::{sleep, timeout};

use super::stamps::{Counts, Wanted};
use super::{CAMERAS, World, between};
use crate::link::Link;

/// Life of a connection, from and to, in milliseconds.
const LIFE_MS: (u64, u64) = (5_000, 60_000);
/// Longest wait before a connection is opened again, in milliseconds.
const BACKOFF_MS: u64 = 1_000;
/// Descriptions without an answer that are remembered; of more, the answers are not compared.
const MOST_OFFERS: usize = 4_096;

/// Connects and answers, again and again.
pub(super) async fn run(world: Arc<World>, number: usize) {
    loop {
        if let Ok(link) = open(&world, number).await {
            let life = between(LIFE_MS.0, LIFE_MS.1);
            if timeout(life, Device::new(&world, number, link).serve()).await.is_err() {
                Counts::add(&world.counts.cut);
            }
        }
        sleep(between(0, BACKOFF_MS)).await;
    }
}

async fn open(world: &World, number: usize) -> Result<Link> {
    let gateway = world.gateways.get(number).context("no such gateway")?;
    gateway.open(&world.entrance, number, &CAMERAS).await
}

/// One connection of a gateway.
struct Device<'a> {
    world: &'a World,
    number: usize,
    link: Link,
    /// The stamp of each description that was sent.
    offers: HashMap<i64, String>,
    last: i64,
}

impl<'a> Device<'a> {
    fn new(world: &'a World, number: usize, link: Link) -> Self {
        Self { world, number, link, offers: HashMap::new(), last: 0 }
    }

    async fn serve(mut self) -> Result<()> {
        while let Some(message) = self.link.next().await? {
            self.handle(message).await?;
        }
        Ok(())
    }

    fn own(&self, camera: CameraId) -> Result<Wanted> {
        let gateway = self.world.gateways.get(self.number).context("no such gateway")?.id.clone();
        Ok(Wanted { gateway, camera })
    }

    fn compare(&self, found: &str, is_right: bool) {
        self.world.counts.compare(found, is_right, &format!("gateway {}", self.number));
    }

    async fn handle(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Request { id, method, params } if method == ConnectDevice::NAME => {
                let params: ConnectDeviceParams = rpc::read(params).map_err(unreadable)?;
                let camera = params.profile.context("a camera is asked for")?;
                self.invite(id, params.session, camera).await?;
            }
            Message::Request { id, method, params } if method == Offer::NAME => {
                let OfferParams { profile, offer, .. } = rpc::read(params).map_err(unreadable)?;
                let wanted = self.own(profile)?;
                let stamp = format!("s={} {} whep", wanted.gateway, wanted.camera);
                self.compare(&offer, offer.contains(&stamp));
                let line = offer.lines().find_map(|line| line.strip_prefix("s="));
                let answer = line.context("an offer without a stamp")?.to_owned();
                self.link.send(&Message::result::<Offer>(id, &OfferResult { answer })).await?;
            }
            Message::Notification { method, params } if method == Trickle::NAME => {
                let TrickleParams { session, candidate } = rpc::read(params).map_err(unreadable)?;
                let stamp = candidate.candidate;
                let own = self.own(CAMERAS[0].parse()?)?;
                let is_right =
                    stamp.starts_with(own.gateway.as_str()) && stamp.ends_with(session.as_str());
                self.compare(&stamp, is_right);
            }
            Message::Response { id: Some(RequestId::Number(number)), outcome: Ok(result) } => {
                let Some(stamp) = self.offers.remove(&number) else { return Ok(()) };
                let InviteResult { answer, .. } = rpc::read(result).map_err(unreadable)?;
                self.compare(&answer, answer == stamp);
                Counts::add(&self.world.counts.answered);
            }
            Message::Request { .. }
            | Message::Response { .. }
            | Message::Notification { .. }
            | Message::Error(_) => {}
        }
        Ok(())
    }

    /// Accepts a request for a session, and sends a description and a candidate.
    async fn invite(&mut self, id: RequestId, session: SessionId, camera: CameraId) -> Result<()> {
        let result = ConnectDeviceResult::default();
        self.link.send(&Message::result::<ConnectDevice>(id, &result)).await?;
        let stamp = self.own(camera)?.stamp(&session);
        self.last += 1;
        if self.offers.len() < MOST_OFFERS {
            self.offers.insert(self.last, stamp.clone());
        }
        let offer = stamp.clone();
        let invite = InviteParams { session: session.clone(), offer, subprotocols: None };
        self.link.send(&Message::request::<Invite>(self.last, &invite)).await?;
        self.link.send(&trickle(session, stamp)).await
    }
}

/// Returns a candidate with a stamp.
pub(super) fn trickle(session: SessionId, candidate: String) -> Message {
    let candidate =
        IceCandidate { candidate, sdp_mid: None, sdp_mline_index: None, username_fragment: None };
    Message::notification::<Trickle>(&TrickleParams { session, candidate })
}

/// Returns the error for what the server has sent and cannot be read.
pub(super) fn unreadable(fault: Fault) -> anyhow::Error {
    anyhow::anyhow!("the server sends what cannot be read: {fault}")
}
