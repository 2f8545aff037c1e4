//! The hub's state, its inputs and its outputs.

use std::collections::VecDeque;
use std::time::Instant;

use porthole_clock::Now;
use porthole_signaling_proto::rpc::{Fault, Message, RequestId, code};
use porthole_signaling_proto::{CameraId, GatewayId};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::call::Call;
use crate::cameras::ListPace;
use crate::directory::Directory;
use crate::exchanges::Exchanges;
use crate::forgotten::Forgotten;
use crate::limits::Rates;
use crate::links::{Connection, Links, Pace, Peer};
use crate::lookup::Lookups;
use crate::removal::Takings;
use crate::revoked::Revoked;
use crate::sessions::Sessions;
use crate::stats::Stats;
use crate::timer::{Timer, Timers};
use crate::turn_users::TurnUsers;
use crate::{
    Close, ConnId, Limits, Origins, Output, Principal, SessionKey, TurnConditions, TurnConfig,
    WhepRequestId, WhepResponse,
};

/// Settings of a hub, fixed for its lifetime but for its TURN servers.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The bounds on what one connection, client or gateway may use.
    pub limits: Limits,
    /// The TURN servers to issue credentials for; sessions get no ICE servers without any.
    pub turn: Option<TurnConfig>,
    /// The origins for which gateways sign in.
    pub origins: Origins,
    /// The key of the ids of sessions, which is the same after a restart.
    pub session_key: SessionKey,
}

/// A gateway as it is in the database.
#[derive(Debug, Clone)]
pub struct StoredGateway {
    /// The gateway's id, a hash of its public key.
    pub id: GatewayId,
    /// The gateway's display name.
    pub name: String,
    /// True if a person has named it: the name in its own configuration does not count.
    pub renamed: bool,
    /// Time at which it was seen last, in seconds since 1970.
    pub seen_s: Option<u64>,
    /// The gateway's cameras.
    pub cameras: Vec<StoredCamera>,
}

/// A camera or sub stream as it is written to the database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredCamera {
    /// The camera's id, unique within its gateway.
    pub id: CameraId,
    /// The camera's display name.
    pub name: String,
    /// The place in the order in which gateways have got their cameras. A sub stream has that of
    /// its camera. Of several cameras with one id, the one with the lowest place has the short
    /// address.
    pub place: u64,
    /// True if the gateway no longer has the camera. Its id alone still means no other.
    pub former: bool,
}

/// The state of the signaling server; the crate's documentation says how to drive it.
#[derive(Debug)]
pub struct Hub {
    pub(crate) config: Config,
    /// The peers that can be addressed, and where they are.
    pub(crate) directory: Directory,
    pub(crate) sessions: Sessions,
    /// The sessions that go on at their gateways, and are not among these.
    pub(crate) forgotten: Forgotten,
    /// The WebSockets, and the requests in flight on them.
    pub(crate) links: Links,
    /// The requests to gateways that belong to no session.
    pub(crate) exchanges: Exchanges,
    pub(crate) lookups: Lookups,
    /// The credentials that were revoked lately.
    pub(crate) revoked: Revoked,
    /// The cameras whose rights were taken lately.
    pub(crate) takings: Takings,
    /// The remaining WHEP requests of each token or user that sent one lately.
    pub(crate) whep_rates: Rates,
    pub(crate) list_pace: ListPace,
    /// The TURN users of viewers without a session.
    pub(crate) turn_users: TurnUsers,
    /// The conditions of the TURN servers, as the driver has found them.
    pub(crate) turn_conditions: TurnConditions,
    pub(crate) timers: Timers,
    /// The numbers of what has happened.
    pub(crate) stats: Stats,
    outputs: VecDeque<Output>,
    rng: StdRng,
    last_client: u64,
}

impl Hub {
    /// Creates a hub without gateways or connections. `seed` must be random and secret: session
    /// ids and nonces are derived from it.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            config,
            directory: Directory::default(),
            sessions: Sessions::default(),
            forgotten: Forgotten::default(),
            links: Links::default(),
            exchanges: Exchanges::default(),
            lookups: Lookups::default(),
            revoked: Revoked::default(),
            takings: Takings::default(),
            whep_rates: Rates::default(),
            list_pace: ListPace::default(),
            turn_users: TurnUsers::default(),
            turn_conditions: TurnConditions::default(),
            timers: Timers::default(),
            stats: Stats::default(),
            outputs: VecDeque::new(),
            rng: StdRng::from_seed(seed),
            last_client: 0,
        }
    }

    /// Restores a gateway from the database, so that clients see its cameras as offline until it
    /// connects.
    pub fn restore(&mut self, stored: StoredGateway) {
        self.directory.restore(stored);
    }

    /// Handles a new WebSocket. `principal` is the owner of the credential that its HTTP request
    /// carried, if any.
    pub fn handle_opened(&mut self, now: Now, conn: ConnId, principal: Option<Principal>) {
        let limits = &self.config.limits;
        self.timers.set(now.instant + limits.register_timeout, Timer::Register(conn));
        let close =
            principal.as_ref().filter(|owner| self.is_revoked(owner)).map(|owner| {
                match self.takings.concern(owner) {
                    true => Close::RIGHTS_CHANGED,
                    false => Close::SIGNED_OUT,
                }
            });
        self.links.open(conn, Connection::new(now, limits, principal));
        if let Some(close) = close {
            self.close_connection(now, conn, close);
        }
    }

    /// Handles the end of a WebSocket, whatever the reason.
    pub fn handle_closed(&mut self, now: Now, conn: ConnId) {
        let Some(connection) = self.links.close(conn) else { return };
        self.timers.cancel(&Timer::Register(conn));
        self.timers.cancel(&Timer::Credential(conn));
        match connection.peer() {
            Peer::Unregistered => {}
            Peer::Client(principal) => {
                self.directory.disconnect_client(principal, conn);
                self.handle_client_lost(now, conn);
            }
            Peer::Gateway(gateway) => self.handle_gateway_lost(now, conn, gateway),
        }
        self.fail_requests_to(now, conn);
        self.end_exchanges_of(conn);
    }

    /// Handles a message. For an unreadable one, `message` is the fault to send back.
    pub fn handle_message(&mut self, now: Now, conn: ConnId, message: Result<Message, Fault>) {
        let Some(connection) = self.links.get_mut(conn) else { return };
        match connection.count_message(now) {
            Pace::Fits => {}
            Pace::Excess => return self.refuse_excess(conn, message),
            Pace::TooMuch => return self.close_connection(now, conn, Close::TOO_MANY),
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
        self.directory.persist_failed(gateway);
    }

    /// Handles the revocation of a credential: closes the connections that registered with it and
    /// ends the sessions that were started with it, and its TURN users without a session. Returns
    /// how many sessions were ended by this revocation, of which the hub may be told more than
    /// once.
    pub fn handle_revoked(&mut self, now: Now, credential: &str) -> usize {
        self.end_credential(now, credential, Close::SIGNED_OUT)
    }

    /// Handles a change of the rights behind a credential, which has another name from now on: ends
    /// everything that was started under the old one, as for a revocation.
    pub fn handle_rights_changed(&mut self, now: Now, credential: &str) -> usize {
        self.end_credential(now, credential, Close::RIGHTS_CHANGED)
    }

    fn end_credential(&mut self, now: Now, credential: &str, close: Close) -> usize {
        let ended = self.end_sessions_of_credential(now, credential)
            + self.end_forgotten_of_credential(credential);
        for conn in self.links.of_credential(credential) {
            self.close_connection(now, conn, close.clone());
        }
        self.end_turn_users_of_credential(now, credential);
        self.revoked.add(now.instant, credential, ended)
    }

    /// Returns true if the credential of a principal was revoked lately, or it has lost rights: a
    /// request that was authenticated before must have no effect after.
    pub fn is_revoked(&self, principal: &Principal) -> bool {
        self.revoked.has(principal.credential()) || self.takings.concern(principal)
    }

    /// Closes every WebSocket and refuses every pending WHEP request. Sessions go on between their
    /// peers.
    pub fn close(&mut self) {
        let (connections, requests) = self.links.close_all();
        for conn in connections {
            self.outputs.push_back(Output::Close { conn, close: Close::GOING_AWAY });
        }
        // Their clients are told by the end of their WebSockets.
        self.exchanges = Exchanges::default();
        for request in requests {
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
                Timer::Exchange(conn, id) => self.handle_exchange_timeout(now, conn, id),
                Timer::Session(session) => self.handle_session_timeout(now, &session),
                Timer::ClientAway(session) => self.handle_client_away_timeout(now, &session),
                Timer::GatewayAway(gateway) => self.handle_gateway_away_timeout(now, &gateway),
                Timer::TurnUsers(account) => self.handle_turn_users_timeout(now, &account),
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
        (self.links.len(), self.sessions.len())
    }

    /// Refuses a message over the rate.
    fn refuse_excess(&mut self, conn: ConnId, message: Result<Message, Fault>) {
        let fault = Fault::new(code::TOO_MANY_REQUESTS, "too many messages; send fewer");
        let refusal = match message {
            Ok(Message::Request { id, .. }) => Message::fault(Some(id), fault),
            Ok(Message::Notification { .. } | Message::Response { .. } | Message::Error(_))
            | Err(_) => {
                self.count_fault(&fault);
                Message::Error(fault)
            }
        };
        self.send(conn, refusal);
    }

    pub(crate) fn send(&mut self, to: ConnId, message: Message) {
        if self.links.is_open(to) {
            self.count_refusal(&message);
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
        if let Err(fault) = &outcome {
            self.count_fault(fault);
        }
        self.outputs.push_back(Output::WhepResponse { request, outcome });
    }

    pub(crate) fn next_client_name(&mut self) -> String {
        self.last_client += 1;
        format!("client-{}", self.last_client)
    }

    /// Returns 128 random bits.
    pub(crate) fn random_bytes(&mut self) -> [u8; 16] {
        self.rng.random()
    }

    /// Returns `prefix` followed by 128 random bits in hexadecimal, which is also a valid id.
    pub(crate) fn random_name(&mut self, prefix: &str) -> String {
        let bits: u128 = self.rng.random();
        format!("{prefix}{bits:032x}")
    }
}

#[cfg(test)]
mod tests;
