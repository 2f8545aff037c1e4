//! The configuration of a server.

pub(crate) mod changes;
pub(crate) mod check;
pub(crate) mod settings;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use porthole_turn_proto::server::{BandwidthLimits, Cidr, OauthKey, QuotaLimits};

use crate::tls::certificates::TlsFiles;

/// The configuration of a server. The defaults work for everything but `listen`.
#[derive(Clone)]
pub struct Config {
    /// Addresses to listen on for UDP and TCP. Port 0 takes a free port. Required.
    pub listen: Vec<SocketAddr>,
    /// Addresses to listen on for TLS over TCP; port 5349 by convention. With `tls` set, the ports
    /// in `listen` serve TLS as well. Default: none.
    pub listen_tls: Vec<SocketAddr>,
    /// Addresses to listen on for DTLS over UDP; port 5349 by convention. Default: none.
    pub listen_dtls: Vec<SocketAddr>,
    /// Addresses to listen on for UDP alone, if they are free: of one that is not, the log says so,
    /// and the rest is served. They are for the first start; a reload leaves them as they are.
    /// Default: none.
    pub listen_udp: Vec<SocketAddr>,
    /// A second address and port of this host, for NAT behavior discovery (RFC 5780): the server
    /// responds from the other address or port on request. The primary address is the first one in
    /// `listen` of the same family. Default: none, discovery is off.
    pub discovery_address: Option<SocketAddr>,
    /// Servers that clients are redirected to when this one drains or is full (error 300, RFC 8489
    /// §10). Default: none.
    pub alternate_servers: Vec<SocketAddr>,
    /// The certificate of TLS and DTLS, reloaded when its files change.
    pub tls: Option<TlsFiles>,
    /// The realm of the users, 1 to 127 characters (RFC 8489 §14.9). Default: `porthole`. With more
    /// than 8 bytes the response to a first request is more than twice as long as the request,
    /// which forged requests could use for amplification.
    pub realm: String,
    /// Names and passwords that do not expire. Without users, secrets and keys the server only does
    /// STUN.
    pub users: Vec<(String, String)>,
    /// Shared secrets of time-limited credentials; several while one replaces another.
    pub rest_secrets: Vec<String>,
    /// Keys shared with a third party whose access tokens are accepted (RFC 7635).
    pub oauth_keys: Vec<OauthKey>,
    /// The IPv4 address that peers send to. Default, if neither relay address is set: the first
    /// specific address of this family that the server listens on.
    pub relay_address_v4: Option<Ipv4Addr>,
    /// The IPv6 address that peers send to. Default: as for IPv4.
    pub relay_address_v6: Option<Ipv6Addr>,
    /// The local IPv4 address of relay sockets. Default: the relay address if it belongs to this
    /// machine, else the local address that leads to it (1:1 NAT).
    pub relay_bind_v4: Option<Ipv4Addr>,
    /// The local IPv6 address of relay sockets. Default: as for IPv4.
    pub relay_bind_v6: Option<Ipv6Addr>,
    /// Ports of relayed addresses. Default: 49152–65535 (RFC 6335 §6).
    pub relay_ports: RangeInclusive<u16>,
    /// Address blocks of peers permitted although they are special-purpose or this host's own.
    pub allow_peers: Vec<Cidr>,
    /// Address blocks of peers forbidden in spite of `allow_peers`.
    pub deny_peers: Vec<Cidr>,
    /// The lowest permitted port of a peer, in spite of `allow_peers`. Default: 1.
    pub lowest_peer_port: u16,
    /// True to permit only relayed addresses of this server and `allow_peers`. Default: false.
    pub relayed_peers_only: bool,
    /// True to let clients bind channels above 0x4FFF, as RFC 5766 did; coturn's clients before
    /// 4.16 do so, among them `turnutils_uclient` of Debian 12. Default: true.
    pub rfc5766_channels: bool,
    /// True to let clients have TCP connections to and from peers (RFC 6062). Default: true.
    pub tcp_relaying: bool,
    /// True to receive and send datagrams in bursts where the system can (UDP_GRO and UDP_SEGMENT
    /// of Linux). Datagrams that cannot be sent so are sent one by one. Default: true.
    pub segmentation: bool,
    /// True to let clients keep their allocations when their address changes (RFC 8016). Default:
    /// false, because browsers do not use it.
    pub mobility: bool,
    /// True to refuse a refresh with expired time-limited credentials. Otherwise an allocation may
    /// outlive the credentials that made it. Default: false.
    pub strict_expiry: bool,
    /// Interfaces on which the kernel relays the data of bound channels, or `auto` alone for those
    /// with an address of the server. Needs Linux 6.6, CAP_BPF and CAP_NET_ADMIN; without them
    /// sockets relay. With a fast path, `segmentation` is off. Default: none.
    pub fast_path: Vec<String>,
    /// Number of worker threads, at most 255 because tickets and connection ids have one byte for
    /// it. Default: 0, one for each core.
    pub workers: u8,
    /// Limits of the number of allocations.
    pub quota: QuotaLimits,
    /// Limits of relayed payload bytes per second. Default: unlimited.
    pub bandwidth: BandwidthLimits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            listen_tls: Vec::new(),
            listen_dtls: Vec::new(),
            listen_udp: Vec::new(),
            discovery_address: None,
            alternate_servers: Vec::new(),
            tls: None,
            realm: "porthole".to_owned(),
            users: Vec::new(),
            rest_secrets: Vec::new(),
            oauth_keys: Vec::new(),
            relay_address_v4: None,
            relay_address_v6: None,
            relay_bind_v4: None,
            relay_bind_v6: None,
            relay_ports: 49_152..=65_535,
            allow_peers: Vec::new(),
            deny_peers: Vec::new(),
            lowest_peer_port: 1,
            relayed_peers_only: false,
            rfc5766_channels: true,
            tcp_relaying: true,
            segmentation: true,
            mobility: false,
            strict_expiry: false,
            fast_path: Vec::new(),
            workers: 0,
            quota: QuotaLimits::default(),
            bandwidth: BandwidthLimits::default(),
        }
    }
}

impl std::fmt::Debug for Config {
    /// Leaves out names, passwords and secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("listen_tls", &self.listen_tls)
            .field("listen_dtls", &self.listen_dtls)
            .field("listen_udp", &self.listen_udp)
            .field("realm", &self.realm)
            .field("relay_ports", &self.relay_ports)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relayed_ports_are_the_dynamic_ones_by_default() {
        assert_eq!(Config::default().relay_ports, 49_152..=65_535);
    }
}
