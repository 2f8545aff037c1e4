//! Under which address others reach this machine, if the configuration only says how to find out.

use crate::{
    config::{Config, ExternalAddress, Turn},
    netcheck, say,
};
use anyhow::{Context, ensure};
use porthole_turn_proto::Family;
use std::net::IpAddr;

/// The configuration with its public address filled in.
pub async fn with_public_address(config: &Config) -> anyhow::Result<Config> {
    let mut config = config.clone();
    if let (None, Some(how)) = (config.public_address, &config.turn.external_address) {
        let found = find(how, &families(&config.turn)).await;
        let found = found.with_context(|| format!("turn.external_address `{how}`"))?;
        for ip in &found {
            say::progress(format_args!("others reach this machine at {ip}"));
        }
        let is_searched = !matches!(how, ExternalAddress::Ip(_));
        for family in families(&config.turn).into_iter().filter(|_| is_searched) {
            if !found.iter().any(|ip| family == Family::of(ip)) {
                tracing::warn!(
                    "`{how}` says no {family:?} address: over that family nobody is relayed; name \
                     one in turn.relay_address"
                );
            }
        }
        let mut found = found.into_iter();
        (config.public_address, config.other_public_address) = (found.next(), found.next());
    }
    Ok(config)
}

/// One address for each of these families that has one, IPv4 first; at least one.
async fn find(how: &ExternalAddress, families: &[Family]) -> anyhow::Result<Vec<IpAddr>> {
    let is_wanted = |ip: IpAddr| families.contains(&Family::of(&ip));
    let found = match how {
        ExternalAddress::Ip(ip) => vec![*ip],
        ExternalAddress::Stun(server) => netcheck::seen_by(server, is_wanted).await?,
        ExternalAddress::Interface(name) => of_interface(name, is_wanted)?,
    };
    ensure!(!found.is_empty(), "no address of a family that the server listens on");
    Ok(found)
}

/// Those that clients come over.
fn families(turn: &Turn) -> Vec<Family> {
    let listens = || turn.listen.iter().chain(&turn.listen_tls).chain(&turn.listen_dtls);
    let is_listened_on = |family: &Family| listens().any(|at| Family::of(&at.ip()) == *family);
    [Family::V4, Family::V6].into_iter().filter(is_listened_on).collect()
}

/// A link-local address is nobody else's business.
fn of_interface(name: &str, is_wanted: impl Fn(IpAddr) -> bool) -> anyhow::Result<Vec<IpAddr>> {
    let interfaces = if_addrs::get_if_addrs().context("cannot list the interfaces")?;
    let mut own: Vec<_> = interfaces.iter().filter(|interface| interface.name == name).collect();
    ensure!(!own.is_empty(), "there is no interface {name}");
    own.retain(|interface| !interface.is_link_local() && is_wanted(interface.ip()));
    own.sort_by_key(|interface| interface.ip());
    let mut found: Vec<_> = own.iter().map(|interface| interface.ip()).collect();
    found.dedup_by_key(|ip| Family::of(ip));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn an_external_address_is_named_or_an_interfaces() {
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
    async fn a_stun_server_says_the_external_address_unless_it_is_named() {
        let seen = "203.0.113.9:999".parse().unwrap();
        let server = netcheck::tests::serve(Some(seen)).await;
        let mut config = Config::default();
        config.turn.external_address = Some(ExternalAddress::Stun(server.to_string()));
        let found = with_public_address(&config).await.unwrap();
        assert_eq!(found.public_address, Some(seen.ip()));
        assert_eq!(found.other_public_address, None);
        let named = IpAddr::V4(Ipv4Addr::LOCALHOST);
        config.public_address = Some(named);
        let found = with_public_address(&config).await.unwrap();
        assert_eq!(found.public_address, Some(named));
    }
}
