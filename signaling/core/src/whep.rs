//! WHEP (draft-ietf-wish-whep-03): a viewer that makes the offer, over HTTP.

use crate::{
    Bucket, Fragment, Hub, Principal, WaiterId,
    client::{forbidden, whole_seconds},
    fragment::ufrag_of,
    request::{Kind, Origin, Request},
    session::{Session, Viewer},
};
use porthole_clock::Now;
use porthole_signaling_proto::{
    CameraId, IceServer, SessionId,
    method::{
        Method as _, Offer, OfferParams, OfferResult, Restart, RestartParams, RestartResult,
        Trickle, TrickleParams,
    },
    rpc::{self, Fault, Message, code},
};
use serde_json::Value;

/// The tokens and users whose rate is remembered; beyond it, those who have rested are forgotten.
/// Each was proven, so strangers cannot fill it.
const MAX_BUCKETS: usize = 4096;

/// HTTP's own reasons to refuse, beside those of `rpc::code`.
pub mod http {
    /// The entity tag is of an older ICE generation (RFC 9110 §15.5.13).
    pub const PRECONDITION_FAILED: i64 = 412;
    /// Without `If-Match` nobody knows which ICE generation is meant (RFC 6585 §3).
    pub const PRECONDITION_REQUIRED: i64 = 428;
}

/// `POST /whep/{camera}`.
#[derive(Debug, Clone)]
pub struct WhepOffer {
    /// Who asks.
    pub principal: Principal,
    /// The camera of the address.
    pub camera: CameraId,
    /// The SDP offer.
    pub offer: String,
}

/// `PATCH /whep/{camera}/{session}`.
#[derive(Debug, Clone)]
pub struct WhepPatch {
    /// Who asks.
    pub principal: Principal,
    /// The session of the address.
    pub session: SessionId,
    /// The `If-Match` header.
    pub if_match: Option<IfMatch>,
    /// The body.
    pub fragment: Fragment,
}

/// `DELETE /whep/{camera}/{session}`.
#[derive(Debug, Clone)]
pub struct WhepDelete {
    /// Who asks.
    pub principal: Principal,
    /// The session of the address.
    pub session: SessionId,
}

/// An `If-Match` header (RFC 9110 §13.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`
    Any,
    /// Entity tags, with their quotes.
    Tags(Vec<String>),
}

/// What a WHEP request gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhepReply {
    /// A session.
    Created {
        /// Its name.
        session: SessionId,
        /// The SDP answer.
        answer: String,
        /// The STUN and TURN servers of the session.
        ice_servers: Vec<IceServer>,
        /// The entity tag of the ICE generation, with its quotes.
        etag: String,
    },
    /// The candidates were passed on.
    Trickled,
    /// A new ICE generation.
    Restarted {
        /// The gateway's side of it.
        fragment: String,
        /// The STUN and TURN servers, with fresh credentials.
        ice_servers: Vec<IceServer>,
        /// Its entity tag, with its quotes.
        etag: String,
    },
    /// The session is over.
    Deleted,
}

impl Hub {
    /// A viewer offers; the answer comes when the gateway has it.
    pub fn whep_offer(&mut self, now: Now, waiter: WaiterId, offer: WhepOffer) {
        if let Err(fault) = self.try_offer(now, waiter, offer) {
            self.reply(waiter, Err(fault));
        }
    }

    fn try_offer(&mut self, now: Now, waiter: WaiterId, offer: WhepOffer) -> Result<(), Fault> {
        let WhepOffer { principal, camera, offer } = offer;
        self.check_rate(now, &principal)?;
        let lifetime = Self::lifetime(now, &principal, self.config.limits.whep_lifetime)?;
        if !principal.may_see(&camera) {
            return Err(forbidden());
        }
        let ufrag = ufrag_of(&offer).map(str::to_owned).ok_or_else(|| {
            Fault::new(code::BAD_REQUEST, "the body is no SDP offer: it has no a=ice-ufrag line")
        })?;
        let gateway = self
            .owner(&camera)
            .cloned()
            .ok_or_else(|| Fault::new(code::NOT_FOUND, "there is no such camera"))?;
        let device = self.online(&gateway)?;
        let session = self.begin(Session {
            gateway,
            camera: camera.clone(),
            viewer: Viewer::Whep { generation: 1, ufrag, restarting: None },
            principal,
            began: now.instant,
            expires: now.instant + lifetime,
            beginning: true,
            ice_servers: Vec::new(),
            open: Vec::new(),
        })?;
        let params = OfferParams {
            session: session.clone(),
            profile: camera,
            offer,
            ice_servers: self.offer_ice(&session, now),
            expiry_time_seconds: Some(whole_seconds(lifetime)),
        };
        let origin = Origin::Waiter(waiter);
        let request = Request { kind: Kind::Offer, session, origin };
        self.request_of(now, device, Offer::NAME, rpc::write(&params), request)
    }

    pub(crate) fn offer_done(
        &mut self,
        name: &SessionId,
        origin: Origin,
        outcome: Result<Value, Fault>,
    ) {
        let answer = match outcome.and_then(rpc::read::<OfferResult>) {
            Ok(OfferResult { answer }) => answer,
            Err(fault) => {
                self.end_at_gateway(name);
                return self.refuse(origin, fault);
            }
        };
        let Origin::Waiter(waiter) = origin else { return };
        let outcome = match self.sessions.get_mut(name) {
            Some(session) => {
                session.beginning = false;
                let ice_servers = std::mem::take(&mut session.ice_servers);
                let (session, etag) = (name.clone(), etag(1));
                Ok(WhepReply::Created { session, answer, ice_servers, etag })
            }
            None => Err(Fault::new(code::GONE, "the session has ended meanwhile")),
        };
        self.reply(waiter, outcome);
    }

    /// A viewer has more candidates, or restarts ICE.
    pub fn whep_patch(&mut self, now: Now, waiter: WaiterId, patch: WhepPatch) {
        match self.try_patch(now, waiter, patch) {
            Ok(Some(reply)) => self.reply(waiter, Ok(reply)),
            Ok(None) => {}
            Err(fault) => self.reply(waiter, Err(fault)),
        }
    }

    fn try_patch(
        &mut self,
        now: Now,
        waiter: WaiterId,
        patch: WhepPatch,
    ) -> Result<Option<WhepReply>, Fault> {
        let WhepPatch { principal, session: name, if_match, fragment } = patch;
        self.check_rate(now, &principal)?;
        let session = self.own_whep(&principal, &name)?;
        let Viewer::Whep { generation, ufrag, .. } = &session.viewer else {
            return Err(no_such_resource());
        };
        check_match(if_match.as_ref(), *generation)?;
        let (same, gateway) = (*ufrag == fragment.ufrag, session.gateway.clone());
        if same {
            for candidate in fragment.candidates {
                let params = TrickleParams { session: name.clone(), candidate };
                self.tell_gateway(&gateway, Message::notification::<Trickle>(&params));
            }
            return Ok(Some(WhepReply::Trickled));
        }
        if session.open.contains(&Kind::Restart) {
            return Err(Fault::new(code::CONFLICT, "an ICE restart is under way; wait for it"));
        }
        let device = self.online(&gateway)?;
        if let Some(session) = self.sessions.get_mut(&name)
            && let Viewer::Whep { restarting, .. } = &mut session.viewer
        {
            *restarting = Some(fragment.ufrag);
        }
        let fresh = self.fresh_ice(&name, now);
        self.send(device, fresh);
        let params = RestartParams { session: name.clone(), fragment: fragment.text };
        let origin = Origin::Waiter(waiter);
        let request = Request { kind: Kind::Restart, session: name, origin };
        self.request_of(now, device, Restart::NAME, rpc::write(&params), request)?;
        Ok(None)
    }

    pub(crate) fn restart_done(
        &mut self,
        now: Now,
        name: &SessionId,
        origin: Origin,
        outcome: Result<Value, Fault>,
    ) {
        let Origin::Waiter(waiter) = origin else { return };
        let ice_servers = self.ice_servers(name, now);
        let viewer = self.sessions.get_mut(name).map(|session| &mut session.viewer);
        let Some(Viewer::Whep { generation, ufrag, restarting }) = viewer else {
            return self.reply(waiter, Err(no_such_resource()));
        };
        let restarted = restarting.take();
        let outcome = outcome.and_then(rpc::read::<RestartResult>).map(|result| {
            *generation += 1;
            *ufrag = restarted.unwrap_or_default();
            WhepReply::Restarted { fragment: result.fragment, ice_servers, etag: etag(*generation) }
        });
        self.reply(waiter, outcome);
    }

    /// A viewer has seen enough.
    pub fn whep_delete(&mut self, now: Now, waiter: WaiterId, delete: &WhepDelete) {
        let WhepDelete { principal, session } = delete;
        let allowed = self.check_rate(now, principal);
        let outcome = allowed.and_then(|()| self.own_whep(principal, session).map(|_| ()));
        if outcome.is_ok() {
            self.end_at_gateway(session);
        }
        self.reply(waiter, outcome.map(|()| WhepReply::Deleted));
    }

    /// Nobody waits for this reply any more.
    pub fn abandoned(&mut self, waiter: WaiterId) {
        let theirs = |request: &Request| match request.origin {
            Origin::Waiter(other) => other == waiter,
            Origin::Peer { .. } => false,
        };
        let found = self.requests.iter().find(|(_, request)| theirs(request));
        let Some((key, kind)) = found.map(|(key, request)| (*key, request.kind)) else { return };
        if kind != Kind::Offer {
            return;
        }
        if let Some(request) = self.requests.remove(&key) {
            self.end_at_gateway(&request.session);
        }
    }

    fn check_rate(&mut self, now: Now, principal: &Principal) -> Result<(), Fault> {
        let (buckets, now) = (&mut self.whep_buckets, now.instant);
        let known = buckets.contains_key(&principal.subject);
        if !known && buckets.len() >= MAX_BUCKETS {
            buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        let full = !known && buckets.len() >= MAX_BUCKETS;
        let rate = self.config.limits.whep_rate;
        let bucket = || Bucket::new(rate, now);
        if full || !buckets.entry(principal.subject.clone()).or_insert_with(bucket).take(now) {
            return Err(Fault::new(code::TOO_MANY_REQUESTS, "too many requests; send fewer"));
        }
        Ok(())
    }

    /// A session is a secret of who began it.
    fn own_whep(&self, principal: &Principal, name: &SessionId) -> Result<&Session, Fault> {
        let session = self.sessions.get(name).filter(|session| {
            matches!(session.viewer, Viewer::Whep { .. })
                && session.principal.subject == principal.subject
        });
        session.ok_or_else(no_such_resource)
    }
}

/// The entity tag of an ICE generation.
fn etag(generation: u64) -> String {
    format!("\"{generation}\"")
}

fn check_match(if_match: Option<&IfMatch>, generation: u64) -> Result<(), Fault> {
    match if_match {
        None => Err(Fault::new(
            http::PRECONDITION_REQUIRED,
            "send `If-Match` with the entity tag of the session, or * to restart ICE",
        )),
        Some(IfMatch::Tags(tags)) if !tags.contains(&etag(generation)) => Err(Fault::new(
            http::PRECONDITION_FAILED,
            "the entity tag is of an older ICE generation",
        )),
        Some(IfMatch::Any | IfMatch::Tags(_)) => Ok(()),
    }
}

fn no_such_resource() -> Fault {
    Fault::new(code::NOT_FOUND, "there is no such session")
}
