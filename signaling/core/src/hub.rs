//! The hub's state, its inputs and its outputs.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use porthole_clock::Now;
use porthole_signaling_proto::rpc::{Fault, Message, RequestId, code};
use porthole_signaling_proto::{CameraId, GatewayId, SessionId};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::call::Call;
use crate::connection::{Connection, Stage};
use crate::gateway::Gateway;
use crate::lookup::PendingLookup;
use crate::request::Sent;
use crate::session::{Session, ViewerKey};
use crate::timer::{Timer, Timers};
use crate::{
    Bucket, Close, ConnId, Limits, LookupId, Output, Principal, TurnConfig, WhepRequestId,
    WhepResponse,
};

/// Settings of a hub, fixed for its lifetime.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The bounds on what one connection, client or gateway may use.
    pub limits: Limits,
    /// The TURN server to issue credentials for; sessions get no ICE servers without one.
    pub turn: Option<TurnConfig>,
}

/// A gateway as it was written to the database.
#[derive(Debug, Clone)]
pub struct StoredGateway {
    /// The gateway's id, a hash of its public key.
    pub id: GatewayId,
    /// The gateway's display name.
    pub name: String,
    /// The gateway's cameras and their display names.
    pub cameras: Vec<(CameraId, String)>,
}

/// The state of the signaling server; the crate's documentation says how to drive it.
#[derive(Debug)]
pub struct Hub {
    pub(crate) config: Config,
    pub(crate) connections: BTreeMap<ConnId, Connection>,
    pub(crate) gateways: BTreeMap<GatewayId, Gateway>,
    /// The gateway of each camera: the first that reported it.
    pub(crate) owners: HashMap<CameraId, GatewayId>,
    pub(crate) sessions: HashMap<SessionId, Session>,
    /// The sessions of each connected client, and of each token or user over WHEP.
    pub(crate) viewers: HashMap<ViewerKey, BTreeSet<SessionId>>,
    /// The requests sent to a peer that have no response yet, by connection and request id.
    pub(crate) requests: BTreeMap<(ConnId, i64), Sent>,
    pub(crate) lookups: HashMap<LookupId, PendingLookup>,
    pub(crate) last_lookup: u64,
    /// The remaining WHEP requests of each token or user that sent one lately.
    pub(crate) whep_buckets: HashMap<String, Bucket>,
    pub(crate) timers: Timers,
    outputs: VecDeque<Output>,
    rng: StdRng,
    last_request: i64,
    last_client: u64,
    pub(crate) cameras_sent_at: Option<Instant>,
    pub(crate) cameras_scheduled: bool,
}

impl Hub {
    /// Creates a hub without gateways or connections. `seed` must be random and secret: session
    /// ids and nonces are derived from it.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            config,
            connections: BTreeMap::new(),
            gateways: BTreeMap::new(),
            owners: HashMap::new(),
            sessions: HashMap::new(),
            viewers: HashMap::new(),
            requests: BTreeMap::new(),
            lookups: HashMap::new(),
            last_lookup: 0,
            whep_buckets: HashMap::new(),
            timers: Timers::default(),
            outputs: VecDeque::new(),
            rng: StdRng::from_seed(seed),
            last_request: 0,
            last_client: 0,
            cameras_sent_at: None,
            cameras_scheduled: false,
        }
    }

    /// Restores a gateway from the database, so that clients see its cameras as offline until it
    /// connects.
    pub fn restore(&mut self, stored: StoredGateway) {
        for (camera, _) in &stored.cameras {
            self.owners.insert(camera.clone(), stored.id.clone());
        }
        self.gateways.insert(stored.id.clone(), Gateway::restored(stored.name, stored.cameras));
    }

    /// Handles a new WebSocket. `principal` is the owner of the credential that its HTTP request
    /// carried, if any.
    pub fn handle_opened(&mut self, now: Now, conn: ConnId, principal: Option<Principal>) {
        let limits = &self.config.limits;
        self.timers.add(now.instant + limits.register_timeout, Timer::Register(conn));
        self.connections.insert(conn, Connection::new(now, limits, principal));
    }

    /// Handles the end of a WebSocket, whatever the reason.
    pub fn handle_closed(&mut self, now: Now, conn: ConnId) {
        let Some(connection) = self.connections.remove(&conn) else { return };
        match connection.stage {
            Stage::Unregistered => {}
            Stage::Client(_) => self.handle_client_lost(now, conn),
            Stage::Gateway(gateway) => self.handle_gateway_lost(now, conn, &gateway),
        }
        self.fail_requests_to(now, conn);
    }

    /// Handles a message. For an unreadable one, `message` is the fault to send back.
    pub fn handle_message(&mut self, now: Now, conn: ConnId, message: Result<Message, Fault>) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if !connection.bucket.take(now.instant) {
            return self.refuse_excess(now, conn, message);
        }
        match message {
            Err(fault) => self.send(conn, Message::fault(None, fault)),
            Ok(Message::Request { id, method, params }) => {
                let call = Call { now, conn, id };
                if let Err(fault) = self.handle_request(&call, &method, params) {
                    self.send(conn, Message::fault(Some(call.id), fault));
                }
            }
            Ok(Message::Notification { method, params }) => {
                if let Err(fault) = self.handle_notification(now, conn, &method, params) {
                    self.send(conn, Message::Error(fault));
                }
            }
            Ok(Message::Response { id: Some(RequestId::Number(id)), outcome }) => {
                self.handle_response(now, conn, id, outcome);
            }
            // The hub's requests have numbers, so any other id belongs to none of them.
            Ok(Message::Response { .. }) => {}
            Ok(Message::Error(fault)) => self.handle_error(now, conn, fault),
        }
    }

    /// Handles the failure to write an [`Output::Persist`]: the next report of the gateway triggers
    /// another.
    pub fn handle_persist_failed(&mut self, gateway: &GatewayId) {
        if let Some(gateway) = self.gateways.get_mut(gateway) {
            gateway.persisted = None;
        }
    }

    /// Handles the revocation of a credential: closes the connections that registered with it and
    /// ends the sessions that were started with it.
    pub fn handle_revoked(&mut self, now: Now, credential: &str) {
        self.end_sessions_of_credential(credential);
        let uses_credential = |connection: &Connection| {
            connection.principal().is_some_and(|principal| principal.credential() == credential)
        };
        let connections: Vec<ConnId> = self
            .connections
            .iter()
            .filter(|(_, connection)| uses_credential(connection))
            .map(|(id, _)| *id)
            .collect();
        for conn in connections {
            self.close_connection(now, conn, Close::SIGNED_OUT);
        }
    }

    /// Closes every WebSocket and refuses every pending WHEP request. Sessions go on between their
    /// peers.
    pub fn close(&mut self) {
        for conn in std::mem::take(&mut self.connections).into_keys() {
            self.outputs.push_back(Output::Close { conn, close: Close::GOING_AWAY });
        }
        let pending: Vec<_> = std::mem::take(&mut self.requests).into_values().collect();
        for Sent { request, .. } in pending {
            let fault = Fault::new(code::UNAVAILABLE, "the server is going away; try again");
            self.refuse(request.origin, fault);
        }
    }

    /// Handles every timer that is due. Harmless when none is.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop(now.instant) {
            match timer {
                Timer::Register(conn) => self.handle_register_timeout(now, conn),
                Timer::Credential(conn) => self.handle_credential_timeout(now, conn),
                Timer::Request(conn, id) => self.handle_request_timeout(now, conn, id),
                Timer::Session(session) => self.handle_session_timeout(now, &session),
                Timer::ClientAway(session) => self.handle_client_away_timeout(now, &session),
                Timer::GatewayAway(gateway) => self.handle_gateway_away_timeout(now, &gateway),
                Timer::Cameras => self.handle_cameras_timeout(now),
            }
        }
    }

    /// Returns the time at which to call [`Self::handle_timeout`] next; `None` if nothing is
    /// scheduled.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Returns the next output. To be called until it returns `None`, after every input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns the numbers of open WebSockets and of sessions.
    pub fn counts(&self) -> (usize, usize) {
        (self.connections.len(), self.sessions.len())
    }

    /// Refuses a message over the rate; a peer that keeps sending is disconnected.
    fn refuse_excess(&mut self, now: Now, conn: ConnId, message: Result<Message, Fault>) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if !connection.excess.take(now.instant) {
            return self.close_connection(now, conn, Close::TOO_MANY);
        }
        let fault = Fault::new(code::TOO_MANY_REQUESTS, "too many messages; send fewer");
        let refusal = match message {
            Ok(Message::Request { id, .. }) => Message::fault(Some(id), fault),
            Ok(Message::Notification { .. } | Message::Response { .. } | Message::Error(_))
            | Err(_) => Message::Error(fault),
        };
        self.send(conn, refusal);
    }

    pub(crate) fn send(&mut self, to: ConnId, message: Message) {
        if self.connections.contains_key(&to) {
            self.outputs.push_back(Output::Send { to, message });
        }
    }

    pub(crate) fn close_connection(&mut self, now: Now, conn: ConnId, close: Close) {
        self.outputs.push_back(Output::Close { conn, close });
        self.handle_closed(now, conn);
    }

    pub(crate) fn push_output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn respond_whep(
        &mut self,
        request: WhepRequestId,
        outcome: Result<WhepResponse, Fault>,
    ) {
        self.outputs.push_back(Output::WhepResponse { request, outcome });
    }

    pub(crate) fn next_request_id(&mut self) -> i64 {
        self.last_request += 1;
        self.last_request
    }

    pub(crate) fn next_client_name(&mut self) -> String {
        self.last_client += 1;
        format!("client-{}", self.last_client)
    }

    /// Returns `prefix` followed by 128 random bits in hexadecimal, which is also a valid id.
    pub(crate) fn random_name(&mut self, prefix: &str) -> String {
        let bits: u128 = self.rng.random();
        format!("{prefix}{bits:032x}")
    }
}

#[cfg(test)]
mod tests;
