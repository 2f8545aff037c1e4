//! Under which address others reach this machine, if the configuration only says how to find out.

use crate::{
    config::{Config, ExternalAddress},
    netcheck, say,
};
use anyhow::{Context, ensure};
use std::net::IpAddr;

/// The configuration with its public address filled in.
pub async fn with_public_address(config: &Config) -> anyhow::Result<Config> {
    let mut config = config.clone();
    if let (None, Some(how)) = (config.public_address, &config.turn.external_address) {
        let found = find(how).await.with_context(|| format!("turn.external_address `{how}`"))?;
        say::progress(format_args!("others reach this machine at {found}"));
        config.public_address = Some(found);
    }
    Ok(config)
}

async fn find(how: &ExternalAddress) -> anyhow::Result<IpAddr> {
    match how {
        ExternalAddress::Ip(ip) => Ok(*ip),
        ExternalAddress::Stun(server) => netcheck::seen_by(server).await,
        ExternalAddress::Interface(name) => of_interface(name),
    }
}

/// IPv4 first; a link-local address is nobody else's business.
fn of_interface(name: &str) -> anyhow::Result<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().context("cannot list the interfaces")?;
    let mut own: Vec<_> = interfaces.iter().filter(|interface| interface.name == name).collect();
    ensure!(!own.is_empty(), "there is no interface {name}");
    own.retain(|interface| !interface.is_link_local());
    own.sort_by_key(|interface| interface.ip());
    let first = own.first().with_context(|| format!("the interface {name} has no address"))?;
    Ok(first.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn an_external_address_is_named_or_an_interfaces() {
        for (how, found) in [
            ("203.0.113.7", Some("203.0.113.7")),
            ("2001:db8::7", Some("2001:db8::7")),
            ("interface:lo", Some("127.0.0.1")),
            ("interface:none0", None),
        ] {
            let how: ExternalAddress = how.parse().unwrap();
            assert_eq!(find(&how).await.ok(), found.map(|ip| ip.parse().unwrap()), "{how}");
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
        let named = IpAddr::V4(Ipv4Addr::LOCALHOST);
        config.public_address = Some(named);
        let found = with_public_address(&config).await.unwrap();
        assert_eq!(found.public_address, Some(named));
    }
}
