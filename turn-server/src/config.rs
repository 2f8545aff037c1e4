//! What the server is told, and the step from there to workers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use porthole_turn_proto::server::{
    AllocationQuota, BandwidthLimits, Cidr, Discovery, LocalQuota, OauthKey, PolicyConfig,
    PortPool, QuotaLimits, QuotaReached, QuotaUnit, RelayAddress, Reloadable, ServerConfig,
};
use rand::Rng as _;

use crate::addresses::{Listen, RelaySide, Speaks, own_addresses, relay_side};
use crate::certificates::{Certificates, TlsFiles};
use crate::error::StartError;
use crate::listen::{self, Sockets};
use crate::offload::{self, FastPath, Offload};
use crate::peer_connections::PeerConnections;
use crate::relays::Relays;
use crate::worker::{Others, Worker};

/// RFC 8489 §14.9: a REALM has fewer characters than this.
const REALM_CHARS: usize = 128;
/// With one of so many bytes a browser's first Allocate, 28 bytes, is answered with twice as many.
const REALM_WITHIN_BUDGET: usize = 8;

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

/// Every socket open, no thread running.
#[derive(Debug)]
pub(crate) struct Prepared {
    listens: Vec<Listen>,
    pub(crate) certificates: Option<Arc<Certificates>>,
    pub(crate) settings: Settings,
    sockets: Vec<Sockets>,
    proto: ServerConfig,
    sides: Vec<RelaySide>,
    quota: SharedQuota,
    segmentation: bool,
    pub(crate) fast_path: Option<FastPath>,
}

/// The settings in effect, and what new ones are made from while the server runs.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    listens: Vec<Listen>,
    sides: Vec<RelaySide>,
    /// The addresses of this host as they were last.
    own: Vec<IpAddr>,
    /// Somebody was not told of the last change.
    stale: bool,
    quota: SharedQuota,
}

impl Settings {
    /// What the workers are to be told; the quota counts from now on.
    pub(crate) fn take_over(&mut self, config: Config) -> Reloadable {
        self.config = config;
        self.quota.lock().set_limits(self.config.quota);
        match own_addresses() {
            Ok(own) => self.own = own,
            Err(error) => tracing::warn!(%error, "the addresses of this host cannot be read again"),
        }
        self.reloadable()
    }

    /// What the workers are to be told if this host has other addresses than it had, or if one of
    /// them was not told last time: a new address is listened on through a wildcard, and must be
    /// nobody's peer.
    pub(crate) fn follow_addresses(&mut self, own: Vec<IpAddr>) -> Option<Reloadable> {
        if own == self.own && !self.stale {
            return None;
        }
        (self.own, self.stale) = (own, false);
        Some(self.reloadable())
    }

    /// The next [`Self::follow_addresses`] tells them all.
    pub(crate) fn tell_again(&mut self) {
        self.stale = true;
    }

    fn reloadable(&self) -> Reloadable {
        let Self { config, listens, sides, own, .. } = self;
        reloadable(config, policy(config, listens, sides, own.clone()))
    }
}

/// What a check finds out, and a start uses.
#[derive(Debug)]
pub(crate) struct Checked {
    certificates: Option<Arc<Certificates>>,
    discovery: Option<Discovery>,
    addrs: Vec<(SocketAddr, Speaks)>,
    sides: Vec<RelaySide>,
}

/// Everything that can be known without a socket to listen on.
pub(crate) fn check(config: &Config) -> Result<Checked, StartError> {
    check_ports(&config.relay_ports)?;
    check_realm(&config.realm)?;
    let discovery = discovery(config)?;
    let addrs = listen_addrs(config, discovery);
    if addrs.is_empty() {
        return Err(StartError::NoListenAddress);
    }
    listen::refuse_twice(&addrs)?;
    let sides = relay_sides(config)?;
    let certificates = load_certificates(config)?;
    if let Some(key) = config.oauth_keys.iter().find(|key| ![16, 32].contains(&key.key.len())) {
        return Err(StartError::OauthKey { kid: key.kid.clone() });
    }
    let nobody = config.users.is_empty() && config.rest_secrets.is_empty();
    if nobody && config.oauth_keys.is_empty() {
        tracing::warn!("no TURN users and no secret are configured: only STUN will be answered");
    }
    Ok(Checked { certificates, discovery, addrs, sides })
}

fn check_realm(realm: &str) -> Result<(), StartError> {
    let chars = realm.chars().count();
    if chars == 0 || chars >= REALM_CHARS {
        return Err(StartError::Realm { chars });
    }
    if realm.len() > REALM_WITHIN_BUDGET {
        tracing::warn!(
            "the realm is longer than {REALM_WITHIN_BUDGET} bytes: forged questions are answered \
             with more than twice their size"
        );
    }
    Ok(())
}

fn reloadable(config: &Config, policy: PolicyConfig) -> Reloadable {
    Reloadable {
        users: config.users.clone(),
        rest_secrets: config.rest_secrets.clone(),
        policy,
        rfc5766_channels: config.rfc5766_channels,
        strict_expiry: config.strict_expiry,
        tcp_relaying: config.tcp_relaying,
        alternate_servers: config.alternate_servers.clone(),
        oauth_keys: config.oauth_keys.clone(),
        mobility: config.mobility,
        bandwidth: config.bandwidth,
    }
}

pub(crate) fn prepare(config: Config) -> Result<Prepared, StartError> {
    let Checked { certificates, discovery, addrs, sides } = check(&config)?;
    let own = own_addresses().map_err(StartError::System)?;
    let workers = match config.workers {
        0 => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            u8::try_from(cores).unwrap_or(u8::MAX)
        }
        workers => workers,
    };
    let (listens, sockets) = listen::open_all(&addrs, &own, workers.into())?;
    let policy = policy(&config, &listens, &sides, own.clone());
    let relay = |wanted: fn(&IpAddr) -> bool| {
        let side = sides.iter().find(|side| wanted(&side.advertised))?;
        Some(RelayAddress { ip: side.advertised, ports: PortPool::new(config.relay_ports.clone()) })
    };
    let listening = listens.iter().map(|listen| listen.addr.ip());
    let local: Vec<_> = listening.chain(sides.iter().map(|side| side.bind)).collect();
    let fast_path = offload::start(&config.fast_path, &local);
    // The program sees packets after the kernel joined them, and cannot take them apart.
    let segmentation = config.segmentation && fast_path.is_none();
    let proto = ServerConfig {
        relay_v4: relay(IpAddr::is_ipv4),
        relay_v6: relay(IpAddr::is_ipv6),
        realm: config.realm.clone(),
        reloadable: reloadable(&config, policy),
        discovery,
        dont_fragment: cfg!(target_os = "linux"),
        worker: 0,
        offload: fast_path.is_some(),
        nonce_key: rand::rng().random(),
        seed: rand::rng().random(),
    };
    let quota = SharedQuota(Arc::new(Mutex::new(LocalQuota::new(config.quota))));
    let (of_listens, of_sides) = (listens.clone(), sides.clone());
    let settings = Settings {
        config,
        listens: of_listens,
        sides: of_sides,
        own,
        stale: false,
        quota: quota.clone(),
    };
    Ok(Prepared {
        listens,
        certificates,
        settings,
        sockets,
        proto,
        sides,
        quota,
        segmentation,
        fast_path,
    })
}

impl Prepared {
    /// Where this is spoken; a configured port 0 is a real one here.
    pub(crate) fn addrs(&self, speaks: Speaks) -> Vec<SocketAddr> {
        let wanted = |listen: &&Listen| listen.speaks == speaks && !listen.expanded;
        self.listens.iter().filter(wanted).map(|listen| listen.addr).collect()
    }

    /// The settings stay with the handle.
    pub(crate) fn into_workers(self) -> Result<(Settings, Vec<Worker>), StartError> {
        let others = Others::default();
        let worker = |(worker, sockets)| {
            let seed = rand::rng().random();
            let proto = ServerConfig { worker, seed, ..self.proto.clone() };
            let relays = Relays::new(self.sides.clone(), self.segmentation);
            let offload = Offload::new(self.fast_path.as_ref());
            let relays = (relays, PeerConnections::new(self.sides.clone()), offload);
            let (quota, certificates) = (self.quota.clone(), self.certificates.clone());
            let others = Arc::clone(&others);
            Worker::new(sockets, proto, quota, relays, others, certificates, self.segmentation)
        };
        let workers = (0..u8::MAX).zip(self.sockets).map(worker);
        let workers: Vec<_> = workers.collect::<Result<_, _>>().map_err(StartError::System)?;
        let controls = workers.iter().map(Worker::control).collect();
        if others.set(controls).is_err() {
            tracing::error!("the TURN workers know one another already");
        }
        Ok((self.settings, workers))
    }
}

fn listen_addrs(config: &Config, discovery: Option<Discovery>) -> Vec<(SocketAddr, Speaks)> {
    let Config { listen, listen_tls, listen_dtls, .. } = config;
    let all = |addrs: &[SocketAddr], speaks| addrs.iter().map(|a| (*a, speaks)).collect::<Vec<_>>();
    let (plain, tls) = (all(listen, Speaks::Plain), all(listen_tls, Speaks::Tls));
    let discovery = discovery.map(|Discovery { primary, alternate }| {
        let crossed = [(primary.ip(), alternate.port()), (alternate.ip(), primary.port())];
        let sockets = [alternate].into_iter().chain(crossed.map(SocketAddr::from));
        sockets.map(|addr| (addr, Speaks::Udp)).collect()
    });
    [plain, tls, all(listen_dtls, Speaks::Dtls), discovery.unwrap_or_default()].concat()
}

/// Both addresses must be whole: a wildcard is no address to answer from, and port 0 none to name.
fn discovery(config: &Config) -> Result<Option<Discovery>, StartError> {
    let Some(alternate) = config.discovery_address else { return Ok(None) };
    let whole = |addr: &&SocketAddr| !addr.ip().is_unspecified() && addr.port() != 0;
    let fits = |addr: &&SocketAddr| addr.is_ipv4() == alternate.is_ipv4() && whole(addr);
    let primary = config.listen.iter().find(fits).filter(|primary| {
        whole(&&alternate) && primary.ip() != alternate.ip() && primary.port() != alternate.port()
    });
    let primary = *primary.ok_or(StartError::DiscoveryAddress { alternate })?;
    Ok(Some(Discovery { primary, alternate }))
}

fn load_certificates(config: &Config) -> Result<Option<Arc<Certificates>>, StartError> {
    let dtls = !config.listen_dtls.is_empty();
    let Some(files) = config.tls.clone() else {
        let needed = dtls || !config.listen_tls.is_empty();
        return if needed { Err(StartError::NoCertificate) } else { Ok(None) };
    };
    Ok(Some(Arc::new(Certificates::load(files, dtls)?)))
}

fn check_ports(ports: &RangeInclusive<u16>) -> Result<(), StartError> {
    let (first, last) = (*ports.start(), *ports.end());
    if first == 0 || first > last {
        return Err(StartError::RelayPorts { first, last });
    }
    Ok(())
}

fn relay_sides(config: &Config) -> Result<Vec<RelaySide>, StartError> {
    let all = || config.listen.iter().chain(&config.listen_tls).chain(&config.listen_dtls);
    let specific = || all().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified());
    let named = config.relay_address_v4.is_some() || config.relay_address_v6.is_some();
    // Whoever names one family has thought about the other.
    let first = |wanted: fn(&IpAddr) -> bool| specific().find(wanted).filter(|_| !named);
    let v4 = config.relay_address_v4.map(IpAddr::V4).or_else(|| first(IpAddr::is_ipv4));
    let v6 = config.relay_address_v6.map(IpAddr::V6).or_else(|| first(IpAddr::is_ipv6));
    let v4 = v4.map(|ip| relay_side(ip, config.relay_bind_v4.map(IpAddr::V4)));
    let v6 = v6.map(|ip| relay_side(ip, config.relay_bind_v6.map(IpAddr::V6)));
    let sides = v4.into_iter().chain(v6).collect::<Result<Vec<_>, _>>()?;
    if sides.is_empty() { Err(StartError::NoRelayAddress) } else { Ok(sides) }
}

fn policy(
    config: &Config,
    listens: &[Listen],
    sides: &[RelaySide],
    mut own: Vec<IpAddr>,
) -> PolicyConfig {
    own.extend(sides.iter().flat_map(|side| [side.advertised, side.bind]));
    own.extend(listens.iter().map(|listen| listen.addr.ip()));
    own.retain(|ip| !ip.is_unspecified());
    own.sort_unstable();
    own.dedup();
    let everywhere = |listen: &Listen| {
        let (ip, port) = (listen.addr.ip(), listen.addr.port());
        let ips = if ip.is_unspecified() { own.clone() } else { vec![ip] };
        ips.into_iter().map(move |ip| SocketAddr::new(ip, port))
    };
    PolicyConfig {
        allow: config.allow_peers.clone(),
        deny: config.deny_peers.clone(),
        lowest_port: config.lowest_peer_port,
        relayed_only: config.relayed_peers_only,
        listeners: listens.iter().flat_map(everywhere).collect(),
        own_addresses: own,
    }
}

/// One quota for all workers; locked once for each new allocation.
#[derive(Clone, Debug)]
pub(crate) struct SharedQuota(Arc<Mutex<LocalQuota>>);

impl SharedQuota {
    /// A panic elsewhere cannot leave counts wrong: they are the units' own.
    fn lock(&self) -> MutexGuard<'_, LocalQuota> {
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

    #[test]
    fn cve_2025_69217_every_start_has_a_key_and_a_seed_of_its_own() {
        let start = || {
            let listen = vec![([127, 0, 0, 1], 0).into()];
            let prepared = prepare(Config { listen, ..Config::default() }).unwrap();
            [prepared.proto.nonce_key, prepared.proto.seed]
        };
        let drawn = [start(), start(), start()];
        let different = drawn.concat().into_iter().collect::<std::collections::HashSet<_>>();
        assert_eq!(different.len(), 6);
    }

    #[test]
    fn what_counts_at_once_reaches_the_workers() {
        let key = OauthKey { kid: "k".to_owned(), key: vec![7; 16] };
        let config = Config {
            users: vec![("anna".to_owned(), "secret".to_owned())],
            rest_secrets: vec!["shared".to_owned()],
            oauth_keys: vec![key],
            alternate_servers: vec!["203.0.113.9:3478".parse().unwrap()],
            allow_peers: vec!["10.0.0.0/8".parse().unwrap()],
            deny_peers: vec!["9.9.9.9".parse().unwrap()],
            lowest_peer_port: 1024,
            relayed_peers_only: true,
            tcp_relaying: false,
            strict_expiry: true,
            rfc5766_channels: true,
            mobility: true,
            bandwidth: BandwidthLimits {
                per_user: Some(7.try_into().unwrap()),
                per_allocation: None,
            },
            ..Config::default()
        };
        let given = reloadable(&config, policy(&config, &[], &[], Vec::new()));
        assert_eq!(given.users, config.users);
        assert_eq!(given.rest_secrets, config.rest_secrets);
        assert_eq!(given.oauth_keys.first().map(|key| &*key.kid), Some("k"));
        assert_eq!(given.alternate_servers, config.alternate_servers);
        assert_eq!(
            (given.policy.allow, given.policy.deny),
            (config.allow_peers, config.deny_peers)
        );
        assert_eq!((given.policy.lowest_port, given.policy.relayed_only), (1024, true));
        let switches = (given.tcp_relaying, given.strict_expiry, given.rfc5766_channels);
        assert_eq!(switches, (false, true, true));
        assert_eq!((given.mobility, given.bandwidth), (true, config.bandwidth));
    }
}
