//! ICE servers of a session, with TURN credentials that belong to this session alone
//! (draft-uberti-behave-turn-rest-00, which every TURN server understands).

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use porthole_clock::Now;
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

/// The TURN server to issue credentials for.
#[derive(Clone, PartialEq, Eq)]
pub struct TurnConfig {
    /// `stun:…`, `turn:…?transport=udp`, `turn:…?transport=tcp` (RFC 7064, RFC 7065).
    pub urls: Vec<String>,
    /// The secret shared with the TURN server; never logged.
    pub secret: Vec<u8>,
    /// Lifetime of the credentials: the time within which an allocation must be started. Minutes
    /// are enough.
    pub lifetime: Duration,
}

impl fmt::Debug for TurnConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { urls, secret: _, lifetime } = self;
        f.debug_struct("TurnConfig").field("urls", urls).field("lifetime", lifetime).finish()
    }
}

impl TurnConfig {
    /// Returns the ICE servers of a TURN user, such as a session: the `stun:` URLs without
    /// credentials, the others with credentials of their own.
    pub(crate) fn for_user(&self, user: &TurnUser, now: Now) -> Vec<IceServer> {
        let (stun, turn): (Vec<String>, Vec<String>) =
            self.urls.iter().cloned().partition(|url| is_stun(url));
        let mut servers = Vec::new();
        if !stun.is_empty() {
            servers.push(IceServer { urls: stun, username: None, credential: None });
        }
        if !turn.is_empty() {
            let username = format!("{}:{}", now.unix_s + self.lifetime.as_secs(), user.as_str());
            let credential = Some(self.password(&username));
            servers.push(IceServer { urls: turn, username: Some(username), credential });
        }
        servers
    }

    /// Returns true if one of the servers asks for credentials.
    pub(crate) fn has_users(&self) -> bool {
        self.urls.iter().any(|url| !is_stun(url))
    }

    fn password(&self, username: &str) -> String {
        let mut mac = Hmac::<Sha1>::new_from_slice(&self.secret).expect("HMAC takes any key");
        mac.update(username.as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    }
}

fn is_stun(url: &str) -> bool {
    url.starts_with("stun")
}

impl Hub {
    /// Replaces the TURN servers and the secret. Credentials that were issued stay as they are.
    /// Returns false if they are the same as before.
    pub fn set_turn(&mut self, turn: Option<TurnConfig>) -> bool {
        let is_new = self.config.turn != turn;
        self.config.turn = turn;
        is_new
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
        turn.map(|turn| turn.for_user(&session.into(), now)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::Config;

    #[test]
    fn another_secret_or_server_counts_for_credentials_from_then_on() {
        let turn = |url: &str, secret: &str| {
            let (urls, secret) = (vec![url.to_owned()], secret.as_bytes().to_vec());
            Some(TurnConfig { urls, secret, lifetime: Duration::from_secs(600) })
        };
        let now = Now { instant: Instant::now(), unix_s: 1_000_000_000 };
        let config = Config { turn: turn("turn:h", "north"), ..Config::default() };
        let mut hub = Hub::new(config, [7; 32]);
        let session: SessionId = "s1".parse().unwrap();
        let mut before = hub.ice_servers(&session, now);
        for (next, is_new) in [
            (turn("turn:h", "north"), false),
            (turn("turn:h", "south"), true),
            (turn("turn:h", "south"), false),
            (turn("turn:i", "south"), true),
            (None, true),
            (None, false),
            (turn("turn:h", "north"), true),
        ] {
            assert_eq!(hub.set_turn(next.clone()), is_new, "{next:?}");
            let after = hub.ice_servers(&session, now);
            assert_eq!(after != before, is_new, "{next:?}");
            assert_eq!(after.len(), usize::from(next.is_some()));
            before = after;
        }
    }

    #[test]
    fn a_session_gets_credentials_of_its_own() {
        let turn = TurnConfig {
            urls: ["stun:h:3478", "turn:h:3478?transport=udp", "turn:h:3478?transport=tcp"]
                .map(str::to_owned)
                .to_vec(),
            secret: b"north".to_vec(),
            lifetime: Duration::from_secs(600),
        };
        let now = Now { instant: Instant::now(), unix_s: 1_000_000_000 };
        let servers = turn.for_user(&TurnUser::new("s1".to_owned()), now);
        assert_eq!(servers.len(), 2);
        assert_eq!(servers[0].urls, ["stun:h:3478"]);
        assert_eq!(servers[0].username, None);
        assert_eq!(servers[1].urls.len(), 2);
        assert_eq!(servers[1].username.as_deref(), Some("1000000600:s1"));
        // echo -n 1000000600:s1 | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(servers[1].credential.as_deref(), Some("zVqhq5+vy4e+9+4gPZKECvAetCg="));
        assert!(!format!("{turn:?}").contains("north"));
        assert!(turn.has_users());
        let only_stun = TurnConfig { urls: vec!["stun:h:3478".to_owned()], ..turn };
        assert!(!only_stun.has_users());
    }
}
