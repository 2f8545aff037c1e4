//! Tests of the bounds of TURN users without a session.

use porthole_signaling_proto::rest::Role;

use super::*;
use crate::{Identity, Objects};

const LATER: Duration = Duration::from_secs(600);

fn start() -> Now {
    Now { instant: Instant::now(), unix_s: 1_000 }
}

/// Returns a token that is counted for this one, and expires at this time.
fn token(name: &str, account: &str, expires_s: Option<u64>) -> Principal {
    let [subject, credential, name] = [name; 3].map(str::to_owned);
    let identity = Identity { subject, credential, name };
    Principal::new(identity, Role::Viewer, Objects::All, expires_s).counted_as(account.to_owned())
}

fn user(number: usize) -> TurnUser {
    TurnUser::new(format!("o{number}"))
}

#[test]
fn s7_all_tokens_of_one_have_eight_turn_users_and_room_is_made_by_who_needs_them_least() {
    let now = start();
    // The token, the number of times that it asks, the tokens that watch, the seconds since the
    // start; how many TURN users each of the tokens 1, 2 and 3 has then, and how many have ended.
    type Case = (u32, usize, &'static [u32], u64, [usize; 3], usize);
    let table: [Case; 8] = [
        (1, 5, &[], 0, [5, 0, 0], 0),
        (1, 9, &[], 0, [8, 0, 0], 0),
        (2, 1, &[], 0, [7, 1, 0], 1),
        // Whoever has most makes room, not the other newcomer.
        (3, 1, &[], 1, [6, 1, 1], 1),
        (2, 9, &[], 2, [6, 1, 1], 0),
        (4, 1, &[], 3, [5, 1, 1], 1),
        // The third is long over, and so is the first when it watches no more.
        (5, 2, &[1, 2], 700, [5, 1, 0], 1),
        (6, 1, &[2, 5], 701, [4, 1, 0], 1),
    ];
    let mut users = TurnUsers::default();
    let (mut names, mut living) = (0, Vec::new());
    for (asker, times, watching, seconds, expected, ends) in table {
        let now = now.after(Duration::from_secs(seconds));
        let is_watching = |one: &Principal| {
            watching.iter().any(|number| one.credential() == format!("token:{number}"))
        };
        let before = names;
        let mut ended = 0;
        for _ in 0..times {
            names += 1;
            let asker = token(&format!("token:{asker}"), "token:1", None);
            let until = now.instant + LATER;
            let (given, left) = users.give(now, &asker, user(names), until, is_watching);
            for Ended { account, user } in left {
                assert_eq!(account, "token:1");
                living.retain(|other| *other != user);
                ended += 1;
            }
            if !living.contains(&given) {
                living.push(given);
            }
            assert_eq!(users.len(), living.len(), "what has ended is not given again");
            assert!(users.len() <= USERS_OF_ACCOUNT);
        }
        let of = |number: usize| {
            let credential = format!("token:{number}");
            users.accounts["token:1"].iter().filter(|one| one.is_of(&credential)).count()
        };
        assert_eq!([1, 2, 3].map(of), expected, "token {asker} after {before}");
        assert_eq!(ended, ends, "token {asker} after {before}");
    }
}

#[test]
fn s7_of_all_the_one_that_was_given_out_least_recently_makes_room() {
    let now = start();
    let mut users = TurnUsers::default();
    let until = now.instant + LATER;
    let mut give = |number: usize| {
        let name = format!("token:{}", number / USERS_OF_ACCOUNT);
        let asker = token(&name, &name, None);
        users.give(now, &asker, user(number), until, |_| true).1
    };
    for number in 0..MAX_USERS {
        assert_eq!(give(number), [], "{number}");
    }
    for number in 0..3 {
        let ended = Ended { account: "token:0".to_owned(), user: user(number) };
        assert_eq!(give(MAX_USERS + number), [ended], "{number}");
    }
    assert_eq!(users.len(), MAX_USERS);
}

#[test]
fn s7_a_turn_user_is_looked_at_when_it_may_be_over_and_every_minute_while_somebody_watches() {
    // The expiry of the credential, in seconds after the start; the second since which nobody
    // watches; the second at which the TURN user ends, and the number of looks until then.
    type Case = (Option<u64>, u64, u64, usize);
    let table: [Case; 5] = [
        (None, 0, 600, 1),
        (None, 630, 660, 2),
        (None, 1_000, 1_020, 8),
        (Some(30), 1_000, 30, 1),
        (Some(630), 1_000, 630, 2),
    ];
    for (expires_in, watches_until, expected, expected_looks) in table {
        let begin = start();
        let expires_s = expires_in.map(|seconds| begin.unix_s + seconds);
        let asker = token("token:1", "token:1", expires_s);
        let mut users = TurnUsers::default();
        users.give(begin, &asker, user(1), begin.instant + LATER, |_| false);
        let mut looks = 0;
        let mut now = begin;
        while let Some(due) = users.due(now, "token:1") {
            now = begin.after(due.saturating_duration_since(begin.instant));
            looks += 1;
            assert!(looks < 100, "it goes on for ever");
            let watches = now.unix_s < begin.unix_s + watches_until;
            let ended = users.take_unneeded(now, "token:1", |_| watches);
            assert_eq!(ended.is_empty(), users.due(now, "token:1").is_some());
        }
        let ended_after = now.unix_s - begin.unix_s;
        let case = (expires_in, watches_until);
        assert_eq!((ended_after, looks), (expected, expected_looks), "{case:?}");
        assert!(users.is_empty(), "{case:?}");
    }
}
