//! The choice of the TURN servers that a session is offered.
//!
//! Each server has a score for each TURN user, which depends on nothing else (weighted rendezvous
//! hashing): both peers of a session get the same servers, sessions follow the weights, and a
//! server that comes or goes moves those sessions alone that it takes or leaves.

use sha1::{Digest as _, Sha1};

use super::{TurnCondition, TurnConditions, TurnServer, condition};

/// Limit of relaying servers that one session is offered: one to use, and one that is there already
/// when the first one fails. Each costs both peers an allocation for each transport.
pub(super) const MAX_OFFERED: usize = 2;

/// Returns the servers for a TURN user, the best one first: those that only tell addresses (STUN),
/// and up to [`MAX_OFFERED`] of those that relay. Peers give the first one the highest priority.
///
/// A server that drains or is down is offered only if no other works: what the checks have found
/// need not be true for the peers.
pub(super) fn choose<'a>(
    servers: &'a [TurnServer],
    conditions: &TurnConditions,
    user: &str,
) -> Vec<&'a TurnServer> {
    let (relaying, others): (Vec<_>, Vec<_>) =
        servers.iter().partition(|server| server.has_users());
    let is_up = |server: &&&TurnServer| condition(conditions, &server.name) == TurnCondition::Up;
    let working: Vec<_> = relaying.iter().filter(is_up).copied().collect();
    let mut candidates = if working.is_empty() { relaying } else { working };
    candidates.sort_by(|a, b| score(b, user).total_cmp(&score(a, user)));
    prefer_another_region(&mut candidates);
    candidates.truncate(MAX_OFFERED);
    others.into_iter().chain(candidates).collect()
}

/// Moves the best server of another region than that of the first one to the second place: one
/// region fails at once more often than two, and peers find out which of two is nearer.
fn prefer_another_region(servers: &mut [&TurnServer]) {
    let Some((first, rest)) = servers.split_first_mut() else { return };
    let other = rest.iter().position(|server| server.region != first.region);
    if let Some(moved) = other.and_then(|index| rest.get_mut(..=index)) {
        moved.rotate_right(1);
    }
}

/// Returns the score of a server for a user. That of the server with most is exponentially
/// distributed, so that each is the first one for as many users as its weight says.
fn score(server: &TurnServer, user: &str) -> f64 {
    let mut hash = Sha1::new();
    hash.update(user);
    // No name and no user has a zero byte in it.
    hash.update([0]);
    hash.update(&server.name);
    let digest: [u8; 20] = hash.finalize().into();
    let number = digest.iter().take(4).fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
    // Between 0 and 1, and neither of them.
    let uniform = (f64::from(number) + 0.5) / (f64::from(u32::MAX) + 1.0);
    f64::from(server.weight.get()) / -uniform.ln()
}
