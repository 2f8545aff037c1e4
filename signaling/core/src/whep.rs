//! WHEP (draft-ietf-wish-whep-03): viewers that send their offer over HTTP.

use std::net::IpAddr;

use porthole_clock::Now;
use porthole_signaling_proto::fragment::{Fragment, FragmentError, offer_ufrags};
use porthole_signaling_proto::method::{
    Method as _, Offer, OfferParams, OfferResult, Restart, RestartParams, RestartResult, Trickle,
    TrickleParams,
};
use porthole_signaling_proto::rest::IceServerList;
use porthole_signaling_proto::rpc::{Fault, Message, code};
use porthole_signaling_proto::{CameraAddress, IceCandidate, IceServer, SessionId, rpc};
use serde_json::Value;

use crate::address::Address;
use crate::request::{Origin, PendingRequest, RequestKind};
use crate::session::whole_seconds;
use crate::sessions::{Session, Viewer, WhepViewer};
use crate::stats::EndReason;
use crate::{Action, Admitted, GatewayCamera, Hub, WhepRequestId};

/// HTTP status codes of WHEP refusals, in addition to those in `rpc::code`.
pub mod http {
    /// The entity tag belongs to an older ICE generation (RFC 9110 §15.5.13).
    pub const PRECONDITION_FAILED: i64 = 412;
    /// The description is too long to be passed on (RFC 9110 §15.5.14).
    pub const CONTENT_TOO_LARGE: i64 = 413;
    /// The request has no `If-Match` to say which ICE generation it is for (RFC 6585 §3).
    pub const PRECONDITION_REQUIRED: i64 = 428;
}

/// The request `POST /whep/{camera}`, which starts a session.
#[derive(Debug, Clone)]
pub struct WhepOffer {
    /// The sender of the request, which was admitted to it.
    pub sender: Admitted,
    /// The address of the camera in the path.
    pub camera: CameraAddress,
    /// The SDP offer.
    pub offer: String,
    /// The IP address from which the request came, as far as it is known.
    pub viewer_address: Option<IpAddr>,
}

/// The request `PATCH /whep/{camera}/{session}`: candidates or an ICE restart.
#[derive(Debug, Clone)]
pub struct WhepPatch {
    /// The sender of the request, which was admitted to it.
    pub sender: Admitted,
    /// The session named in the path.
    pub session: SessionId,
    /// The `If-Match` header, if there was one.
    pub if_match: Option<IfMatch>,
    /// The request's body.
    pub fragment: WhepFragment,
}

/// The body of a [`WhepPatch`].
#[derive(Debug, Clone)]
pub struct WhepFragment {
    /// The user name fragments of the fragment and of its sections; empty if it has only
    /// candidates.
    ufrags: Vec<String>,
    candidates: Vec<IceCandidate>,
    text: String,
}

impl WhepFragment {
    /// Reads a fragment. Its credentials say which ICE generation it is for; candidates without
    /// credentials are for the one that `If-Match` names.
    ///
    /// # Errors
    /// The reason why the fragment is refused.
    pub fn parse(text: &str) -> Result<Self, FragmentError> {
        let fragment = Fragment::parse(text)?;
        let candidates = fragment.ice_candidates();
        if fragment.has_credentials() || candidates.is_empty() {
            fragment.credentials()?;
        }
        let ufrags = fragment.ufrags().into_iter().map(str::to_owned).collect();
        Ok(Self { ufrags, candidates, text: text.to_owned() })
    }

    /// Returns true if the fragment belongs to the ICE generation with these user name fragments:
    /// it has candidates for it, and does not restart ICE.
    fn belongs_to(&self, ufrags: &[String]) -> bool {
        self.ufrags.first().is_none_or(|ufrag| ufrags.contains(ufrag))
    }
}

/// The request `DELETE /whep/{camera}/{session}`, which ends the session.
#[derive(Debug, Clone)]
pub struct WhepDelete {
    /// The sender of the request, which was admitted to it.
    pub sender: Admitted,
    /// The session named in the path.
    pub session: SessionId,
}

/// An `If-Match` header (RFC 9110 §13.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// The value `*`, which matches any entity tag.
    Any,
    /// A list of entity tags, with their quotes.
    Tags(Vec<String>),
}

/// The response to a WHEP request that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhepResponse {
    /// A session was created.
    Created {
        /// The id of the session.
        session: SessionId,
        /// The SDP answer of the gateway.
        answer: String,
        /// The STUN and TURN servers of the session.
        ice_servers: Vec<IceServer>,
        /// The entity tag of the ICE generation, with its quotes.
        etag: String,
    },
    /// The candidates were forwarded to the gateway.
    Trickled,
    /// ICE was restarted.
    Restarted {
        /// The gateway's credentials and candidates in the new ICE generation
        /// (`application/trickle-ice-sdpfrag`).
        fragment: String,
        /// The STUN and TURN servers, with new credentials.
        ice_servers: Vec<IceServer>,
        /// The entity tag of the new ICE generation, with its quotes.
        etag: String,
    },
    /// The session was ended.
    Deleted,
}

impl Hub {
    /// Handles a viewer's offer. The response follows when the gateway has responded.
    pub fn handle_whep_offer(&mut self, now: Now, request: WhepRequestId, offer: WhepOffer) {
        if let Err(fault) = self.start_whep_session(now, request, offer) {
            self.respond_whep(request, Err(fault));
        }
    }

    fn start_whep_session(
        &mut self,
        now: Now,
        request: WhepRequestId,
        offer: WhepOffer,
    ) -> Result<(), Fault> {
        let WhepOffer { sender, camera, offer, viewer_address } = offer;
        self.check_sender(now, &sender)?;
        let granted = self.find_address(now, &sender, &camera)?;
        let lifetime = granted.lifetime(now, self.config.limits.whep_lifetime);
        let ufrags: Vec<String> = offer_ufrags(&offer).into_iter().map(str::to_owned).collect();
        if ufrags.is_empty() {
            let text =
                "the body is not an SDP offer: it has no a=ice-ufrag line of 4 to 256 characters";
            return Err(Fault::new(code::BAD_REQUEST, text));
        }
        let GatewayCamera { gateway, camera } = granted.object().clone();
        let audio = sender.may_listen(&gateway, &camera, now);
        let conn = self.reach(Address::Gateway(&gateway)).map_err(|away| Fault {
            // The draft's answer while nobody publishes.
            code: code::CONFLICT,
            ..away
        })?;
        let viewer = Viewer::Whep(WhepViewer::new(ufrags));
        let session = Session::new(now, lifetime, granted, viewer).with_sound(audio);
        let caps = self.sealed_caps(&session);
        let session = self.add_session(now, session)?;
        let params = OfferParams {
            session: session.clone(),
            profile: camera,
            offer,
            viewer_address: viewer_address.filter(is_of_a_viewer),
            ice_servers: self.issue_ice_servers(&session, now),
            expiry_time_seconds: Some(whole_seconds(lifetime)),
            audio,
            caps,
        };
        let origin = Origin::Whep(request);
        let kind = RequestKind::Offer;
        let request = PendingRequest { kind, session: session.clone(), origin };
        let sent = self.send_request(now, conn, Offer::NAME, rpc::write(&params), request);
        if sent.is_err() {
            // The gateway has not heard of it.
            self.remove_session(now, &session, EndReason::Refused);
        }
        sent
    }

    /// Handles the gateway's answer to a viewer's offer.
    pub(crate) fn handle_offer_result(
        &mut self,
        now: Now,
        id: &SessionId,
        origin: Origin,
        outcome: Result<Value, Fault>,
    ) {
        let answer = match outcome.and_then(rpc::read::<OfferResult>) {
            Ok(OfferResult { answer }) => answer,
            Err(fault) => {
                self.end_session(now, id, EndReason::Refused);
                return self.refuse(origin, fault);
            }
        };
        let Origin::Whep(request) = origin else { return };
        self.count_accepted(now, id);
        let outcome = match self.sessions.get_mut(id) {
            Some(session) => {
                let ice_servers = session.accept();
                let (session, etag) = (id.clone(), etag(1));
                Ok(WhepResponse::Created { session, answer, ice_servers, etag })
            }
            None => Err(Fault::new(code::GONE, "the session has already ended")),
        };
        self.respond_whep(request, outcome);
    }

    /// Handles a viewer's candidates, or its ICE restart: new credentials mean a restart.
    pub fn handle_whep_patch(&mut self, now: Now, request: WhepRequestId, patch: WhepPatch) {
        match self.patch_whep_session(now, request, patch) {
            Ok(Some(response)) => self.respond_whep(request, Ok(response)),
            Ok(None) => {}
            Err(fault) => self.respond_whep(request, Err(fault)),
        }
    }

    fn patch_whep_session(
        &mut self,
        now: Now,
        request: WhepRequestId,
        patch: WhepPatch,
    ) -> Result<Option<WhepResponse>, Fault> {
        let WhepPatch { sender, session: id, if_match, fragment } = patch;
        self.check_sender(now, &sender)?;
        let session = self.sessions.of_owner(&sender, &id).ok_or_else(no_such_resource)?;
        let viewer = session.whep().ok_or_else(no_such_resource)?;
        check_if_match(if_match.as_ref(), viewer.generation())?;
        let trickles = fragment.belongs_to(viewer.ufrags());
        let gateway = session.gateway().clone();
        let is_restarting = session.has_request(RequestKind::Restart);
        if trickles {
            for candidate in fragment.candidates {
                let params = TrickleParams { session: id.clone(), candidate };
                self.post(Address::Gateway(&gateway), Message::notification::<Trickle>(&params));
            }
            return Ok(Some(WhepResponse::Trickled));
        }
        if is_restarting {
            return Err(Fault::new(code::CONFLICT, "an ICE restart is in progress; wait for it"));
        }
        let gateway_conn = self.reach(Address::Gateway(&gateway))?;
        if let Some(viewer) = self.sessions.get_mut(&id).and_then(Session::whep_mut) {
            viewer.begin_restart(fragment.ufrags);
        }
        let ice_servers = self.ice_servers_message(&id, now);
        self.send(gateway_conn, ice_servers);
        let params = RestartParams { session: id.clone(), fragment: fragment.text };
        let origin = Origin::Whep(request);
        let request = PendingRequest { kind: RequestKind::Restart, session: id, origin };
        self.send_request(now, gateway_conn, Restart::NAME, rpc::write(&params), request)?;
        Ok(None)
    }

    /// Handles the gateway's response to an ICE restart.
    pub(crate) fn handle_restart_result(
        &mut self,
        now: Now,
        id: &SessionId,
        origin: Origin,
        outcome: Result<Value, Fault>,
    ) {
        let Origin::Whep(request) = origin else { return };
        let ice_servers = self.ice_servers(id, now);
        let Some(viewer) = self.sessions.get_mut(id).and_then(Session::whep_mut) else {
            return self.respond_whep(request, Err(no_such_resource()));
        };
        let result = outcome.and_then(rpc::read::<RestartResult>);
        viewer.end_restart(result.is_ok());
        let etag = etag(viewer.generation());
        let outcome = result.map(|RestartResult { fragment }| WhepResponse::Restarted {
            fragment,
            ice_servers,
            etag,
        });
        self.respond_whep(request, outcome);
    }

    /// Handles the end of a session by its viewer.
    pub fn handle_whep_delete(&mut self, now: Now, request: WhepRequestId, delete: &WhepDelete) {
        let WhepDelete { sender, session } = delete;
        let allowed = self.check_sender(now, sender);
        let outcome = allowed.and_then(|()| self.check_owner(sender, session));
        if outcome.is_ok() {
            self.end_session(now, session, EndReason::Viewer);
        }
        self.respond_whep(request, outcome.map(|()| WhepResponse::Deleted));
    }

    /// Handles the disconnection of an HTTP client that still waits for its response. A session
    /// that its offer would have started is ended.
    pub fn handle_whep_abandoned(&mut self, now: Now, request: WhepRequestId) {
        let is_offer = |request: &PendingRequest| request.kind == RequestKind::Offer;
        if let Some(pending) = self.links.take_request_of(request, is_offer) {
            self.end_session(now, &pending.session, EndReason::Abandoned);
        }
    }

    /// Handles the loss of a response on its way to an HTTP client that has just disconnected: the
    /// client does not know the session that was created for it, so the session is ended.
    pub fn handle_whep_undelivered(&mut self, now: Now, response: &WhepResponse) {
        if let WhepResponse::Created { session, .. } = response {
            self.end_session(now, session, EndReason::Abandoned);
        }
    }

    /// Returns the ICE servers for a viewer that asks before its offer; none for a camera that it
    /// may not see, or without a credential.
    ///
    /// # Errors
    /// [`code::TOO_MANY_REQUESTS`] over the rate of WHEP requests; [`code::UNAUTHORIZED`] with an
    /// expired credential.
    pub fn handle_whep_options(
        &mut self,
        now: Now,
        sender: Admitted,
        camera: &CameraAddress,
    ) -> Result<Vec<IceServer>, Fault> {
        let Ok(sender) = sender.also(Action::AskIceServers, now) else { return Ok(Vec::new()) };
        self.check_sender(now, &sender)?;
        sender.check_expiry(now)?;
        let Ok(granted) = self.find_address(now, &sender, camera) else { return Ok(Vec::new()) };
        Ok(self.ice_servers_without_session(now, granted.principal()))
    }

    /// Returns the ICE servers of a viewer that will choose its camera later, as players that
    /// configure their connection before they know what to play do. None are for a sender that may
    /// watch no camera.
    ///
    /// # Errors
    /// [`code::TOO_MANY_REQUESTS`] over the rate of WHEP requests; [`code::UNAUTHORIZED`] with an
    /// expired credential; [`code::FORBIDDEN`] if a scope is missing.
    pub fn handle_ice_servers(
        &mut self,
        now: Now,
        sender: &Admitted,
    ) -> Result<IceServerList, Fault> {
        self.check_sender(now, sender)?;
        sender.check_expiry(now)?;
        sender.check_scope()?;
        let principal = sender.principal()?;
        let watched = self.directory.cameras(|gateway, id| sender.permissions(gateway, id, now));
        if watched.is_empty() {
            return Ok(IceServerList { ice_servers: Vec::new(), lifetime_s: 0 });
        }
        let ice_servers = self.ice_servers_without_session(now, principal);
        let turn = self.config.turn.as_ref();
        Ok(IceServerList { ice_servers, lifetime_s: turn.map_or(0, |t| t.lifetime.as_secs()) })
    }

    /// Checks that an address is that of a camera that its sender may use.
    ///
    /// # Errors
    /// The fault with which a request for the address is refused.
    pub fn handle_whep_look_at_camera(
        &mut self,
        now: Now,
        sender: &Admitted,
        camera: &CameraAddress,
    ) -> Result<(), Fault> {
        self.check_sender(now, sender)?;
        self.find_address(now, sender, camera).map(drop)
    }

    /// Checks that an address is that of a session of its sender.
    ///
    /// # Errors
    /// The fault with which a request for the address is refused.
    pub fn handle_whep_look_at_session(
        &mut self,
        now: Now,
        sender: &Admitted,
        session: &SessionId,
    ) -> Result<(), Fault> {
        self.check_sender(now, sender)?;
        sender.check_expiry(now)?;
        self.check_owner(sender, session)
    }

    /// Refuses a request over the rate of its token or user, and one whose credential was revoked
    /// meanwhile.
    fn check_sender(&mut self, now: Now, sender: &Admitted) -> Result<(), Fault> {
        let principal = sender.principal()?;
        if self.is_revoked(principal) {
            return Err(Fault::new(code::UNAUTHORIZED, "the access was revoked"));
        }
        let rate = self.config.limits.whep_rate;
        if self.whep_rates.take(principal.account(), rate, now.instant) {
            return Ok(());
        }
        Err(Fault::new(code::TOO_MANY_REQUESTS, "too many requests; send fewer"))
    }

    /// Refuses whoever does not own the WHEP session.
    fn check_owner(&self, sender: &Admitted, id: &SessionId) -> Result<(), Fault> {
        self.sessions.of_owner(sender, id).map(|_| ()).ok_or_else(no_such_resource)
    }
}

/// Returns true if a viewer can have this address. From this machine come proxies, and the address
/// of nobody is nobody's.
fn is_of_a_viewer(address: &IpAddr) -> bool {
    !address.is_loopback() && !address.is_unspecified() && !address.is_multicast()
}

/// Returns the entity tag of an ICE generation.
fn etag(generation: u64) -> String {
    format!("\"{generation}\"")
}

/// Refuses a request for another ICE generation than the current one.
fn check_if_match(if_match: Option<&IfMatch>, generation: u64) -> Result<(), Fault> {
    match if_match {
        None => Err(Fault::new(
            http::PRECONDITION_REQUIRED,
            "send `If-Match` with the entity tag of the session, or * to restart ICE",
        )),
        Some(IfMatch::Tags(tags)) if !tags.contains(&etag(generation)) => Err(Fault::new(
            http::PRECONDITION_FAILED,
            "the entity tag belongs to an older ICE generation",
        )),
        Some(IfMatch::Any | IfMatch::Tags(_)) => Ok(()),
    }
}

fn no_such_resource() -> Fault {
    Fault::new(code::NOT_FOUND, "there is no such session")
}
