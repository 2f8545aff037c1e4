//! The TURN users of viewers without a session, such as players that are configured before they
//! know what to play. A session has a TURN user of its own, which ends with it. These end with the
//! credential that has asked for them, or when nobody needs them any more: their TURN credentials
//! have expired, and the user or token has no session.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use porthole_clock::Now;
use porthole_signaling_proto::IceServer;

use crate::forgotten::Forgotten;
use crate::ice::TurnUser;
use crate::sessions::Sessions;
use crate::timer::Timer;
use crate::{Expiry, Hub, Output, Principal};

/// The most of one user or token: each has the quota of one session.
const USERS_OF_ACCOUNT: usize = 8;
/// The most of all, which are those of 512 users or tokens that have as many as they may have.
/// Beyond it, the one ends that was given out least recently.
const MAX_USERS: usize = 4096;
/// Time that a player has after its TURN credentials have expired to start its session: it may
/// have made its allocation at the last moment, and gathers other candidates before its offer.
const START_TIME: Duration = Duration::from_secs(60);
/// Time between two looks at whether a session still goes on.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// The TURN users that were given out to viewers without a session, by the user or token that they
/// are counted for; never empty for one.
#[derive(Debug, Default)]
pub(crate) struct TurnUsers {
    accounts: BTreeMap<String, Vec<Given>>,
    /// The number of times that one was given out.
    last: u64,
}

/// A TURN user that was given out.
#[derive(Debug)]
struct Given {
    user: TurnUser,
    /// The owner of the credential that has asked for it, as it was when it asked last.
    principal: Principal,
    /// The number of the last time that it was given out.
    number: u64,
    /// The time until which it may be needed without a session; after that, the time of the next
    /// look.
    look_at: Instant,
}

/// A TURN user that has ended, and the user or token that it was counted for.
#[derive(Debug, PartialEq, Eq)]
struct Ended {
    account: String,
    user: TurnUser,
}

impl Given {
    fn is_of(&self, credential: &str) -> bool {
        self.principal.credential() == credential
    }

    fn is_needed(&self, now: Now, is_watching: impl Fn(&Principal) -> bool) -> bool {
        let is_valid = !self.principal.is_expired(now.unix_s);
        is_valid && (self.look_at > now.instant || is_watching(&self.principal))
    }

    /// Returns the time at which it may have to end.
    fn due(&self, now: Now) -> Instant {
        let end = match self.principal.expiry() {
            Expiry::At(end_s) => {
                let left = Duration::from_secs(end_s.saturating_sub(now.unix_s));
                now.instant.checked_add(left)
            }
            Expiry::Never => None,
        };
        end.map_or(self.look_at, |end| end.min(self.look_at))
    }
}

impl TurnUsers {
    /// Gives a TURN user to whoever asks, until `look_at` at least: a new one, called `new`, or one
    /// that the same credential has got before, if there are as many as there may be. Returns it,
    /// and the one that makes room for it.
    ///
    /// Of those of one user or token, room is made by one that is not needed, or else by one of the
    /// credential that has most.
    fn give(
        &mut self,
        now: Now,
        principal: &Principal,
        new: TurnUser,
        look_at: Instant,
        is_watching: impl Fn(&Principal) -> bool,
    ) -> (TurnUser, Vec<Ended>) {
        self.last += 1;
        let (number, user) = (self.last, new.clone());
        let given = Given { user: new, principal: principal.clone(), number, look_at };
        let account = principal.account();
        let of_account = self.accounts.get_mut(account).map(Vec::as_mut_slice).unwrap_or_default();
        let is_full = of_account.len() >= USERS_OF_ACCOUNT;
        let own = of_account.iter_mut().filter(|one| one.is_of(principal.credential()));
        if let Some(own) = own.min_by_key(|one| one.number).filter(|_| is_full) {
            let user = own.user.clone();
            *own = Given { user: user.clone(), ..given };
            return (user, Vec::new());
        }
        let leaving = if is_full {
            leaving(of_account, now, is_watching)
        } else if self.len() >= MAX_USERS {
            self.accounts.values().flatten().map(|one| one.number).min()
        } else {
            None
        };
        let ended = self.take(|one| Some(one.number) == leaving);
        self.accounts.entry(account.to_owned()).or_default().push(given);
        (user, ended)
    }

    fn len(&self) -> usize {
        self.accounts.values().map(Vec::len).sum()
    }

    /// Takes all that are meant.
    fn take(&mut self, is_meant: impl Fn(&Given) -> bool) -> Vec<Ended> {
        let mut taken = Vec::new();
        self.accounts.retain(|account, users| {
            users.retain(|one| {
                let ends = is_meant(one);
                if ends {
                    taken.push(Ended { account: account.clone(), user: one.user.clone() });
                }
                !ends
            });
            !users.is_empty()
        });
        taken
    }

    /// Takes those of a user or token that are not needed any more, and looks at the others later.
    fn take_unneeded(
        &mut self,
        now: Now,
        account: &str,
        is_watching: impl Fn(&Principal) -> bool,
    ) -> Vec<Ended> {
        let mut taken = Vec::new();
        let Some(users) = self.accounts.get_mut(account) else { return taken };
        users.retain_mut(|one| {
            let stays = one.is_needed(now, &is_watching);
            if !stays {
                taken.push(Ended { account: account.to_owned(), user: one.user.clone() });
            } else if one.look_at <= now.instant {
                one.look_at = now.instant + LOOK_INTERVAL;
            }
            stays
        });
        if users.is_empty() {
            self.accounts.remove(account);
        }
        taken
    }

    /// Returns the time at which one of a user or token may have to end; `None` if it has none.
    fn due(&self, now: Now, account: &str) -> Option<Instant> {
        self.accounts.get(account)?.iter().map(|one| one.due(now)).min()
    }
}

/// Returns the number of the one that makes room for another of the same user or token.
fn leaving(
    of_account: &[Given],
    now: Now,
    is_watching: impl Fn(&Principal) -> bool,
) -> Option<u64> {
    let rank = |one: &Given| {
        let credential = one.principal.credential();
        let of_credential = of_account.iter().filter(|other| other.is_of(credential)).count();
        (one.is_needed(now, &is_watching), Reverse(of_credential), one.number)
    };
    of_account.iter().map(rank).min().map(|(_, _, number)| number)
}

/// Returns true if the user or token of a principal has a session, or one that the hub has
/// forgotten goes on with the same credential.
fn is_watching(sessions: &Sessions, forgotten: &Forgotten, principal: &Principal) -> bool {
    sessions.has_one_of(principal) || forgotten.has_one_of(principal.credential())
}

impl Hub {
    /// Returns the ICE servers for a viewer without a session. All that one user or token asks for
    /// belong to a few TURN users, whose quotas limit them; their names do not tell whose they are.
    pub(crate) fn ice_servers_without_session(
        &mut self,
        now: Now,
        principal: &Principal,
    ) -> Vec<IceServer> {
        let new = TurnUser::new(self.random_name("o"));
        let Some(turn) = self.config.turn.as_ref() else { return Vec::new() };
        if !turn.has_users() {
            return turn.for_user(&new, &self.turn_conditions, now);
        }
        let look_at = now.instant + turn.lifetime + START_TIME;
        let (sessions, forgotten) = (&self.sessions, &self.forgotten);
        let is_watching = |one: &Principal| is_watching(sessions, forgotten, one);
        let (user, ended) = self.turn_users.give(now, principal, new, look_at, is_watching);
        let servers = turn.for_user(&user, &self.turn_conditions, now);
        self.note_turn_users_ended(now, ended);
        self.look_at_turn_users_later(now, principal.account());
        servers
    }

    /// Ends the TURN users that were given out for a credential which has ended.
    pub(crate) fn end_turn_users_of_credential(&mut self, now: Now, credential: &str) {
        let ended = self.turn_users.take(|one| one.is_of(credential));
        self.note_turn_users_ended(now, ended);
    }

    /// Ends the TURN users of those who have lost rights, unless they watch something else.
    pub(crate) fn end_turn_users_without_rights(
        &mut self,
        now: Now,
        has_lost: impl Fn(&Principal) -> bool,
    ) {
        let (sessions, forgotten) = (&self.sessions, &self.forgotten);
        let is_over = |one: &Principal| has_lost(one) && !is_watching(sessions, forgotten, one);
        let ended = self.turn_users.take(|one| is_over(&one.principal));
        self.note_turn_users_ended(now, ended);
    }

    pub(crate) fn handle_turn_users_timeout(&mut self, now: Now, account: &str) {
        let (sessions, forgotten) = (&self.sessions, &self.forgotten);
        let is_watching = |one: &Principal| is_watching(sessions, forgotten, one);
        let ended = self.turn_users.take_unneeded(now, account, is_watching);
        self.note_turn_users_ended(now, ended);
        self.look_at_turn_users_later(now, account);
    }

    fn note_turn_users_ended(&mut self, now: Now, ended: Vec<Ended>) {
        for Ended { account, user } in ended {
            self.push_output(Output::TurnUserEnded(user));
            self.look_at_turn_users_later(now, &account);
        }
    }

    fn look_at_turn_users_later(&mut self, now: Now, account: &str) {
        let timer = Timer::TurnUsers(account.to_owned());
        match self.turn_users.due(now, account) {
            Some(at) => self.timers.set(at, timer),
            None => self.timers.cancel(&timer),
        }
    }
}

#[cfg(test)]
impl TurnUsers {
    pub(crate) fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }
}

#[cfg(test)]
mod tests;
