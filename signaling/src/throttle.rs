//! Limits on attempts to guess passwords: by address and by user name.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

use porthole_signaling_core::{Bucket, Rate};

/// Rate of attempts from one address: enough for a household that mistypes.
const ADDRESS_RATE: Rate = Rate { burst: 20, per_minute: 6 };
/// Rate of attempts for one user name: enough for someone who has forgotten the password. Many
/// addresses together get no more.
const NAME_RATE: Rate = Rate { burst: 20, per_minute: 6 };
/// The most addresses and the most names that are remembered; beyond it, those with a full bucket
/// are forgotten.
const MAX_REMEMBERED: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Throttle {
    addresses: Buckets<IpAddr>,
    names: Buckets<String>,
}

impl Throttle {
    /// Returns true if this attempt is allowed, and counts it.
    pub(crate) fn allows(&mut self, now: Instant, address: IpAddr, name: &str) -> bool {
        let name = name.to_lowercase();
        self.addresses.take(now, network(address), ADDRESS_RATE)
            && self.names.take(now, name, NAME_RATE)
    }
}

#[derive(Debug)]
struct Buckets<K>(HashMap<K, Bucket>);

impl<K> Default for Buckets<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq> Buckets<K> {
    fn take(&mut self, now: Instant, key: K, rate: Rate) -> bool {
        if self.0.len() >= MAX_REMEMBERED && !self.0.contains_key(&key) {
            self.0.retain(|_, bucket| !bucket.is_full(now));
            // All have tried just now: new ones are refused until some buckets have filled up.
            if self.0.len() >= MAX_REMEMBERED {
                return false;
            }
        }
        self.0.entry(key).or_insert_with(|| Bucket::new(rate, now)).take(now)
    }
}

/// Returns the network that one client can use: a single IPv4 address, but a /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from(u128::from(v6) >> 64 << 64)),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn attempts_run_out_by_address_and_by_name_and_come_back() {
        let start = Instant::now();
        let address = |last| IpAddr::from([192, 0, 2, last]);
        let mut throttle = Throttle::default();
        for number in 0..20 {
            assert!(throttle.allows(start, address(1), &format!("user{number}")), "{number}");
        }
        assert!(!throttle.allows(start, address(1), "another"));
        assert!(throttle.allows(start, address(2), "another"));
        assert!(throttle.allows(start + Duration::from_secs(10), address(1), "another"));
        let mut throttle = Throttle::default();
        for number in 0..20 {
            assert!(throttle.allows(
                start,
                address(number),
                ["Ann", "ann"][usize::from(number % 2)]
            ));
        }
        assert!(!throttle.allows(start, address(99), "ANN"));
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let one: IpAddr = "2001:db8:1:2:3::4".parse().unwrap();
        let other: IpAddr = "2001:db8:1:2:ffff::".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(network(one), network(other));
        assert_eq!(network(mapped), IpAddr::from([192, 0, 2, 1]));
    }

    #[test]
    fn no_more_than_the_maximum_are_remembered() {
        let (start, mut buckets) = (Instant::now(), Buckets::default());
        for key in 0..MAX_REMEMBERED {
            assert!(buckets.take(start, key, NAME_RATE));
        }
        assert!(!buckets.take(start, MAX_REMEMBERED, NAME_RATE));
        assert!(buckets.take(start + Duration::from_secs(10), MAX_REMEMBERED, NAME_RATE));
        assert_eq!(buckets.0.len(), 1);
    }
}
