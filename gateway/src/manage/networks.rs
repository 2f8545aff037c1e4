//! The machines that may be asked for cameras, and the sentences if one may not.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use porthole_signaling_proto::rpc::{Fault, code};
use tokio::net::lookup_host;

use crate::onvif::{Cidr, Networks, NotAllowed};

/// Maximum number of machines that one search asks: two ranges of 256, and some.
const MAX_MACHINES: usize = 600;

/// Shortest prefix of a range that is searched machine by machine: 256 addresses.
const MIN_PREFIX: u32 = 24;

/// Reads the networks of this machine.
pub(super) fn networks(named: &[Cidr]) -> Result<Networks, Fault> {
    crate::onvif::networks(named.to_vec()).map_err(|error| {
        let text = format!("the gateway cannot read its network interfaces: {error}");
        Fault::new(code::INTERNAL_ERROR, text)
    })
}

/// Returns the fault for a machine that may not be asked.
pub(super) fn not_allowed(error: NotAllowed) -> Fault {
    let text = match error {
        NotAllowed::ThisMachine(ip) => format!(
            "{ip} is the gateway's own machine: name it in gateway.networks of its configuration \
             if the camera runs there"
        ),
        NotAllowed::Elsewhere(ip) => format!(
            "{ip} is not in a network of this gateway: choose the gateway beside the camera, or \
             name its network in gateway.networks of the configuration"
        ),
        NotAllowed::NoMachine(_) | NotAllowed::Metadata(_) => error.to_string(),
    };
    Fault::new(code::FORBIDDEN, text)
}

/// A machine to ask, and whether a person has named it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) ip: IpAddr,
    /// False if it is one of a range.
    pub(super) is_named: bool,
}

/// Returns the machines at the addresses that a person has typed.
pub(super) async fn machines(
    addresses: &[String],
    networks: &Networks,
) -> Result<Vec<Machine>, Fault> {
    let mut machines: Vec<Machine> = Vec::new();
    for address in addresses {
        for machine in resolve(address.trim()).await? {
            // The ends of a range are no machines.
            match networks.check(machine.ip) {
                Err(error) if machine.is_named => return Err(not_allowed(error)),
                Err(NotAllowed::Elsewhere(ip)) => {
                    return Err(not_allowed(NotAllowed::Elsewhere(ip)));
                }
                Err(_) => continue,
                Ok(()) => {}
            }
            if machines.iter().all(|known| known.ip != machine.ip) {
                machines.push(machine);
            }
        }
        if machines.len() > MAX_MACHINES {
            return Err(bad_address(address));
        }
    }
    Ok(machines)
}

async fn resolve(address: &str) -> Result<Vec<Machine>, Fault> {
    let named = |ip: IpAddr| vec![Machine { ip, is_named: true }];
    if let Some((network, prefix)) = address.split_once('/') {
        return range(network, prefix).ok_or_else(|| bad_address(address));
    }
    if let Ok(ip) = address.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(named(ip));
    }
    if let Ok(socket) = address.parse::<SocketAddr>() {
        return Ok(named(socket.ip()));
    }
    let host = address.split(':').next().unwrap_or_default();
    let found = lookup_host((host, 80)).await.ok().and_then(|mut found| found.next());
    found.map(|found| named(found.ip())).ok_or_else(|| {
        let text =
            format!("no address is known for {host}: check the name, or type the IP address");
        Fault::new(code::BAD_REQUEST, text)
    })
}

/// Returns the addresses of a range such as `192.168.1.0/24`.
fn range(network: &str, prefix: &str) -> Option<Vec<Machine>> {
    let network: Ipv4Addr = network.parse().ok()?;
    let prefix: u32 = prefix.parse().ok().filter(|prefix| (MIN_PREFIX..=32).contains(prefix))?;
    let count = 1_u32 << (32 - prefix);
    let first = network.to_bits() & !(count - 1);
    let ip = |number| IpAddr::V4(Ipv4Addr::from_bits(first + number));
    let is_named = count == 1;
    Some((0..count).map(|number| Machine { ip: ip(number), is_named }).collect())
}

fn bad_address(address: &str) -> Fault {
    let text = format!(
        "{address} is not an address to search: type the address of a machine, or a range of at \
         most 256 like 192.168.1.0/24"
    );
    Fault::new(code::BAD_REQUEST, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> Networks {
        let own = vec!["192.168.1.0/24".parse().unwrap(), "fd00::/64".parse().unwrap()];
        Networks { own, named: vec!["10.0.0.0/24".parse().unwrap()] }
    }

    #[tokio::test]
    async fn machines_are_typed_as_addresses_names_and_small_ranges() {
        let cases: &[(&[&str], Result<usize, &str>)] = &[
            (&["192.168.1.20"], Ok(1)),
            (&["192.168.1.20:8000", "[fd00::20]", "192.168.1.20"], Ok(2)),
            (&["192.168.1.0/24"], Ok(256)),
            (&["192.168.1.77/30"], Ok(4)),
            (&["192.168.1.7/32"], Ok(1)),
            (&["192.168.1.0/24", "10.0.0.0/24"], Ok(512)),
            (&["192.168.0.0/23"], Err("at most 256")),
            (&["192.168.1.0/33"], Err("at most 256")),
            (&["fd00::/120"], Err("at most 256")),
            (&["192.168.2.0/24"], Err("gateway.networks")),
            (&["8.8.8.8"], Err("gateway.networks")),
            (&["127.0.0.1"], Err("own machine")),
            (&["169.254.169.254"], Err("not a camera")),
            (&["239.255.255.250"], Err("single machine")),
            (&["no such name"], Err("check the name")),
        ];
        for (addresses, expected) in cases {
            let addresses: Vec<_> = addresses.iter().map(|text| (*text).to_owned()).collect();
            let found = machines(&addresses, &home()).await;
            match (found, expected) {
                (Ok(found), Ok(count)) => assert_eq!(found.len(), *count, "{addresses:?}"),
                (Err(fault), Err(words)) => {
                    assert!(fault.message.contains(words), "{addresses:?}: {fault}");
                    assert!(!fault.message.contains("--"), "{fault}");
                }
                (found, expected) => panic!("{addresses:?}: {found:?} is not {expected:?}"),
            }
        }
    }
}
