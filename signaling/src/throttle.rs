//! Limits on attempts to guess passwords. Wrong tries of others never lock a person out: they are
//! counted by where they come from and for whom, and a browser that has signed in before is counted
//! by itself. Every table forgets what it has not seen for longest, and refuses no newcomer.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use porthole_metrics::{Tally, label};
use porthole_signaling_core::{Bucket, Rate, Recent};
use tokio::sync::Semaphore;

use crate::device::DeviceId;
use crate::network::Network;
use crate::password::Busy;

/// Rate of attempts from one network for one name: enough for someone who has forgotten the
/// password.
const PAIR_RATE: Rate = Rate { burst: 10, per_minute: 6 };
/// Rate of attempts from one network, for whatever names: enough for a household that mistypes. It
/// is below the number of strangers' attempts that may wait, so that no household fills that alone.
/// A site of IPv6, which counts as four, takes a second or two to be through with.
const NETWORK_RATE: Rate = Rate { burst: 24, per_minute: 20 };
/// Rate of attempts of a browser that has signed in before.
const DEVICE_RATE: Rate = Rate { burst: 10, per_minute: 6 };
/// Rate of attempts for one name of all browsers that have signed in before. More of them are
/// handled like those of strangers.
const KNOWN_RATE: Rate = Rate { burst: 60, per_minute: 30 };
/// Rate of attempts of strangers for one name, from all networks. Beyond it they have to wait for
/// [`CROWDED_DELAY`], so that many networks together do not guess fast either.
const NAME_RATE: Rate = Rate { burst: 60, per_minute: 30 };
/// Rate of codes of a second factor for one user. Whoever can try one knows the password already,
/// so nobody else can use them up; browsers that have signed in before have their own.
const CODE_RATE: Rate = Rate { burst: 6, per_minute: 2 };
/// Rate of passwords that one user or token gives to what it makes.
const HASH_RATE: Rate = Rate { burst: 6, per_minute: 6 };
/// Rate of answers of the provider to one request: the browser comes back once, and somebody may
/// load the page again.
const FLOW_RATE: Rate = Rate { burst: 3, per_minute: 3 };
/// Rate of answers from one network, by browsers that have not signed in before. Nobody guesses
/// one: this bounds how often the provider is asked because of whoever brings wrong ones.
const ANSWER_RATE: Rate = Rate { burst: 60, per_minute: 60 };
/// Time that a stranger's attempt waits for while many others try the same name.
const CROWDED_DELAY: Duration = Duration::from_secs(3);
/// The most attempts that wait so: with three seconds each, it takes the steady attempts of more
/// than 200 networks to keep a newcomer from waiting.
static CROWD: Semaphore = Semaphore::const_new(64);
/// The most networks, names, browsers and users that are remembered, in each of nine tables: with
/// the longest names about 1 KiB each.
const MAX_REMEMBERED: usize = 4096;

/// An attempt to sign in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) address: IpAddr,
    pub(crate) name: &'a str,
    /// The browser, if it has signed in under this name before.
    pub(crate) device: Option<DeviceId>,
}

/// An answer of the provider that a browser has brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered<'a> {
    pub(crate) address: IpAddr,
    /// The random value of the request that it answers.
    pub(crate) flow: &'a str,
    /// The browser, if it has signed in before, under whatever name.
    pub(crate) device: Option<DeviceId>,
}

/// The source of answers, by which they are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Bringer {
    Network(Network),
    /// A browser that has signed in before. Its tries to guess a password are counted elsewhere: it
    /// need not be the same person.
    Device(DeviceId),
}

impl Answered<'_> {
    /// Returns everything by which the answer is counted, each with its rate.
    fn bringers(&self) -> Vec<(Bringer, Rate)> {
        if let Some(device) = self.device {
            return vec![(Bringer::Device(device), DEVICE_RATE)];
        }
        let networks = widest_first(self.address);
        networks.map(|one| (Bringer::Network(one), rate_of(one, ANSWER_RATE))).collect()
    }
}

/// Treatment of an attempt that is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// The browser has signed in before.
    Known,
    /// The browser has not signed in before.
    Stranger,
    /// The browser has not signed in before, and many others try the same name.
    Crowded,
}

impl Lane {
    /// Waits as long as an attempt in this lane has to.
    ///
    /// # Errors
    /// Fails if too many wait.
    pub(crate) async fn wait(self) -> Result<(), Busy> {
        if self == Self::Crowded {
            let _place = CROWD.try_acquire().map_err(|_| Busy)?;
            tokio::time::sleep(CROWDED_DELAY).await;
        }
        Ok(())
    }
}

/// The attempts of the last minutes.
#[derive(Debug)]
pub(crate) struct Throttle {
    networks: Recent<Network, Bucket>,
    pairs: Recent<(Network, String), Bucket>,
    names: Recent<String, Bucket>,
    devices: Recent<DeviceId, Bucket>,
    known: Recent<String, Bucket>,
    codes: Recent<(i64, bool), Bucket>,
    hashes: Recent<String, Bucket>,
    flows: Recent<String, Bucket>,
    answers: Recent<Bringer, Bucket>,
    outcomes: Tally<Outcome>,
}

label! {
    /// The outcome of an attempt.
    pub(crate) enum Outcome as "outcome" {
        /// The attempt was allowed.
        Allowed = "allowed",
        /// The attempt had to wait, because many others try the same name.
        Delayed = "delayed",
        /// The attempt was refused.
        Refused = "refused",
    }
}

impl Outcome {
    /// Returns the outcome of an attempt that does not wait.
    fn of(taken: Result<(), Duration>) -> Self {
        if taken.is_ok() { Self::Allowed } else { Self::Refused }
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            networks: Recent::new(MAX_REMEMBERED),
            pairs: Recent::new(MAX_REMEMBERED),
            names: Recent::new(MAX_REMEMBERED),
            devices: Recent::new(MAX_REMEMBERED),
            known: Recent::new(MAX_REMEMBERED),
            codes: Recent::new(MAX_REMEMBERED),
            hashes: Recent::new(MAX_REMEMBERED),
            outcomes: Tally::default(),
            flows: Recent::new(MAX_REMEMBERED),
            answers: Recent::new(MAX_REMEMBERED),
        }
    }
}

impl Throttle {
    /// Counts an attempt, and decides how it is handled.
    ///
    /// # Errors
    /// The time after which it is allowed, if it is not.
    pub(crate) fn admit(&mut self, now: Instant, attempt: &Attempt<'_>) -> Result<Lane, Duration> {
        let lane = self.lane(now, attempt);
        let outcome = match lane {
            Ok(Lane::Known | Lane::Stranger) => Outcome::Allowed,
            Ok(Lane::Crowded) => Outcome::Delayed,
            Err(_) => Outcome::Refused,
        };
        self.outcomes.add(outcome, 1);
        lane
    }

    /// Returns how many attempts had each outcome.
    pub(crate) fn outcomes(&self) -> &Tally<Outcome> {
        &self.outcomes
    }

    fn lane(&mut self, now: Instant, attempt: &Attempt<'_>) -> Result<Lane, Duration> {
        if let Some(device) = attempt.device {
            let bucket = self.devices.entry(&device, || Bucket::new(DEVICE_RATE, now));
            take(bucket, now)?;
            let name = attempt.name.to_lowercase();
            if self.known.entry(&name, || Bucket::new(KNOWN_RATE, now)).take(now) {
                return Ok(Lane::Known);
            }
        }
        for network in widest_first(attempt.address) {
            let rate = rate_of(network, NETWORK_RATE);
            take(self.networks.entry(&network, || Bucket::new(rate, now)), now)?;
        }
        let key = pair(attempt);
        take(self.pairs.entry(&key, || Bucket::new(PAIR_RATE, now)), now)?;
        let bucket = self.names.entry(&key.1, || Bucket::new(NAME_RATE, now));
        Ok(if bucket.take(now) { Lane::Stranger } else { Lane::Crowded })
    }

    /// Counts the code of a user's second factor. `is_known` if the browser has signed in before.
    ///
    /// # Errors
    /// The time after which it is allowed, if it is not.
    pub(crate) fn admit_code(
        &mut self,
        now: Instant,
        user: i64,
        is_known: bool,
    ) -> Result<(), Duration> {
        let bucket = self.codes.entry(&(user, is_known), || Bucket::new(CODE_RATE, now));
        let taken = take(bucket, now);
        self.outcomes.add(Outcome::of(taken), 1);
        taken
    }

    /// Counts a password that a user or token gives to what it makes, since it takes long to hash.
    ///
    /// # Errors
    /// The time after which it is allowed, if it is not.
    pub(crate) fn admit_hash(&mut self, now: Instant, account: &str) -> Result<(), Duration> {
        take(self.hashes.entry(&account.to_owned(), || Bucket::new(HASH_RATE, now)), now)
    }

    /// Forgets the wrong codes of a user, because one was right.
    pub(crate) fn forgive_code(&mut self, user: i64, is_known: bool) {
        self.codes.remove(&(user, is_known));
    }

    /// Counts an answer of the provider.
    ///
    /// # Errors
    /// The time after which it is allowed, if it is not.
    pub(crate) fn admit_answer(
        &mut self,
        now: Instant,
        answered: &Answered<'_>,
    ) -> Result<(), Duration> {
        let taken = self.take_answer(now, answered);
        self.outcomes.add(Outcome::of(taken), 1);
        taken
    }

    fn take_answer(&mut self, now: Instant, answered: &Answered<'_>) -> Result<(), Duration> {
        let flow = answered.flow.to_owned();
        take(self.flows.entry(&flow, || Bucket::new(FLOW_RATE, now)), now)?;
        for (bringer, rate) in answered.bringers() {
            take(self.answers.entry(&bringer, || Bucket::new(rate, now)), now)?;
        }
        Ok(())
    }

    /// Gives back what an answer has taken, because it was right: those who come from one network
    /// sign in as often as they like.
    pub(crate) fn forgive_answer(&mut self, answered: &Answered<'_>) {
        for (bringer, _) in answered.bringers() {
            if let Some(bucket) = self.answers.get_mut(&bringer) {
                bucket.put_back();
            }
        }
    }

    /// Forgets the wrong attempts from a network for a name, because one was right. Those of a
    /// browser that is known are not forgotten: who knows the password must not take all the places
    /// of known browsers either.
    pub(crate) fn forgive(&mut self, attempt: &Attempt<'_>) {
        self.pairs.remove(&pair(attempt));
    }
}

/// Returns the networks of an address, the widest first: a narrow one gets a row only for an
/// attempt that the wide one allows, so that refused attempts push nobody out of the table.
fn widest_first(address: IpAddr) -> impl Iterator<Item = Network> {
    Network::all(address).rev()
}

fn take(bucket: &mut Bucket, now: Instant) -> Result<(), Duration> {
    if bucket.take(now) { Ok(()) } else { Err(bucket.time_to_next(now)) }
}

fn pair(attempt: &Attempt<'_>) -> (Network, String) {
    (Network::of(attempt.address), attempt.name.to_lowercase())
}

/// Returns the rate of a network that counts as several.
fn rate_of(network: Network, Rate { burst, per_minute }: Rate) -> Rate {
    let share = u32::try_from(network.share()).unwrap_or(1);
    Rate { burst: burst * share, per_minute: per_minute * share }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt<'a>(address: &str, name: &'a str) -> Attempt<'a> {
        Attempt { address: address.parse().unwrap(), name, device: None }
    }

    fn count(throttle: &mut Throttle, now: Instant, attempt: Attempt<'_>, tries: usize) -> usize {
        (0..tries).filter(|_| throttle.admit(now, &attempt).is_ok()).count()
    }

    #[test]
    fn codes_of_a_user_run_out_and_come_back() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        let mut tries = |user, is_known, at_s| {
            let now = start + Duration::from_secs(at_s);
            (0..10).filter(|_| throttle.admit_code(now, user, is_known).is_ok()).count()
        };
        for (user, is_known, at_s, expected) in [
            (1, false, 0, 6),
            (1, true, 0, 6),
            (2, false, 0, 6),
            (1, false, 60, 2),
            (1, false, 61, 0),
        ] {
            assert_eq!(tries(user, is_known, at_s), expected, "{user} {is_known} {at_s}");
        }
        throttle.forgive_code(1, false);
        assert!(throttle.admit_code(start + Duration::from_secs(61), 1, false).is_ok());
    }

    #[test]
    fn attempts_of_every_kind_are_counted_by_their_outcome() {
        let (now, mut throttle) = (Instant::now(), Throttle::default());
        for _ in 0..20 {
            let _ = throttle.admit(now, &attempt("192.0.2.1", "anna"));
            let _ = throttle.admit_code(now, 1, false);
            let address = "192.0.2.2".parse().unwrap();
            let _ = throttle.admit_answer(now, &Answered { address, flow: "a", device: None });
        }
        let [allowed, delayed, refused] = [Outcome::Allowed, Outcome::Delayed, Outcome::Refused]
            .map(|it| throttle.outcomes.get(it));
        // Ten for a password, six for a code and three for an answer.
        assert_eq!((allowed, delayed, refused), (19, 0, 41));
    }

    #[test]
    fn s3_answers_of_the_provider_run_out_for_those_who_bring_wrong_ones() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        let of = |address: &str, flow: &'static str, device: Option<u64>| Answered {
            address: address.parse().unwrap(),
            flow,
            device: device.map(DeviceId::of_test),
        };
        let mut tries = |answered: Answered<'_>, at_s| {
            let now = start + Duration::from_secs(at_s);
            (0..9).filter(|_| throttle.admit_answer(now, &answered).is_ok()).count()
        };
        // One answer is not brought for ever, by a browser that is known neither.
        assert_eq!(tries(of("192.0.2.1", "a", None), 0), 3);
        assert_eq!(tries(of("192.0.2.1", "b", Some(1)), 0), 3);
        assert_eq!(tries(of("192.0.2.1", "a", None), 20), 1);
        let mut number = 0;
        let mut count = |address: &str, device: Option<u64>, is_right| {
            let (address, device) = (address.parse().unwrap(), device.map(DeviceId::of_test));
            let mut admit = |_: &i32| {
                number += 1;
                let flow = format!("flow {number}");
                let answered = Answered { address, flow: &flow, device };
                let is_admitted = throttle.admit_answer(start, &answered).is_ok();
                if is_admitted && is_right {
                    throttle.forgive_answer(&answered);
                }
                is_admitted
            };
            (0..200).filter(|one| admit(one)).count()
        };
        assert_eq!(count("198.51.100.1", None, true), 200, "right ones do not count");
        assert_eq!(count("198.51.100.2", None, false), 60);
        assert_eq!(count("198.51.100.2", Some(2), true), 200, "a browser that is known");
        assert_eq!(count("198.51.100.2", Some(3), false), 10, "and brings wrong ones");
        assert_eq!(count("198.51.100.3", None, false), 60, "another network");
        // An account of somebody else gives nobody more tries for a password.
        let known =
            Attempt { device: Some(DeviceId::of_test(4)), ..attempt("198.51.100.4", "ann") };
        let tries = (0..30).filter(|number| {
            let flow = format!("another flow {number}");
            let answered = Answered { address: known.address, flow: &flow, device: known.device };
            throttle.admit_answer(start, &answered).unwrap();
            throttle.forgive_answer(&answered);
            throttle.admit(start, &known).is_ok()
        });
        assert_eq!(tries.count(), 10);
    }

    #[test]
    fn s3_attempts_run_out_for_one_name_and_for_one_network_and_come_back() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        let ann = attempt("192.0.2.1", "Ann");
        assert_eq!(count(&mut throttle, start, ann, 12), 10);
        assert_eq!(
            throttle.admit(start, &attempt("192.0.2.1", "aNN")),
            Err(Duration::from_secs(10))
        );
        let later = start + Duration::from_secs(10);
        assert_eq!(throttle.admit(later, &ann), Ok(Lane::Stranger));
        assert!(throttle.admit(later, &ann).is_err());
        throttle.forgive(&ann);
        assert!(throttle.admit(later, &ann).is_ok(), "one was right");
        let mut throttle = Throttle::default();
        for number in 0..24 {
            let name = format!("user{number}");
            assert!(throttle.admit(start, &attempt("192.0.2.1", &name)).is_ok(), "{number}");
        }
        let after = throttle.admit(start, &attempt("192.0.2.1", "another")).unwrap_err();
        assert_eq!(after, Duration::from_secs(3));
        assert!(throttle.admit(start, &attempt("192.0.2.2", "another")).is_ok());
    }

    #[test]
    fn s3_wrong_tries_of_others_never_lock_the_owner_out() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        for number in 0..5_000_u32 {
            let address = format!("2001:db8:{:x}:{:x}::1", number % 40, number);
            let _refused = throttle.admit(start, &attempt(&address, "root"));
            let _refused = throttle.admit(start, &attempt("192.0.2.1", "root"));
        }
        let owner = attempt("198.51.100.7", "root");
        assert_eq!(throttle.admit(start, &owner), Ok(Lane::Crowded), "a new browser waits");
        let device = Some(DeviceId::of_test(7));
        for from in ["198.51.100.7", "192.0.2.1"] {
            let known = Attempt { device, ..attempt(from, "root") };
            assert_eq!(throttle.admit(start, &known), Ok(Lane::Known), "{from}");
        }
    }

    #[test]
    fn s3_a_browser_that_has_signed_in_before_has_its_own_tries_and_no_more() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        let known =
            |seed| Attempt { device: Some(DeviceId::of_test(seed)), ..attempt("192.0.2.1", "ann") };
        assert_eq!(count(&mut throttle, start, known(1), 99), 10);
        assert_eq!(count(&mut throttle, start, known(2), 99), 10);
        assert_eq!(count(&mut throttle, start, attempt("192.0.2.1", "ann"), 99), 10);
        throttle.forgive(&known(1));
        assert_eq!(count(&mut throttle, start, known(1), 99), 0, "right ones count as well");
        let minute = start + Duration::from_secs(60);
        assert_eq!(count(&mut throttle, minute, known(1), 99), 6);
    }

    #[test]
    fn s3_many_browsers_that_have_signed_in_before_are_handled_like_strangers_in_the_end() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        let mut lanes = (0..200).map(|seed| {
            let device = Some(DeviceId::of_test(seed));
            throttle.admit(start, &Attempt { device, ..attempt("192.0.2.1", "ann") })
        });
        assert!(lanes.by_ref().take(60).all(|lane| lane == Ok(Lane::Known)));
        let rest: Vec<_> = lanes.collect();
        let strangers = rest.iter().filter(|lane| **lane == Ok(Lane::Stranger)).count();
        assert_eq!((strangers, rest.iter().filter(|lane| lane.is_err()).count()), (10, 130));
    }

    #[test]
    fn s3_full_tables_forget_the_least_recent_and_refuse_no_newcomer() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        for number in 0..2 * MAX_REMEMBERED {
            let address = format!("10.{}.{}.1", number / 256, number % 256);
            let name = format!("user{number}");
            assert!(throttle.admit(start, &attempt(&address, &name)).is_ok(), "{number}");
            let device = Some(DeviceId::of_test(u64::try_from(number).unwrap()));
            let known = Attempt { device, ..attempt(&address, &name) };
            assert!(throttle.admit(start, &known).is_ok(), "{number}");
            let user = i64::try_from(number).unwrap();
            assert!(throttle.admit_code(start, user, true).is_ok(), "{number}");
            assert!(throttle.admit_hash(start, &name).is_ok(), "{number}");
            let answered =
                Answered { address: address.parse().unwrap(), flow: &name, device: None };
            assert!(throttle.admit_answer(start, &answered).is_ok(), "{number}");
        }
        let Throttle {
            networks,
            pairs,
            names,
            devices,
            known,
            codes,
            hashes,
            flows,
            answers,
            outcomes,
        } = &throttle;
        assert_eq!(outcomes.get(Outcome::Refused), 0);
        let lens = [networks.len(), pairs.len(), names.len(), devices.len(), codes.len()];
        let more = [known.len(), flows.len(), answers.len(), hashes.len()];
        for len in lens.into_iter().chain(more) {
            assert_eq!(len, MAX_REMEMBERED);
        }
    }

    #[test]
    fn s3_refused_attempts_of_two_sites_push_neither_out_of_the_table() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        let mut admitted = 0;
        for number in 0..20 * 2 * 4300_u32 {
            let (site, household) = (number / 4300 % 2, number % 0x1_0000);
            let address = format!("2001:db8:{site:x}:{household:x}::1");
            let name = format!("user{number}");
            admitted += usize::from(throttle.admit(start, &attempt(&address, &name)).is_ok());
        }
        assert_eq!(admitted, 2 * 24 * 4);
    }

    #[test]
    fn s3_a_site_of_ipv6_is_one_and_not_65536_networks() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        let tries = (0..1_000).filter(|number| {
            let (address, name) = (format!("2001:db8:7:{number:x}::1"), format!("user{number}"));
            throttle.admit(start, &attempt(&address, &name)).is_ok()
        });
        assert_eq!(tries.count(), 24 * 4);
    }
}
