//! The address and the TURN listener of a machine with a public port, where the configuration says
//! nothing about them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use porthole_turn_proto::server::is_public;
use tokio::net::lookup_host;
use tokio::time::timeout;
use tracing::warn;
use url::Host;

use super::settings::check_own_ca;
use crate::config::{Config, PublicName, Turn};
use crate::console;

/// Time for a look-up in the DNS.
const LOOKUP_TIME: Duration = Duration::from_secs(10);
/// The port of STUN and TURN.
const TURN_PORT: u16 = 3478;

/// Returns the configuration in which TURN listens at every address if there is a public port.
pub fn with_turn(mut config: Config) -> Config {
    if !config.public.listen.is_empty() && config.turn.listen == Turn::default().listen {
        config.turn.listen = vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, TURN_PORT))];
    }
    config
}

/// Returns the configuration with the public address filled in if there is a public port: that of
/// its first name, or of an interface.
///
/// # Errors
///
/// Fails if there is a public port, and neither a name nor a public address of an interface; or a
/// load balancer before it.
pub async fn with_address(mut config: Config) -> anyhow::Result<Config> {
    if !config.public.listen.is_empty() && config.public_address.is_none() {
        ensure!(
            config.public.proxy_protocol.is_empty(),
            "behind a load balancer the names lead to the balancer: set public_address to the \
             address by which the Internet reaches this machine"
        );
        let local = local_addresses(&config);
        check_own_ca(&config)?;
        let found = match config.public.names.first() {
            Some(_) if !local.is_empty() => local,
            Some(name) => addresses_of(name).await.unwrap_or_else(|error| {
                // The machine itself and its LAN need no DNS.
                warn!("{error:#}; until the next start clients learn this machine's own address");
                own_addresses().unwrap_or_default()
            }),
            None => own_addresses()?,
        };
        for address in &found {
            console::print_progress(format_args!(
                "the public address of this machine is {address}"
            ));
        }
        let (v4, v6) = (found.iter().find(|ip| ip.is_ipv4()), found.iter().find(|ip| ip.is_ipv6()));
        config.public_address = v4.or(v6).copied();
        config.other_public_address = v4.and(v6).copied();
    }
    Ok(config)
}

/// Returns the addresses among the names, if the server is for a local network: there few machines
/// have a name that is in the DNS.
fn local_addresses(config: &Config) -> Vec<IpAddr> {
    let address = |PublicName(name): &PublicName| match name {
        Host::Ipv4(address) => Some((*address).into()),
        Host::Ipv6(address) => Some((*address).into()),
        Host::Domain(_) => None,
    };
    let names = config.public.names.iter().filter(|_| config.public.own_ca);
    names.filter_map(address).collect()
}

/// Returns the addresses of a name.
async fn addresses_of(PublicName(name): &PublicName) -> anyhow::Result<Vec<IpAddr>> {
    let name = match name {
        Host::Ipv4(address) => return Ok(vec![(*address).into()]),
        Host::Ipv6(address) => return Ok(vec![(*address).into()]),
        Host::Domain(name) => name.as_str(),
    };
    let unknown = || {
        format!(
            "{name} has no address: make a record (A or AAAA) with the address of this machine, \
             or give that with --public-address"
        )
    };
    let found = timeout(LOOKUP_TIME, lookup_host((name, 0))).await.with_context(unknown)?;
    let found: Vec<_> = found.with_context(unknown)?.map(|address| address.ip()).collect();
    ensure!(!found.is_empty(), unknown());
    // `/etc/hosts` often has the own name.
    let outside: Vec<_> = found.into_iter().filter(|ip| !ip.is_loopback()).collect();
    ensure!(
        !outside.is_empty(),
        "{name} leads to this machine itself, as /etc/hosts may say: give the address by which \
         others reach it with --public-address"
    );
    Ok(outside)
}

/// Returns the public addresses of the interfaces.
fn own_addresses() -> anyhow::Result<Vec<IpAddr>> {
    let interfaces = if_addrs::get_if_addrs().context("cannot list the network interfaces")?;
    let public: Vec<_> =
        interfaces.iter().map(if_addrs::Interface::ip).filter(|ip| is_public(*ip)).collect();
    if public.is_empty() {
        bail!(
            "no interface of this machine has a public address: give the name by which others \
             reach it, as in `porthole up --public cameras.example.org`, or its address with \
             --public-address"
        );
    }
    Ok(public)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    #[tokio::test]
    async fn what_follows_from_a_public_port_is_completed_and_nothing_else() {
        let port = "public.listen = ['0.0.0.0:443']\n";
        for (text, address, listen) in [
            ("", None, "127.0.0.1:3478"),
            ("public_address = '203.0.113.7'", Some("203.0.113.7"), "127.0.0.1:3478"),
            (&format!("{port}public.names = ['203.0.113.7']"), Some("203.0.113.7"), "0.0.0.0:3478"),
            (&format!("{port}public.names = ['2001:db8::7']"), Some("2001:db8::7"), "0.0.0.0:3478"),
            (
                &format!("{port}public.names = ['localhost']\npublic_address = '203.0.113.7'"),
                Some("203.0.113.7"),
                "0.0.0.0:3478",
            ),
            (
                &format!("{port}public.names = ['203.0.113.7']\nturn.listen = ['10.0.0.7:9']"),
                Some("203.0.113.7"),
                "10.0.0.7:9",
            ),
        ] {
            let found = with_address(with_turn(config(text))).await.unwrap();
            let found_address = found.public_address.map(|address| address.to_string());
            assert_eq!(found_address.as_deref(), address, "{text}");
            assert_eq!(found.turn.listen, [listen.parse::<SocketAddr>().unwrap()], "{text}");
        }
    }

    #[tokio::test]
    async fn a_server_with_its_own_authority_has_the_addresses_among_its_names() {
        let own = "public.listen = ['0.0.0.0:443']\npublic.own_ca = true\n";
        let text = format!("{own}public.names = ['cams.lan', '192.168.1.7', 'fd00::7']");
        let found = with_address(config(&text)).await.unwrap();
        assert_eq!(found.public_address, Some("192.168.1.7".parse().unwrap()));
        assert_eq!(found.other_public_address, Some("fd00::7".parse().unwrap()));
        let error = with_address(config(own)).await.unwrap_err().to_string();
        assert!(error.contains("set public.names"), "{error}");
        let text = format!("{own}public_address = '192.168.1.7'");
        assert!(with_address(config(&text)).await.is_ok(), "the certificate is for that");
    }

    #[tokio::test]
    async fn a_name_that_leads_to_loopback_is_no_address_for_others() {
        let name = PublicName(Host::parse("localhost").unwrap());
        let error = addresses_of(&name).await.unwrap_err().to_string();
        assert!(error.starts_with("localhost leads to this machine itself"), "{error}");
    }

    #[tokio::test]
    async fn a_load_balancer_needs_the_address_of_this_machine() {
        let text = "public.listen = ['0.0.0.0:443']\npublic.names = ['203.0.113.7']\n\
                    public.proxy_protocol = ['10.0.0.0/8']";
        assert!(with_address(config(text)).await.is_err());
        let text = format!("{text}\npublic_address = '203.0.113.8'");
        let found = with_address(config(&text));
        assert!(found.await.is_ok_and(|found| found.public_address.is_some()));
    }
}
