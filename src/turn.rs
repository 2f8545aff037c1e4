//! `porthole turn`, and the STUN/TURN server of `porthole up`.

use crate::{
    config::{Config, Ports, Secret},
    say, shutdown,
};
use anyhow::{anyhow, ensure};
use porthole_turn_server::{Server, StartError};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Runs it alone until told to stop.
pub async fn run(config: &Config) -> anyhow::Result<()> {
    let stop = shutdown::on_signal()?;
    let server = start(config, config.turn.secret.as_ref())?;
    stop.cancelled().await;
    tokio::task::spawn_blocking(move || server.shutdown(shutdown::DRAIN_DEADLINE)).await?;
    Ok(())
}

/// Starts it. The secret is the one that short-lived credentials are made from.
pub fn start(config: &Config, secret: Option<&Secret>) -> anyhow::Result<Server> {
    let turn = &config.turn;
    let listening: Vec<_> = turn.listen.iter().map(ToString::to_string).collect();
    say::progress(format_args!("starting STUN/TURN on {}, UDP and TCP", listening.join(", ")));
    let Relay { v4, v6 } = relay(config)?;
    let Ports { first, last } = turn.relay_ports;
    let plain = |(name, password): (&String, &Secret)| (name.clone(), password.reveal().to_owned());
    let server = Server::start(porthole_turn_server::Config {
        listen: turn.listen.clone(),
        realm: turn.realm.clone(),
        users: turn.users.iter().map(plain).collect(),
        rest_secrets: secret.iter().map(|secret| secret.reveal().to_owned()).collect(),
        relay_address_v4: v4,
        relay_address_v6: v6,
        relay_ports: first..=last,
        allow_peers: turn.allow_peers.iter().map(|network| network.0).collect(),
        deny_peers: turn.deny_peers.iter().map(|network| network.0).collect(),
        workers: usize::from(turn.workers),
        ..porthole_turn_server::Config::default()
    });
    server.map_err(|error| {
        if matches!(error, StartError::NoRelayAddress) {
            return anyhow!("{error}; name it with --public-address or in turn.relay_address");
        }
        error.into()
    })
}

#[derive(Debug, Default, PartialEq)]
struct Relay {
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
}

/// The addresses to relay from, as configured, else the public one. With none of these the server
/// takes the address that it listens on.
fn relay(config: &Config) -> anyhow::Result<Relay> {
    let named = &config.turn.relay_address;
    let named = if named.is_empty() { config.public_address.as_slice() } else { named };
    let mut relay = Relay::default();
    for address in named {
        let is_second = match *address {
            IpAddr::V4(address) => relay.v4.replace(address).is_some(),
            IpAddr::V6(address) => relay.v6.replace(address).is_some(),
        };
        ensure!(!is_second, "turn.relay_address has more than one address of a family");
    }
    Ok(relay)
}

/// What browsers and gateways are told: STUN and TURN at each address, over UDP and TCP.
pub fn urls(config: &Config) -> anyhow::Result<Vec<String>> {
    let mut urls = Vec::new();
    for listen in &config.turn.listen {
        let public = config.public_address.filter(|public| public.is_ipv6() == listen.is_ipv6());
        let host = match public {
            Some(public) => public,
            None if listen.ip().is_unspecified() => continue,
            None => listen.ip(),
        };
        // With the brackets that an IPv6 address has in a URI (RFC 7064 §3.1).
        let server = SocketAddr::new(host, listen.port());
        urls.push(format!("stun:{server}"));
        urls.push(format!("turn:{server}?transport=udp"));
        urls.push(format!("turn:{server}?transport=tcp"));
    }
    ensure!(
        !urls.is_empty(),
        "the STUN/TURN server listens on every address: say with --public-address under which one \
         others reach it"
    );
    Ok(urls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(listen: &[&str], public: Option<&str>) -> Config {
        let mut config = Config::default();
        config.turn.listen = listen.iter().map(|address| address.parse().unwrap()).collect();
        config.public_address = public.map(|address| address.parse().unwrap());
        config
    }

    #[test]
    fn clients_are_told_the_public_address() {
        for (listen, public, servers) in [
            (&["127.0.0.1:3478"][..], None, &["127.0.0.1:3478"][..]),
            (&["0.0.0.0:3478"], Some("203.0.113.7"), &["203.0.113.7:3478"]),
            (&["10.0.0.1:1"], Some("203.0.113.7"), &["203.0.113.7:1"]),
            (
                &["0.0.0.0:1", "[2001:db8::1]:2"],
                Some("203.0.113.7"),
                &["203.0.113.7:1", "[2001:db8::1]:2"],
            ),
            (&["0.0.0.0:1", "[::]:2"], Some("203.0.113.7"), &["203.0.113.7:1"]),
        ] {
            let urls = urls(&config(listen, public)).unwrap();
            let stun: Vec<_> = urls.iter().filter_map(|url| url.strip_prefix("stun:")).collect();
            assert_eq!(stun, servers);
            assert_eq!(urls.len(), 3 * servers.len());
        }
        assert!(urls(&config(&["0.0.0.0:3478"], None)).is_err());
    }

    #[test]
    fn the_relay_is_where_it_was_told_to_be() {
        let mut config = config(&["0.0.0.0:1"], None);
        assert_eq!(relay(&config).unwrap(), Relay::default());
        config.public_address = Some("203.0.113.7".parse().unwrap());
        assert_eq!(relay(&config).unwrap().v4, Some(Ipv4Addr::new(203, 0, 113, 7)));
        config.turn.relay_address = vec!["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        let both = Relay { v4: Some(Ipv4Addr::new(10, 0, 0, 1)), v6: Some(Ipv6Addr::LOCALHOST) };
        assert_eq!(relay(&config).unwrap(), both);
        config.turn.relay_address.push("10.0.0.2".parse().unwrap());
        assert!(relay(&config).is_err());
    }
}
