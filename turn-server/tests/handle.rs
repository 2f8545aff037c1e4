//! What an operator does to a running server: settings, sessions, the end.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
#[cfg(target_os = "linux")]
use porthole_test_support::scene::{Need, scene};
use porthole_turn_proto::{
    ClientConfig, ClientEvent, FailureReason, Transport, TurnClient, rest_credentials,
};
use porthole_turn_server::{Config, Effect, QuotaLimits, ReloadError, Server, SessionId, TlsFiles};

const PATIENCE: Duration = Duration::from_secs(10);
const ROUND: Duration = Duration::from_millis(5);

fn config() -> Config {
    Config {
        listen: vec!["127.0.0.1:0".parse().expect("an address")],
        users: vec![("anna".to_owned(), "secret".to_owned())],
        allow_peers: vec!["127.0.0.0/8".parse().expect("a block")],
        workers: 2,
        ..Config::default()
    }
}

/// A TURN client over UDP.
struct Caller {
    client: TurnClient,
    socket: UdpSocket,
}

impl Caller {
    fn new(server: &Server, user: &str, password: &str) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server.local_addrs().first().context("it listens")?)?;
        socket.set_read_timeout(Some(ROUND))?;
        let config = ClientConfig::new(user.to_owned(), password.to_owned(), Transport::Udp);
        Ok(Self { client: TurnClient::new(config, Instant::now()), socket })
    }

    fn round(&mut self) -> Result<()> {
        self.client.handle_timeout(Instant::now());
        while let Some(bytes) = self.client.poll_transmit() {
            self.socket.send(&bytes)?;
        }
        let mut buffer = [0; 2048];
        if let Ok(len) = self.socket.recv(&mut buffer) {
            self.client.handle_datagram(Instant::now(), &buffer[..len]);
        }
        Ok(())
    }

    fn allocate(&mut self) -> Result<Result<SocketAddr, FailureReason>> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.client.poll_event() {
                Some(ClientEvent::Allocated { relayed, .. }) => return Ok(Ok(relayed)),
                Some(ClientEvent::Failed { reason, .. }) => return Ok(Err(reason)),
                Some(other) => bail!("{other:?}"),
                None => self.round()?,
            }
        }
        bail!("no answer")
    }

    fn enter(&mut self) -> Result<SocketAddr> {
        self.allocate()?.map_err(|reason| anyhow!("not let in: {reason:?}"))
    }

    /// Whether a peer is permitted when asked for.
    fn asks_for(&mut self, peer: IpAddr) -> Result<bool> {
        self.client.create_permission(Instant::now(), peer);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(event) = self.client.poll_event() {
                let refused = ClientEvent::PermissionRefused { peer, code: Some(403) };
                ensure!(event == refused, "{event:?}");
                return Ok(false);
            }
            if self.client.wrap(SocketAddr::new(peer, 9), b"", &mut Vec::new()) {
                return Ok(true);
            }
            self.round()?;
        }
        bail!("no answer")
    }

    /// One packet more to this peer, as soon as there is a permission; whether one has arrived.
    fn tries(&mut self, peer: &UdpSocket) -> Result<bool> {
        let to = peer.local_addr()?;
        self.client.create_permission(Instant::now(), to.ip());
        let mut out = Vec::new();
        if self.client.wrap(to, b"hello", &mut out) {
            self.socket.send(&out)?;
        }
        self.round()?;
        peer.set_nonblocking(true)?;
        Ok(peer.recv(&mut [0; 64]).is_ok())
    }

    /// Sends packets to this peer until one comes through.
    fn reaches(&mut self, peer: &UdpSocket) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.tries(peer)? {
            ensure!(Instant::now() < deadline, "the peer is not reached");
        }
        Ok(())
    }

    /// Sends packets to this peer until the server has dropped one; none may come through.
    fn is_cut_off(&mut self, server: &Server, peer: &UdpSocket) -> Result<()> {
        // What was under way before.
        peer.set_nonblocking(true)?;
        while peer.recv(&mut [0; 64]).is_ok() {}
        let dropped = || server.stats().counters.dropped();
        let (before, deadline) = (dropped(), Instant::now() + PATIENCE);
        while dropped() == before {
            ensure!(Instant::now() < deadline, "nothing is dropped");
            ensure!(!self.tries(peer)?, "the peer is reached");
        }
        Ok(())
    }
}

fn start(config: Config) -> Result<(Server, Caller)> {
    let server = Server::start(config)?;
    let caller = Caller::new(&server, "anna", "secret")?;
    Ok((server, caller))
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        ensure!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(ROUND);
    }
    Ok(())
}

#[test]
fn a_reload_changes_who_may_come_and_keeps_who_is_there() -> Result<()> {
    let (server, mut anna) = start(config())?;
    anna.enter()?;
    let peer = UdpSocket::bind("127.0.0.1:0")?;
    anna.reaches(&peer).context("before")?;

    let users = vec![("berta".to_owned(), "other".to_owned())];
    let rest_secrets = vec!["shared".to_owned()];
    let changes = server.reload(Config { users, rest_secrets, ..config() })?;
    let settings: Vec<_> = changes.iter().map(|change| (change.setting, change.effect)).collect();
    assert_eq!(settings, [("users", Effect::AtOnce), ("rest_secrets", Effect::AtOnce)]);

    anna.reaches(&peer).context("the allocation lives on")?;
    let refused = Caller::new(&server, "anna", "secret")?.allocate()?;
    assert_eq!(refused, Err(FailureReason::Unauthenticated));
    Caller::new(&server, "berta", "other")?.enter()?;
    let (name, password) = rest_credentials("shared", "clara", u64::from(u32::MAX));
    Caller::new(&server, &name, &password)?.enter()?;
    Ok(())
}

#[test]
fn a_reload_closes_peers_for_living_allocations_too() -> Result<()> {
    let (server, mut anna) = start(config())?;
    anna.enter()?;
    let peer = UdpSocket::bind("127.0.0.1:0")?;
    anna.reaches(&peer).context("before")?;
    server.reload(Config { deny_peers: vec!["127.0.0.0/8".parse()?], ..config() })?;
    anna.is_cut_off(&server, &peer).context("a permission of before outlived the rule")?;
    server.reload(config())?;
    anna.reaches(&peer).context("and open again")?;
    Ok(())
}

#[test]
fn a_reload_changes_the_quota_and_says_what_needs_a_restart() -> Result<()> {
    let (server, mut anna) = start(config())?;
    anna.enter()?;
    let quota = QuotaLimits { per_user: 1, ..QuotaLimits::default() };
    let changes = server.reload(Config { quota, workers: 1, ..config() })?;
    let settings: Vec<_> = changes.iter().map(|change| (change.setting, change.effect)).collect();
    assert_eq!(settings, [("workers", Effect::AtRestart), ("quota", Effect::AtOnce)]);
    let refused = Caller::new(&server, "anna", "secret")?.allocate()?;
    ensure!(refused.is_err(), "the second allocation of one user");
    Ok(())
}

#[test]
fn settings_that_cannot_be_change_nothing() -> Result<()> {
    let (server, _) = start(config())?;
    let nobody = || Config { users: Vec::new(), ..config() };
    // The first address has port 0, which discovery cannot name.
    let discovery_address = Some("127.0.0.2:3479".parse()?);
    let listen = vec!["127.0.0.1:3478".parse()?];
    let relay_address_v4 = Some("0.0.0.0".parse()?);
    let missing = TlsFiles { certificate: "none.pem".into(), key: "none.pem".into() };
    for (what, wrong) in [
        ("a port 0 to relay at", Config { relay_ports: 0..=9, ..nobody() }),
        ("discovery without a first address", Config { discovery_address, ..nobody() }),
        ("nowhere to listen", Config { listen: Vec::new(), ..nobody() }),
        ("no certificate", Config { tls: Some(missing), ..nobody() }),
        ("an endless realm", Config { realm: "r".repeat(128), ..nobody() }),
        ("no realm", Config { realm: String::new(), ..nobody() }),
        ("DTLS beside TURN", Config { listen_dtls: listen.clone(), listen, ..nobody() }),
        ("another's address", Config { relay_address_v4, ..nobody() }),
    ] {
        let refused = server.reload(wrong.clone()).expect_err(what);
        let ReloadError::Invalid(refused) = refused else { bail!("{what}: {refused}") };
        let at_start = Server::start(wrong).expect_err(what);
        ensure!(refused.to_string() == at_start.to_string(), "{what}: {refused}, {at_start}");
    }
    Caller::new(&server, "anna", "secret")?.enter()?;
    Ok(())
}

#[test]
fn sessions_are_listed_page_by_page_and_ended_by_their_ids() -> Result<()> {
    let (server, _) = start(config())?;
    let mut callers = Vec::new();
    for _ in 0..5 {
        let mut caller = Caller::new(&server, "anna", "secret")?;
        let relayed = caller.enter()?;
        callers.push((caller.socket.local_addr()?, relayed));
    }
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = server.sessions(after, 2)?;
        ensure!(page.len() <= 2, "the limit");
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        listed.extend(page);
    }
    let mut found: Vec<_> =
        listed.iter().map(|s| (s.info.client.client, s.info.relayed[0])).collect();
    found.sort_unstable();
    callers.sort_unstable();
    assert_eq!(found, callers, "each once");
    assert!(listed.iter().all(|session| session.info.username == "anna"));

    let id = listed[3].id;
    assert_eq!(id.to_string().parse::<SessionId>()?, id);
    ensure!(server.end_session(id)?, "it lives");
    ensure!(!server.end_session(id)?, "it is over");
    ensure!(!server.end_session("99-0".parse()?)?, "there is no such worker");
    wait_for("four sessions", || server.stats().allocations == 4)?;
    ensure!(server.sessions(None, 10)?.iter().all(|session| session.id != id), "it is listed");
    Ok(())
}

#[test]
fn a_draining_server_refuses_newcomers_and_new_settings() -> Result<()> {
    let (server, mut anna) = start(config())?;
    let elsewhere = "127.0.0.1:9".parse()?;
    server.reload(Config { alternate_servers: vec![elsewhere], ..config() })?;
    anna.enter()?;
    let peer = UdpSocket::bind("127.0.0.1:0")?;
    anna.reaches(&peer).context("before")?;
    std::thread::scope(|scope| -> Result<()> {
        let drained = scope.spawn(|| server.shutdown(PATIENCE));
        wait_for("draining", || server.is_draining())?;
        anna.reaches(&peer).context("who is there goes on")?;
        ensure!(matches!(server.reload(config()), Err(ReloadError::Stopping)), "a reload");
        let newcomer = Caller::new(&server, "anna", "secret")?.allocate()?;
        assert_eq!(newcomer, Err(FailureReason::TryAlternate(Some(elsewhere))));
        ensure!(!drained.is_finished(), "there is somebody to wait for");
        anna.client.close(Instant::now());
        anna.round()
    })?;
    ensure!(server.sessions(None, 1).is_err(), "nobody is left to ask");
    Ok(())
}

/// The kernel spreads clients over the workers' sockets; one that is gone moves everybody.
#[test]
fn a_draining_server_keeps_each_client_at_its_worker() -> Result<()> {
    let server = Server::start(Config { workers: 8, ..config() })?;
    let peer = UdpSocket::bind("127.0.0.1:0")?;
    let mut callers = Vec::new();
    for _ in 0..6 {
        let mut caller = Caller::new(&server, "anna", "secret")?;
        caller.enter()?;
        callers.push(caller);
    }
    std::thread::scope(|scope| -> Result<()> {
        let drained = scope.spawn(|| server.shutdown(PATIENCE));
        wait_for("draining", || server.is_draining())?;
        for (n, caller) in callers.iter_mut().enumerate() {
            caller.reaches(&peer).with_context(|| format!("client {n}"))?;
        }
        ensure!(!drained.is_finished(), "there is somebody to wait for");
        for caller in &mut callers {
            caller.client.close(Instant::now());
            caller.round()?;
        }
        Ok(())
    })
}

/// Whether the peer is one for a new client.
fn is_permitted(server: &Server, peer: IpAddr) -> Result<bool> {
    let mut caller = Caller::new(server, "anna", "secret")?;
    caller.enter()?;
    let permitted = caller.asks_for(peer)?;
    caller.client.close(Instant::now());
    caller.round()?;
    wait_for("its end", || server.stats().allocations == 0)?;
    Ok(permitted)
}

#[test]
#[cfg(target_os = "linux")]
fn an_address_that_this_host_gains_is_no_peer_any_more() {
    scene("an_address_that_this_host_gains_is_no_peer_any_more", &[Need::Lab], |_| {
        let thread = std::thread::spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?;
            gain_and_lose_an_address()
        });
        thread.join().map_err(|_| anyhow!("a panic"))?
    });
}

/// In a network of its own.
#[cfg(target_os = "linux")]
fn gain_and_lose_an_address() -> Result<()> {
    // A public one, for a peer's.
    const GAINED: &str = "9.9.9.9";
    let ip = |arguments: &str| {
        let status = std::process::Command::new("ip").args(arguments.split(' ')).status()?;
        ensure!(status.success(), "ip {arguments}");
        Ok(())
    };
    ip("link set lo up")?;
    ip("route add default dev lo")?;
    let (server, _) = start(config())?;
    let peer = GAINED.parse()?;
    ensure!(is_permitted(&server, peer)?, "it is another host's");
    ip(&format!("address add {GAINED}/32 dev lo"))?;
    let mut refused = Ok(false);
    wait_for("the rule", || {
        refused = is_permitted(&server, peer).map(|permitted| !permitted);
        !matches!(refused, Ok(false))
    })?;
    ensure!(refused?, "it is this host's");
    ip(&format!("address del {GAINED}/32 dev lo"))?;
    let mut permitted = Ok(false);
    wait_for("the end of it", || {
        permitted = is_permitted(&server, peer);
        !matches!(permitted, Ok(false))
    })?;
    ensure!(permitted?, "it is another host's again");
    Ok(())
}
