//! The settings of the public port: its names, its files and its addresses.

use std::io;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use anyhow::{Context as _, anyhow, bail, ensure};
use porthole_turn_server::TlsFiles;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tracing::warn;
use url::{Host, Url};

use super::acme;
use crate::config::{Config, PublicName};

/// The port of HTTPS, which URLs leave out.
const HTTPS_PORT: u16 = 443;
/// Limit of connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Checks that the settings are complete.
///
/// # Errors
///
/// Names the setting that is missing.
pub(super) fn check(config: &Config) -> anyhow::Result<()> {
    let public = &config.public;
    if public.listen.is_empty() {
        let is_set = public.certificate.is_some() || public.key.is_some() || public.own_ca;
        ensure!(
            !is_set && public.names.is_empty(),
            "the public port has settings, but public.listen is missing: give the addresses to \
             listen on, such as 0.0.0.0:443"
        );
        return Ok(());
    }
    ensure!(
        main_name(config).is_some(),
        "the public port has no name: set public.names to the names by which others reach it, or \
         public_address"
    );
    Ok(())
}

/// The place that the certificate comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Files of the operator.
    Files(TlsFiles),
    /// An authority that is asked.
    Acme,
    /// The server's own authority.
    OwnCa,
}

/// Returns the place that the certificate comes from.
///
/// # Errors
///
/// Names the setting that is missing, or that contradicts another one.
pub(super) fn source(config: &Config) -> anyhow::Result<Source> {
    let public = &config.public;
    if public.own_ca {
        let has_files = public.certificate.is_some() || public.key.is_some();
        ensure!(
            !has_files,
            "public.own_ca makes the certificate, but public.certificate and public.key name one: \
             take one of the two out"
        );
        return Ok(Source::OwnCa);
    }
    match (public.certificate.clone(), public.key.clone()) {
        (Some(certificate), Some(key)) => Ok(Source::Files(TlsFiles { certificate, key })),
        (Some(_), None) => bail!("public.certificate is set, but public.key is missing"),
        (None, Some(_)) => bail!("public.key is set, but public.certificate is missing"),
        (None, None) => Ok(Source::Acme),
    }
}

/// Checks that the server's own authority has a name to vouch for.
///
/// # Errors
///
/// Names the setting that is missing.
pub fn check_own_ca(config: &Config) -> anyhow::Result<()> {
    let public = &config.public;
    ensure!(
        !public.own_ca || !public.names.is_empty() || config.public_address.is_some(),
        "public.own_ca issues a certificate for the names and addresses by which devices in the \
         local network reach this machine: set public.names, for example to [\"192.168.1.7\", \
         \"cams.lan\"]"
    );
    Ok(())
}

/// Returns the names in the certificate.
pub(super) fn names(config: &Config) -> Vec<Host> {
    let addresses = [config.public_address, config.other_public_address];
    let addresses = addresses.into_iter().flatten().map(PublicName::from);
    let given = &config.public.names;
    let names = if given.is_empty() { addresses.collect() } else { given.clone() };
    names.into_iter().map(|PublicName(name)| name).collect()
}

/// Returns the settings for certificates of an authority.
pub(super) fn acme(config: &Config) -> acme::Settings {
    let public = &config.public;
    let http = &public.acme_http;
    acme::Settings {
        directory: public.acme_directory.clone(),
        contact: public.acme_contact.clone(),
        names: names(config),
        http: http.clone().unwrap_or_else(|| acme::http_addresses(&public.listen)),
    }
}

/// Returns the URL by which browsers reach the public port, if there is one.
pub fn url(config: &Config) -> Option<Url> {
    let (name, port) = (main_name(config)?, port(config)?);
    let port = if port == HTTPS_PORT { String::new() } else { format!(":{port}") };
    Url::parse(&format!("https://{name}{port}")).ok()
}

/// Returns the URI of TURN over TLS at the public port, if there is one.
pub fn turn_url(config: &Config) -> Option<String> {
    let (name, port) = (main_name(config)?, port(config)?);
    Some(format!("turns:{name}:{port}?transport=tcp"))
}

/// Returns the URI of TURN over UDP at the number of the public port, if there is one. It has the
/// host of the other, so that both count as one server.
pub fn turn_udp_url(config: &Config) -> Option<String> {
    let (name, port) = (main_name(config)?, port(config)?);
    Some(format!("turn:{name}:{port}?transport=udp"))
}

fn port(config: &Config) -> Option<u16> {
    config.public.listen.first().map(SocketAddr::port)
}

/// Returns the name for URLs.
fn main_name(config: &Config) -> Option<PublicName> {
    let first = config.public.names.first().cloned();
    first.or_else(|| config.public_address.map(PublicName::from))
}

/// Binds the addresses.
pub(super) fn listen(addresses: &[SocketAddr]) -> anyhow::Result<Vec<(SocketAddr, TcpListener)>> {
    let mut listeners = Vec::new();
    for address in addresses {
        match bind(*address) {
            Ok(listener) => {
                let address = listener.local_addr().context("a listener has no address")?;
                listeners.push((address, listener));
            }
            Err(error) if addresses.len() > 1 && has_no_ipv6(*address, &error) => {
                warn!(%error, "this machine has no IPv6: nothing listens on {address}");
            }
            Err(error) => return Err(listen_error(*address, error)),
        }
    }
    Ok(listeners)
}

/// Returns true if the wildcard of IPv6 cannot be had for another reason than that it is taken.
fn has_no_ipv6(address: SocketAddr, error: &io::Error) -> bool {
    let is_taken = [ErrorKind::AddrInUse, ErrorKind::PermissionDenied].contains(&error.kind());
    address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && !is_taken
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // IPv4 has its own sockets, so no IPv4-mapped address appears anywhere.
        socket.set_only_v6(true)?;
    }
    // Old connections of a server that just ended do not block the port; a listener does.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn listen_error(address: SocketAddr, error: io::Error) -> anyhow::Error {
    if error.kind() == ErrorKind::AddrInUse {
        return anyhow!(
            "{address} is in use: end the program that listens there, or choose another address \
             in public.listen"
        );
    }
    if error.kind() == ErrorKind::PermissionDenied {
        return anyhow!(
            "may not listen on {address}: ports below 1024 need the capability \
             CAP_NET_BIND_SERVICE, which the service in deploy/ has"
        );
    }
    let what = format!("cannot listen on {address}; choose another address in public.listen");
    anyhow!(error).context(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(listen: &[&str], names: &[&str], public_address: Option<&str>) -> Config {
        let mut config = Config::default();
        config.public.listen = listen.iter().map(|text| text.parse().unwrap()).collect();
        config.public.names = names.iter().map(|text| text.parse().unwrap()).collect();
        config.public_address = public_address.map(|text| text.parse().unwrap());
        config
    }

    #[test]
    fn urls_have_the_first_name_or_the_public_address_and_the_first_port() {
        type Case = (&'static [&'static str], &'static [&'static str], &'static str, &'static str);
        let table: [Case; 5] = [
            (&["0.0.0.0:443"], &[], "https://203.0.113.7/", "turns:203.0.113.7:443"),
            (
                &["0.0.0.0:443"],
                &["a.example", "b.example"],
                "https://a.example/",
                "turns:a.example:443",
            ),
            (&["[::]:8443"], &["A.example"], "https://a.example:8443/", "turns:a.example:8443"),
            (&["[::]:443"], &["2001:db8::7"], "https://[2001:db8::7]/", "turns:[2001:db8::7]:443"),
            (
                &["0.0.0.0:443"],
                &["bücher.example"],
                "https://xn--bcher-kva.example/",
                "turns:xn--bcher-kva.example:443",
            ),
        ];
        for (listen, names, https, turns) in table {
            let config = config(listen, names, Some("203.0.113.7"));
            assert_eq!(url(&config).unwrap().as_str(), https);
            assert_eq!(turn_url(&config).unwrap(), format!("{turns}?transport=tcp"));
            let turn = turns.replacen("turns:", "turn:", 1);
            assert_eq!(turn_udp_url(&config).unwrap(), format!("{turn}?transport=udp"));
            assert!(check(&config).is_ok());
        }
        let off = config(&[], &[], Some("203.0.113.7"));
        assert_eq!((url(&off), turn_url(&off)), (None, None), "there is no public port");
        assert!(check(&off).is_ok());
        for text in ["", "a b", "*.example.org", "a/b", "203.0.113.7:443"] {
            assert!(text.parse::<PublicName>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_authority_is_asked_for_all_names_or_the_public_addresses() {
        let mut config = config(&["0.0.0.0:443", "[::]:8443"], &[], Some("203.0.113.7"));
        config.other_public_address = Some("2001:db8::7".parse().unwrap());
        let host = |text| url::Host::parse(text).unwrap();
        let settings = acme(&config);
        assert_eq!(settings.names, [host("203.0.113.7"), host("[2001:db8::7]")]);
        let http: Vec<_> = settings.http.iter().map(ToString::to_string).collect();
        assert_eq!(http, ["0.0.0.0:80", "[::]:80"]);
        assert_eq!(settings.directory.host_str(), Some("acme-v02.api.letsencrypt.org"));
        assert_eq!(settings.contact, None);

        config.public.names = vec!["a.example".parse().unwrap(), "b.example".parse().unwrap()];
        config.public.acme_directory = "https://ca.lan/dir".parse().unwrap();
        config.public.acme_contact = Some("anna@a.example".to_owned());
        config.public.acme_http = Some(Vec::new());
        let settings = acme(&config);
        assert_eq!(settings.names, [host("a.example"), host("b.example")]);
        assert!(settings.http.is_empty());
        assert_eq!(settings.directory.as_str(), "https://ca.lan/dir");
        assert_eq!(settings.contact.as_deref(), Some("anna@a.example"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let with = |certificate: bool, key: bool| {
            let mut config = config(&["127.0.0.1:0"], &["a.example"], None);
            config.public.certificate = certificate.then(|| "c.pem".into());
            config.public.key = key.then(|| "k.pem".into());
            config
        };
        assert_eq!(source(&with(false, false)).unwrap(), Source::Acme);
        for (certificate, key, missing) in
            [(true, false, "public.key is missing"), (false, true, "public.certificate is missing")]
        {
            let mut config = with(certificate, key);
            let error = source(&config).unwrap_err().to_string();
            assert!(error.contains(missing), "{error}");
            config.public.own_ca = true;
            let error = source(&config).unwrap_err().to_string();
            assert!(error.contains("take one of the two out"), "{error}");
        }
        let mut own_ca = with(false, false);
        own_ca.public.own_ca = true;
        assert_eq!(source(&own_ca).unwrap(), Source::OwnCa);
        let nameless = check(&config(&["127.0.0.1:0"], &[], None)).unwrap_err().to_string();
        assert!(nameless.contains("public.names"), "{nameless}");
        let mut unused = with(true, true);
        unused.public.listen.clear();
        let unused = check(&unused).unwrap_err().to_string();
        assert!(unused.contains("public.listen is missing"), "{unused}");
        assert!(check_own_ca(&own_ca).is_ok());
        own_ca.public.names.clear();
        let nameless = check_own_ca(&own_ca).unwrap_err().to_string();
        assert!(nameless.contains("set public.names"), "{nameless}");
        own_ca.public_address = Some("192.168.1.7".parse().unwrap());
        assert!(check_own_ca(&own_ca).is_ok());
        own_ca.public.listen.clear();
        let unused = check(&own_ca).unwrap_err().to_string();
        assert!(unused.contains("public.listen is missing"), "{unused}");
    }
}
