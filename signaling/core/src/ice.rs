//! ICE servers of a session, with TURN credentials that belong to this session alone
//! (draft-uberti-behave-turn-rest-00, which every TURN server understands).

mod choice;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU16;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use porthole_clock::Now;
use porthole_metrics::label;
use porthole_signaling_proto::method::{IceServers, IceServersParams};
use porthole_signaling_proto::rpc::Message;
use porthole_signaling_proto::{IceServer, SessionId};
use sha1::Sha1;

use crate::Hub;

/// The name of a TURN user for which credentials were made: a session, or a viewer without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnUser(String);

impl TurnUser {
    pub(crate) fn new(name: String) -> Self {
        Self(name)
    }

    /// Returns the name, which stands behind the expiry in the user name of the credentials.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&SessionId> for TurnUser {
    fn from(session: &SessionId) -> Self {
        Self(session.as_str().to_owned())
    }
}

/// The STUN and TURN servers to issue credentials for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnConfig {
    /// The servers, of which each session is offered a few.
    pub servers: Vec<TurnServer>,
    /// Lifetime of the credentials: the time within which an allocation must be started. Minutes
    /// are enough.
    pub lifetime: Duration,
}

impl TurnConfig {
    /// Returns the ICE servers of a TURN user, such as a session: the `stun:` URLs without
    /// credentials, the others with credentials of their own. The same user is offered the same
    /// servers as long as they are in the same conditions.
    pub(crate) fn for_user(
        &self,
        user: &TurnUser,
        conditions: &TurnConditions,
        now: Now,
    ) -> Vec<IceServer> {
        let expiry_unix_s = now.unix_s + self.lifetime.as_secs();
        let offered = choice::choose(&self.servers, conditions, user.as_str());
        offered.into_iter().flat_map(|server| server.for_user(user, expiry_unix_s)).collect()
    }

    /// Returns true if one of the servers asks for credentials.
    pub(crate) fn has_users(&self) -> bool {
        self.servers.iter().any(TurnServer::has_users)
    }
}

/// A TURN server, with all URLs by which it can be reached.
#[derive(Clone, PartialEq, Eq)]
pub struct TurnServer {
    /// The name that the configuration gives it.
    pub name: String,
    /// `stun:…`, `turn:…?transport=udp`, `turn:…?transport=tcp` (RFC 7064, RFC 7065).
    pub urls: Vec<String>,
    /// The secret shared with the TURN server; never logged.
    pub secret: Vec<u8>,
    /// Its part of the sessions, in relation to the weights of the others.
    pub weight: NonZeroU16,
    /// The region that it is in: a session is offered servers of different ones.
    pub region: Option<String>,
}

impl fmt::Debug for TurnServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, urls, secret: _, weight, region } = self;
        let mut out = f.debug_struct("TurnServer");
        out.field("name", name).field("urls", urls).field("weight", weight);
        out.field("region", region).finish()
    }
}

impl TurnServer {
    /// The weight of a server for which none is configured.
    pub const USUAL_WEIGHT: NonZeroU16 = NonZeroU16::new(100).expect("it is not zero");

    /// Returns user name and password of a TURN user, valid until this time.
    pub fn credentials(&self, user: &str, expiry_unix_s: u64) -> (String, String) {
        let username = format!("{expiry_unix_s}:{user}");
        let mut mac = Hmac::<Sha1>::new_from_slice(&self.secret).expect("HMAC takes any key");
        mac.update(username.as_bytes());
        let password = STANDARD.encode(mac.finalize().into_bytes());
        (username, password)
    }

    fn for_user(&self, user: &TurnUser, expiry_unix_s: u64) -> Vec<IceServer> {
        let (stun, turn): (Vec<String>, Vec<String>) =
            self.urls.iter().cloned().partition(|url| is_stun(url));
        let mut servers = Vec::new();
        if !stun.is_empty() {
            servers.push(IceServer { urls: stun, username: None, credential: None });
        }
        if !turn.is_empty() {
            let (username, credential) = self.credentials(user.as_str(), expiry_unix_s);
            let (username, credential) = (Some(username), Some(credential));
            servers.push(IceServer { urls: turn, username, credential });
        }
        servers
    }

    /// Returns true if it relays, for which it asks for credentials.
    pub fn has_users(&self) -> bool {
        self.urls.iter().any(|url| !is_stun(url))
    }
}

fn is_stun(url: &str) -> bool {
    url.starts_with("stun")
}

label! {
    /// The condition of a TURN server, as the checks have found it.
    pub enum TurnCondition as "state" {
        /// The server makes allocations, or was not checked yet.
        Up = "up",
        /// The server refuses new clients: it drains, is full or names another one.
        Draining = "draining",
        /// The server does not answer, or refuses the secret.
        Down = "down",
    }
}

/// The conditions of TURN servers by name. A server that is not in it counts as [`Up`].
///
/// [`Up`]: TurnCondition::Up
pub type TurnConditions = BTreeMap<String, TurnCondition>;

impl Hub {
    /// Replaces the TURN servers and the secret. Credentials that were issued stay as they are.
    /// Returns false if they are the same as before.
    pub fn set_turn(&mut self, turn: Option<TurnConfig>) -> bool {
        let is_new = self.config.turn != turn;
        self.config.turn = turn;
        is_new
    }

    /// Replaces the conditions of the TURN servers. Sessions that run keep the servers that they
    /// have until they look for another path.
    pub fn set_turn_conditions(&mut self, conditions: TurnConditions) {
        self.turn_conditions = conditions;
    }

    /// Returns the names of the TURN servers that relay, with their conditions.
    pub fn turn_servers(&self) -> Vec<(String, TurnCondition)> {
        let servers = self.config.turn.iter().flat_map(|turn| &turn.servers);
        let relaying = servers.filter(|server| server.has_users());
        let row = |server: &TurnServer| {
            (server.name.clone(), condition(&self.turn_conditions, &server.name))
        };
        relaying.map(row).collect()
    }

    /// Issues the ICE servers of a new session: returns them for the gateway and keeps them for
    /// the viewer, which gets the same.
    pub(crate) fn issue_ice_servers(&mut self, session: &SessionId, now: Now) -> Vec<IceServer> {
        let servers = self.ice_servers(session, now);
        if let Some(session) = self.sessions.get_mut(session) {
            session.keep_ice_servers(servers.clone());
        }
        servers
    }

    /// Returns the notification that carries new credentials for a session, for an ICE restart.
    pub(crate) fn ice_servers_message(&self, session: &SessionId, now: Now) -> Message {
        let (session, ice_servers) = (session.clone(), self.ice_servers(session, now));
        Message::notification::<IceServers>(&IceServersParams { session, ice_servers })
    }

    pub(crate) fn ice_servers(&self, session: &SessionId, now: Now) -> Vec<IceServer> {
        let turn = self.config.turn.as_ref();
        turn.map(|turn| turn.for_user(&session.into(), &self.turn_conditions, now))
            .unwrap_or_default()
    }
}

/// Returns the condition of the server with this name.
fn condition(conditions: &TurnConditions, name: &str) -> TurnCondition {
    conditions.get(name).copied().unwrap_or(TurnCondition::Up)
}
