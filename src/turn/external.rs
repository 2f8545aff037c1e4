//! The public address of this machine, found as `turn.external_address` says.

use std::net::IpAddr;

use anyhow::{Context, ensure};
use porthole_turn_proto::Family;

use crate::config::{Config, ExternalAddress, Turn};
use crate::{console, netcheck};

/// Returns the configuration with the public address filled in.
///
/// # Errors
///
/// Fails if no address can be found.
pub async fn resolve_public_address(config: &Config) -> anyhow::Result<Config> {
    let mut config = config.clone();
    if let (None, Some(how)) = (config.public_address, &config.turn.external_address) {
        let found = find(how, &families(&config.turn)).await;
        let found = found.with_context(|| format!("turn.external_address `{how}`"))?;
        for ip in &found {
            console::print_progress(format_args!("the public address of this machine is {ip}"));
        }
        let is_searched = !matches!(how, ExternalAddress::Ip(_));
        for family in families(&config.turn).into_iter().filter(|_| is_searched) {
            if !found.iter().any(|ip| family == Family::of(ip)) {
                tracing::warn!(
                    "`{how}` has no {family:?} address, so that clients cannot relay over \
                     {family:?}; set one in turn.relay_address"
                );
            }
        }
        let mut found = found.into_iter();
        (config.public_address, config.other_public_address) = (found.next(), found.next());
    }
    Ok(config)
}

/// Returns an address for each family that has one, IPv4 first; at least one.
async fn find(how: &ExternalAddress, families: &[Family]) -> anyhow::Result<Vec<IpAddr>> {
    let is_wanted = |ip: IpAddr| families.contains(&Family::of(&ip));
    let found = match how {
        ExternalAddress::Ip(ip) => vec![*ip],
        ExternalAddress::Stun(server) => netcheck::reflexive_addresses(server, is_wanted).await?,
        ExternalAddress::Interface(name) => interface_addresses(name, is_wanted)?,
    };
    ensure!(!found.is_empty(), "found no address of a family that the server listens on");
    Ok(found)
}

/// Returns the families that the server listens on.
fn families(turn: &Turn) -> Vec<Family> {
    let listens = || turn.listen.iter().chain(&turn.listen_tls).chain(&turn.listen_dtls);
    let is_listened_on = |family: &Family| listens().any(|at| Family::of(&at.ip()) == *family);
    [Family::V4, Family::V6].into_iter().filter(is_listened_on).collect()
}

/// Returns the addresses of an interface, at most one of each family, without link-local ones.
fn interface_addresses(
    name: &str,
    is_wanted: impl Fn(IpAddr) -> bool,
) -> anyhow::Result<Vec<IpAddr>> {
    let interfaces = if_addrs::get_if_addrs().context("cannot list the network interfaces")?;
    let mut matching: Vec<_> =
        interfaces.iter().filter(|interface| interface.name == name).collect();
    ensure!(!matching.is_empty(), "there is no interface {name}");
    matching.retain(|interface| !interface.is_link_local() && is_wanted(interface.ip()));
    matching.sort_by_key(|interface| interface.ip());
    let mut found: Vec<_> = matching.iter().map(|interface| interface.ip()).collect();
    found.dedup_by_key(|ip| Family::of(ip));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn an_external_address_is_given_or_of_an_interface() {
        for (how, listen, found) in [
            ("203.0.113.7", &["0.0.0.0:1"][..], &["203.0.113.7"][..]),
            ("2001:db8::7", &["0.0.0.0:1"], &["2001:db8::7"]),
            ("interface:lo", &["0.0.0.0:1"], &["127.0.0.1"]),
            ("interface:lo", &["[::]:1"], &["::1"]),
            ("interface:lo", &["[::]:1", "0.0.0.0:1"], &["127.0.0.1", "::1"]),
            ("interface:none0", &["0.0.0.0:1"], &[]),
        ] {
            let how: ExternalAddress = how.parse().unwrap();
            let listen = listen.iter().map(|at| at.parse().unwrap()).collect();
            let turn = Turn { listen, ..Turn::default() };
            let wanted: Vec<IpAddr> = found.iter().map(|ip| ip.parse().unwrap()).collect();
            assert_eq!(find(&how, &families(&turn)).await.unwrap_or_default(), wanted, "{how}");
        }
        for text in ["", "stun:", "interface:", "eth0", "turn:host"] {
            assert!(text.parse::<ExternalAddress>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_stun_server_tells_the_external_address_unless_it_is_configured() {
        let seen = "203.0.113.9:999".parse().unwrap();
        let server = netcheck::tests::serve(Some(seen)).await;
        let mut config = Config::default();
        config.turn.external_address = Some(ExternalAddress::Stun(server.to_string()));
        let found = resolve_public_address(&config).await.unwrap();
        assert_eq!(found.public_address, Some(seen.ip()));
        assert_eq!(found.other_public_address, None);
        let configured = IpAddr::V4(Ipv4Addr::LOCALHOST);
        config.public_address = Some(configured);
        let found = resolve_public_address(&config).await.unwrap();
        assert_eq!(found.public_address, Some(configured));
    }
}
