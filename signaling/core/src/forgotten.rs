//! Sessions that go on at their gateways although the hub has forgotten them: those of before its
//! restart, and those of a viewer or gateway that was away for too long. All that is known of them
//! is the credential that they were started with. They end with it, as every other session does.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use porthole_signaling_proto::{GatewayId, SessionId};

/// The forgotten sessions of each gateway, with their credentials.
#[derive(Debug, Default)]
pub(crate) struct Forgotten {
    /// Never empty for a gateway.
    of_gateways: HashMap<GatewayId, BTreeMap<SessionId, String>>,
}

impl Forgotten {
    /// Returns true if one of them was started with a credential.
    pub(crate) fn has_one_of(&self, credential: &str) -> bool {
        self.of_gateways.values().flatten().any(|(_, of)| of == credential)
    }

    /// Adds a session that the hub forgets now, if its gateway has fewer than `limit`.
    pub(crate) fn add(
        &mut self,
        gateway: &GatewayId,
        id: SessionId,
        credential: &str,
        limit: usize,
    ) {
        let sessions = self.of_gateways.entry(gateway.clone()).or_default();
        if sessions.len() < limit {
            sessions.insert(id, credential.to_owned());
        }
    }

    /// Takes the complete list of a gateway's sessions that the hub does not know, with the
    /// credentials in their ids. Returns the credentials that it has not heard of before: they may
    /// have been revoked meanwhile.
    pub(crate) fn reconcile(
        &mut self,
        gateway: &GatewayId,
        reported: Vec<(SessionId, Option<String>)>,
    ) -> BTreeSet<String> {
        let mut before = self.of_gateways.remove(gateway).unwrap_or_default();
        let (mut sessions, mut new) = (BTreeMap::new(), BTreeSet::new());
        for (id, credential) in reported {
            // The hub may know better than the id: an extended session has its new credential.
            if let Some(known) = before.remove(&id) {
                sessions.insert(id, known);
            } else if let Some(credential) = credential {
                new.insert(credential.clone());
                sessions.insert(id, credential);
            }
        }
        if !sessions.is_empty() {
            self.of_gateways.insert(gateway.clone(), sessions);
        }
        new
    }

    /// Takes the sessions that were started with a credential, with their gateways, in the order
    /// of their ids.
    pub(crate) fn take_of_credential(&mut self, credential: &str) -> Vec<(SessionId, GatewayId)> {
        let mut taken = Vec::new();
        self.of_gateways.retain(|gateway, sessions| {
            sessions.retain(|id, of| {
                let is_other = of != credential;
                if !is_other {
                    taken.push((id.clone(), gateway.clone()));
                }
                is_other
            });
            !sessions.is_empty()
        });
        // A hash map iterates in a different order each time.
        taken.sort();
        taken
    }

    /// Returns the sessions that were started with one of these credentials.
    pub(crate) fn of_credentials(
        &self,
        credentials: &HashSet<&str>,
    ) -> impl Iterator<Item = SessionId> {
        let all = self.of_gateways.values().flatten();
        all.filter(|(_, of)| credentials.contains(of.as_str())).map(|(id, _)| id.clone())
    }

    /// Takes all sessions of a gateway.
    pub(crate) fn take_of_gateway(&mut self, gateway: &GatewayId) -> Vec<SessionId> {
        self.of_gateways.remove(gateway).into_iter().flatten().map(|(id, _)| id).collect()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.of_gateways.is_empty()
    }
}
