//! What the server is told.

pub(crate) mod changes;
pub(crate) mod check;
pub(crate) mod settings;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use porthole_turn_proto::server::{
    AllocationQuota, BandwidthLimits, Cidr, LocalQuota, OauthKey, QuotaLimits, QuotaReached,
    QuotaUnit,
};

use crate::tls::certificates::TlsFiles;

/// Everything a server can be told. Defaults work but for `listen`.
#[derive(Clone)]
pub struct Config {
    /// Where to listen, each over UDP and TCP. Port 0 takes any.
    pub listen: Vec<SocketAddr>,
    /// Where to listen for TLS over TCP; 5349 by convention. With `tls` set, the ports in `listen`
    /// serve TLS as well.
    pub listen_tls: Vec<SocketAddr>,
    /// Where to listen for DTLS over UDP; 5349 by convention.
    pub listen_dtls: Vec<SocketAddr>,
    /// A second address and port of this host, for RFC 5780: with it the server answers from the
    /// other address or port when it is asked to, so that clients learn how their NAT behaves. The
    /// first address is the first one in `listen` of this family.
    pub discovery_address: Option<SocketAddr>,
    /// Servers to name to who comes when this one drains or is full (300, RFC 8489 §10).
    pub alternate_servers: Vec<SocketAddr>,
    /// The certificate of TLS and DTLS; read again when its files change.
    pub tls: Option<TlsFiles>,
    /// The realm of the users, fewer than 128 characters (RFC 8489 §14.9); default `porthole`. With
    /// more than 8 bytes strangers are answered more than twice what they send.
    pub realm: String,
    /// Names and passwords that do not expire. Without users and secrets only STUN is answered.
    pub users: Vec<(String, String)>,
    /// Secrets of time-limited credentials; several while one takes over from another.
    pub rest_secrets: Vec<String>,
    /// Keys shared with a third party whose access tokens are taken (RFC 7635).
    pub oauth_keys: Vec<OauthKey>,
    /// The IPv4 address that peers send to. Default: the first address in `listen` of this family.
    pub relay_address_v4: Option<Ipv4Addr>,
    /// The IPv6 address that peers send to. Default: as for IPv4.
    pub relay_address_v6: Option<Ipv6Addr>,
    /// Where relay sockets are bound. Default: the relay address if it is one of this machine,
    /// else the local address that leads to it (1:1 NAT).
    pub relay_bind_v4: Option<Ipv4Addr>,
    /// As for IPv4.
    pub relay_bind_v6: Option<Ipv6Addr>,
    /// Ports of relayed addresses; default 49152–65535 (RFC 6335 §6).
    pub relay_ports: RangeInclusive<u16>,
    /// Blocks that are opened although special-purpose or this host's own.
    pub allow_peers: Vec<Cidr>,
    /// Blocks that are closed whatever `allow_peers` says.
    pub deny_peers: Vec<Cidr>,
    /// Ports below are closed, whatever `allow_peers` says. Default: none but port 0.
    pub lowest_peer_port: u16,
    /// Whether only other clients' relayed addresses and `allow_peers` are open. Default: no.
    pub relayed_peers_only: bool,
    /// Whether clients may bind channels above 0x4FFF, which was RFC 5766's range; coturn's clients
    /// do until 4.16. Default: no.
    pub rfc5766_channels: bool,
    /// Whether clients may have connections to peers and from them (RFC 6062); default yes.
    pub tcp_relaying: bool,
    /// Whether datagrams are taken and given in bursts where the system can (UDP_GRO and
    /// UDP_SEGMENT of Linux); default true. What cannot be sent so is sent one by one anyway.
    pub segmentation: bool,
    /// Whether clients may take their allocations along to another address (RFC 8016). Default: no,
    /// as browsers never ask.
    pub mobility: bool,
    /// Whether time-limited credentials that have expired prolong nothing. Otherwise an allocation
    /// may outlive the credentials that made it.
    pub strict_expiry: bool,
    /// Interfaces on which the kernel relays the data of bound channels by itself, or `auto` alone:
    /// those with an address of the server. Default: none. Needs Linux 6.6, CAP_BPF and
    /// CAP_NET_ADMIN; without, sockets relay as ever. Where it is in effect, `segmentation` is not.
    pub fast_path: Vec<String>,
    /// Threads; 0 is one for each core, 255 at most. Tickets and connection ids have a byte for it.
    pub workers: u8,
    /// How many allocations there may be.
    pub quota: QuotaLimits,
    /// How many payload bytes a second they may relay. Default: without a limit.
    pub bandwidth: BandwidthLimits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            listen_tls: Vec::new(),
            listen_dtls: Vec::new(),
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
            rfc5766_channels: false,
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
    /// Without names, passwords and secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("listen_tls", &self.listen_tls)
            .field("listen_dtls", &self.listen_dtls)
            .field("realm", &self.realm)
            .field("relay_ports", &self.relay_ports)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

/// One quota for all workers; locked once for each new allocation.
#[derive(Clone, Debug)]
pub(crate) struct SharedQuota(Arc<Mutex<LocalQuota>>);

impl SharedQuota {
    pub(crate) fn new(limits: QuotaLimits) -> Self {
        Self(Arc::new(Mutex::new(LocalQuota::new(limits))))
    }

    /// A panic elsewhere cannot leave counts wrong: they are the units' own.
    pub(crate) fn lock(&self) -> MutexGuard<'_, LocalQuota> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AllocationQuota for SharedQuota {
    fn acquire(
        &mut self,
        user: &str,
        source: IpAddr,
        now: Instant,
    ) -> Result<QuotaUnit, QuotaReached> {
        self.lock().acquire(user, source, now)
    }

    fn shrink(&mut self) {
        self.lock().shrink();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_to_relay_from_are_the_dynamic_ones_unless_told_otherwise() {
        assert_eq!(Config::default().relay_ports, 49_152..=65_535);
    }
}
