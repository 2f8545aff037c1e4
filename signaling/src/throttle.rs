//! How often somebody may try a password: by address, and by name.

use porthole_signaling_core::{Bucket, Rate};
use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    time::Instant,
};

/// A household that mistypes.
const ADDRESS_RATE: Rate = Rate { burst: 20, per_minute: 6 };
/// Somebody who has forgotten; from many addresses it is no faster.
const NAME_RATE: Rate = Rate { burst: 20, per_minute: 6 };
/// Addresses and names that are remembered. Beyond it, whoever has rested longest is forgotten.
const MAX_REMEMBERED: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Throttle {
    addresses: Buckets<IpAddr>,
    names: Buckets<String>,
}

impl Throttle {
    /// Whether this try may go on.
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
            // Full of those who have tried just now: nobody new until some have rested.
            if self.0.len() >= MAX_REMEMBERED {
                return false;
            }
        }
        self.0.entry(key).or_insert_with(|| Bucket::new(rate, now)).take(now)
    }
}

/// Somebody has one IPv4 address, but a whole /64 of IPv6.
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
    use super::*;
    use std::time::Duration;

    #[test]
    fn tries_run_out_by_address_and_by_name_and_come_back() {
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
    fn a_network_of_ipv6_is_one_address() {
        let one: IpAddr = "2001:db8:1:2:3::4".parse().unwrap();
        let other: IpAddr = "2001:db8:1:2:ffff::".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(network(one), network(other));
        assert_eq!(network(mapped), IpAddr::from([192, 0, 2, 1]));
    }

    #[test]
    fn no_more_are_remembered_than_fit() {
        let (start, mut buckets) = (Instant::now(), Buckets::default());
        for key in 0..MAX_REMEMBERED {
            assert!(buckets.take(start, key, NAME_RATE));
        }
        assert!(!buckets.take(start, MAX_REMEMBERED, NAME_RATE));
        assert!(buckets.take(start + Duration::from_secs(10), MAX_REMEMBERED, NAME_RATE));
        assert_eq!(buckets.0.len(), 1);
    }
}
