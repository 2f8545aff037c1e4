//! The STUN and TURN servers of a session, with credentials that belong to it alone
//! (draft-uberti-behave-turn-rest-00, as every TURN server understands it).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use porthole_clock::Now;
use porthole_signaling_proto::{IceServer, SessionId};
use sha1::Sha1;
use std::{fmt, time::Duration};

/// The TURN server that this server gives credentials for.
#[derive(Clone)]
pub struct TurnOffer {
    /// `stun:…`, `turn:…?transport=udp`, `turn:…?transport=tcp` (RFC 7064, RFC 7065).
    pub urls: Vec<String>,
    /// Shared with the TURN server.
    pub secret: Vec<u8>,
    /// How long the credentials let somebody begin an allocation. Minutes.
    pub lifetime: Duration,
}

impl fmt::Debug for TurnOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { urls, secret: _, lifetime } = self;
        f.debug_struct("TurnOffer").field("urls", urls).field("lifetime", lifetime).finish()
    }
}

impl TurnOffer {
    /// The servers for one session: the `stun:` ones need no credentials, the others get their own.
    pub(crate) fn for_session(&self, session: &SessionId, now: Now) -> Vec<IceServer> {
        let (stun, turn): (Vec<String>, Vec<String>) =
            self.urls.iter().cloned().partition(|url| url.starts_with("stun"));
        let mut servers = Vec::new();
        if !stun.is_empty() {
            servers.push(IceServer { urls: stun, username: None, credential: None });
        }
        if !turn.is_empty() {
            let username = format!("{}:{session}", now.unix_s + self.lifetime.as_secs());
            let credential = Some(self.password(&username));
            servers.push(IceServer { urls: turn, username: Some(username), credential });
        }
        servers
    }

    fn password(&self, username: &str) -> String {
        let mut mac = Hmac::<Sha1>::new_from_slice(&self.secret).expect("HMAC takes any key");
        mac.update(username.as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_session_gets_credentials_of_its_own() {
        let offer = TurnOffer {
            urls: ["stun:h:3478", "turn:h:3478?transport=udp", "turn:h:3478?transport=tcp"]
                .map(str::to_owned)
                .to_vec(),
            secret: b"north".to_vec(),
            lifetime: Duration::from_secs(600),
        };
        let now = Now { instant: Instant::now(), unix_s: 1_000_000_000 };
        let servers = offer.for_session(&"s1".parse().unwrap(), now);
        assert_eq!(servers.len(), 2);
        assert_eq!(servers[0].urls, ["stun:h:3478"]);
        assert_eq!(servers[0].username, None);
        assert_eq!(servers[1].urls.len(), 2);
        assert_eq!(servers[1].username.as_deref(), Some("1000000600:s1"));
        // echo -n 1000000600:s1 | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(servers[1].credential.as_deref(), Some("zVqhq5+vy4e+9+4gPZKECvAetCg="));
        assert!(!format!("{offer:?}").contains("north"));
    }
}
