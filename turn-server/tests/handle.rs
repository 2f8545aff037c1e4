//! The handle of a running server: reload, sessions, shutdown.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
#[cfg(target_os = "linux")]
use porthole_test_support::scene::{Need, scene};
use porthole_test_support::turn_client::{Link as _, TestTurnClient};
use porthole_test_support::wait;
use porthole_turn_proto::{ClientConfig, ClientEvent, FailureReason, Transport, rest_credentials};
use porthole_turn_server::{Config, Effect, QuotaLimits, ReloadError, Server, SessionId, TlsFiles};

const PATIENCE: Duration = Duration::from_secs(10);

fn config() -> Config {
    Config {
        listen: vec!["127.0.0.1:0".parse().expect("an address")],
        users: vec![("anna".to_owned(), "secret".to_owned())],
        allow_peers: vec!["127.0.0.0/8".parse().expect("a block")],
        workers: 2,
        ..Config::default()
    }
}

/// A TURN client over UDP, with the steps of these tests.
struct Client(TestTurnClient);

impl Client {
    fn new(server: &Server, user: &str, password: &str) -> Result<Self> {
        let listen = server.local_addrs().first().context("no listening address")?;
        let config = ClientConfig::new(user.to_owned(), password.to_owned(), Transport::Udp);
        Ok(Self(TestTurnClient::connect(*listen, config)?))
    }

    /// Makes an allocation. Returns the relayed address or the reason of the refusal.
    fn try_allocate(&mut self) -> Result<Result<SocketAddr, FailureReason>> {
        match self.0.event()? {
            ClientEvent::Allocated { relayed, .. } => Ok(Ok(relayed)),
            ClientEvent::Failed { reason, .. } => Ok(Err(reason)),
            event @ (ClientEvent::PermissionRefused { .. } | ClientEvent::Expired) => {
                bail!("{event:?}")
            }
        }
    }

    fn allocate(&mut self) -> Result<SocketAddr> {
        self.try_allocate()?.map_err(|reason| anyhow!("no allocation: {reason:?}"))
    }

    /// Asks for a permission. Returns false if it is refused.
    fn request_permission(&mut self, peer: IpAddr) -> Result<bool> {
        self.0.client.create_permission(Instant::now(), peer);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(event) = self.0.client.poll_event() {
                let refused = ClientEvent::PermissionRefused { peer, code: Some(403) };
                ensure!(event == refused, "{event:?}");
                return Ok(false);
            }
            if self.0.client.wrap(SocketAddr::new(peer, 9), b"", &mut Vec::new()) {
                return Ok(true);
            }
            self.0.round()?;
        }
        bail!("no answer")
    }

    /// Sends a packet to a peer if there is a permission. Returns true if one has arrived.
    fn sends_to(&mut self, peer: &UdpSocket) -> Result<bool> {
        let to = peer.local_addr()?;
        self.0.client.create_permission(Instant::now(), to.ip());
        let mut message = Vec::new();
        if self.0.client.wrap(to, b"hello", &mut message) {
            self.0.link.send(&message)?;
        }
        self.0.round()?;
        peer.set_nonblocking(true)?;
        Ok(peer.recv(&mut [0; 64]).is_ok())
    }

    /// Sends packets to a peer until one arrives.
    fn reaches(&mut self, peer: &UdpSocket) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.sends_to(peer)? {
            ensure!(Instant::now() < deadline, "no packet arrives at the peer");
        }
        Ok(())
    }

    /// Sends packets to a peer until the server has dropped one; none may arrive.
    fn is_refused(&mut self, server: &Server, peer: &UdpSocket) -> Result<()> {
        // Packets that were in flight before.
        peer.set_nonblocking(true)?;
        while peer.recv(&mut [0; 64]).is_ok() {}
        let dropped = || server.stats().counters.dropped();
        let (before, deadline) = (dropped(), Instant::now() + PATIENCE);
        while dropped() == before {
            ensure!(Instant::now() < deadline, "no packet is dropped");
            ensure!(!self.sends_to(peer)?, "a packet arrives at the peer");
        }
        Ok(())
    }
}

fn start(config: Config) -> Result<(Server, Client)> {
    let server = Server::start(config)?;
    let client = Client::new(&server, "anna", "secret")?;
    Ok((server, client))
}

/// Waits for a condition on the stats, which a worker publishes after each round.
fn wait_for(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    wait::until(what, PATIENCE, || Ok(holds().then_some(())))
}

#[test]
fn a_reload_changes_the_users_and_keeps_existing_allocations() -> Result<()> {
    let (server, mut anna) = start(config())?;
    anna.allocate()?;
    let peer = UdpSocket::bind("127.0.0.1:0")?;
    anna.reaches(&peer).context("before")?;

    let users = vec![("berta".to_owned(), "other".to_owned())];
    let rest_secrets = vec!["shared".to_owned()];
    let changes = server.reload(Config { users, rest_secrets, ..config() })?;
    let settings: Vec<_> = changes.iter().map(|change| (change.setting, change.effect)).collect();
    assert_eq!(settings, [("users", Effect::AtOnce), ("rest_secrets", Effect::AtOnce)]);

    anna.reaches(&peer).context("the allocation still exists")?;
    let refused = Client::new(&server, "anna", "secret")?.try_allocate()?;
    assert_eq!(refused, Err(FailureReason::Unauthenticated));
    Client::new(&server, "berta", "other")?.allocate()?;
    let (name, password) = rest_credentials("shared", "clara", u64::from(u32::MAX));
    Client::new(&server, &name, &password)?.allocate()?;
    Ok(())
}

#[test]
fn a_reload_forbids_peers_for_existing_allocations_too() -> Result<()> {
    let (server, mut anna) = start(config())?;
    anna.allocate()?;
    let peer = UdpSocket::bind("127.0.0.1:0")?;
    anna.reaches(&peer).context("before")?;
    server.reload(Config { deny_peers: vec!["127.0.0.0/8".parse()?], ..config() })?;
    anna.is_refused(&server, &peer).context("an earlier permission outlived the rule")?;
    server.reload(config())?;
    anna.reaches(&peer).context("permitted again")?;
    Ok(())
}

#[test]
fn a_reload_changes_the_quota_and_lists_what_needs_a_restart() -> Result<()> {
    let (server, mut anna) = start(config())?;
    anna.allocate()?;
    let quota = QuotaLimits { per_user: 1, ..QuotaLimits::default() };
    let changes = server.reload(Config { quota, workers: 1, ..config() })?;
    let settings: Vec<_> = changes.iter().map(|change| (change.setting, change.effect)).collect();
    assert_eq!(settings, [("workers", Effect::AtRestart), ("quota", Effect::AtOnce)]);
    let refused = Client::new(&server, "anna", "secret")?.try_allocate()?;
    ensure!(refused.is_err(), "the second allocation of one user");
    Ok(())
}

#[test]
fn invalid_settings_change_nothing() -> Result<()> {
    let (server, _) = start(config())?;
    let no_users = || Config { users: Vec::new(), ..config() };
    // The first address has port 0, which discovery cannot name.
    let discovery_address = Some("127.0.0.2:3479".parse()?);
    let listen = vec!["127.0.0.1:3478".parse()?];
    let relay_address_v4 = Some("0.0.0.0".parse()?);
    let missing = TlsFiles { certificate: "none.pem".into(), key: "none.pem".into() };
    for (what, wrong) in [
        ("port 0 for relaying", Config { relay_ports: 0..=9, ..no_users() }),
        ("discovery without a primary address", Config { discovery_address, ..no_users() }),
        ("no listening address", Config { listen: Vec::new(), ..no_users() }),
        ("no certificate", Config { tls: Some(missing), ..no_users() }),
        ("an endless realm", Config { realm: "r".repeat(128), ..no_users() }),
        ("no realm", Config { realm: String::new(), ..no_users() }),
        ("DTLS and TURN on one port", Config { listen_dtls: listen.clone(), listen, ..no_users() }),
        ("a wildcard relay address", Config { relay_address_v4, ..no_users() }),
    ] {
        let refused = server.reload(wrong.clone()).expect_err(what);
        let ReloadError::Invalid(refused) = refused else { bail!("{what}: {refused}") };
        let at_start = Server::start(wrong).expect_err(what);
        ensure!(refused.to_string() == at_start.to_string(), "{what}: {refused}, {at_start}");
    }
    Client::new(&server, "anna", "secret")?.allocate()?;
    Ok(())
}

#[test]
fn addresses_for_udp_alone_are_served_if_they_are_free_and_prevent_no_start() -> Result<()> {
    let another = UdpSocket::bind("127.0.0.1:0")?;
    let taken = another.local_addr()?;
    // Both exist until their ports are known, so that these differ.
    let sockets = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    let (free, listens) = (sockets.0.local_addr()?, sockets.1.local_addr()?);
    drop(sockets);
    let wanted = vec![taken, free, free, listens];
    let server =
        Server::start(Config { listen: vec![listens], listen_udp: wanted.clone(), ..config() })?;
    ensure!(server.udp_addrs() == [free, free], "{wanted:?}: {:?}", server.udp_addrs());
    ensure!(server.local_addrs() == [listens], "{:?}", server.local_addrs());
    for address in [free, listens] {
        let anna = ClientConfig::new("anna".to_owned(), "secret".to_owned(), Transport::Udp);
        Client(TestTurnClient::connect(address, anna)?).allocate()?;
    }
    let changes = server.reload(Config { listen: vec![listens], ..config() })?;
    ensure!(changes.is_empty(), "no setting of its own: {changes:?}");
    Ok(())
}

#[test]
fn sessions_are_listed_page_by_page_and_ended_by_their_ids() -> Result<()> {
    let (server, _) = start(config())?;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = Client::new(&server, "anna", "secret")?;
        let relayed = client.allocate()?;
        clients.push((client.0.link.local_addr()?, relayed));
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
    clients.sort_unstable();
    assert_eq!(found, clients, "each session is listed once");
    assert!(listed.iter().all(|session| session.info.username == "anna"));

    let id = listed[3].id;
    assert_eq!(id.to_string().parse::<SessionId>()?, id);
    ensure!(server.end_session(id)?, "it exists");
    ensure!(!server.end_session(id)?, "it has ended");
    ensure!(!server.end_session("99-0".parse()?)?, "there is no such worker");
    wait_for("four sessions", || server.stats().allocations == 4)?;
    ensure!(
        server.sessions(None, 10)?.iter().all(|session| session.id != id),
        "it is still listed"
    );
    Ok(())
}

#[test]
fn the_end_of_a_user_ends_its_allocations_and_its_credentials_and_no_others() -> Result<()> {
    let config = Config { rest_secrets: vec!["north".to_owned()], ..config() };
    let (server, _anna) = start(config)?;
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let client = |session: &str, lifetime_s| {
        let (user, password) = rest_credentials("north", session, now_s + lifetime_s);
        Client::new(&server, &user, &password)
    };
    let (mut first, mut second, mut other) =
        (client("s1", 600)?, client("s1", 601)?, client("s2", 600)?);
    for client in [&mut first, &mut second, &mut other] {
        client.allocate()?;
    }
    let users = || -> Result<Vec<String>> {
        let sessions = server.sessions(None, 9)?;
        let names = sessions.into_iter().map(|session| session.info.username);
        Ok(names.map(|name| name.rsplit(':').next().unwrap_or_default().to_owned()).collect())
    };
    ensure!(users()?.iter().filter(|user| *user == "s1").count() == 2);
    server.end_user("s1", now_s + 602)?;
    let left = users()?;
    ensure!(!left.contains(&"s1".to_owned()) && left.contains(&"s2".to_owned()), "{left:?}");
    ensure!(client("s1", 600)?.try_allocate()?.is_err(), "its credentials are accepted");
    ensure!(client("s2", 600)?.try_allocate()?.is_ok(), "those of another are refused");
    Ok(())
}

#[test]
fn a_draining_server_refuses_new_clients_and_new_settings() -> Result<()> {
    let (server, mut anna) = start(config())?;
    let elsewhere = "127.0.0.1:9".parse()?;
    server.reload(Config { alternate_servers: vec![elsewhere], ..config() })?;
    anna.allocate()?;
    let peer = UdpSocket::bind("127.0.0.1:0")?;
    anna.reaches(&peer).context("before")?;
    std::thread::scope(|scope| -> Result<()> {
        let drained = scope.spawn(|| server.shutdown(PATIENCE));
        wait_for("draining", || server.is_draining())?;
        anna.reaches(&peer).context("an existing allocation is served")?;
        ensure!(
            matches!(server.reload(config()), Err(ReloadError::Stopping)),
            "a reload was accepted"
        );
        let newcomer = Client::new(&server, "anna", "secret")?.try_allocate()?;
        assert_eq!(newcomer, Err(FailureReason::TryAlternate(Some(elsewhere))));
        ensure!(!drained.is_finished(), "it does not wait for allocations");
        anna.0.release()
    })?;
    ensure!(server.sessions(None, 1).is_err(), "no worker is left");
    Ok(())
}

/// The kernel spreads clients over the workers' sockets; closing one would redistribute them.
#[test]
fn a_draining_server_keeps_each_client_at_its_worker() -> Result<()> {
    let server = Server::start(Config { workers: 8, ..config() })?;
    let peer = UdpSocket::bind("127.0.0.1:0")?;
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut client = Client::new(&server, "anna", "secret")?;
        client.allocate()?;
        clients.push(client);
    }
    std::thread::scope(|scope| -> Result<()> {
        let drained = scope.spawn(|| server.shutdown(PATIENCE));
        wait_for("draining", || server.is_draining())?;
        for (n, client) in clients.iter_mut().enumerate() {
            client.reaches(&peer).with_context(|| format!("client {n}"))?;
        }
        ensure!(!drained.is_finished(), "it does not wait for allocations");
        for client in &mut clients {
            client.0.release()?;
        }
        Ok(())
    })
}

/// Returns true if a new client gets a permission for the peer.
fn is_permitted(server: &Server, peer: IpAddr) -> Result<bool> {
    let mut client = Client::new(server, "anna", "secret")?;
    client.allocate()?;
    let permitted = client.request_permission(peer)?;
    client.0.release()?;
    wait_for("the end of the allocation", || server.stats().allocations == 0)?;
    Ok(permitted)
}

#[test]
#[cfg(target_os = "linux")]
fn a_new_address_of_this_host_is_no_longer_permitted_as_a_peer() {
    scene("a_new_address_of_this_host_is_no_longer_permitted_as_a_peer", &[Need::Lab], |_| {
        let thread = std::thread::spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?;
            gain_and_lose_an_address()
        });
        thread.join().map_err(|_| anyhow!("a panic"))?
    });
}

/// Adds and removes an address in a network namespace of its own.
#[cfg(target_os = "linux")]
fn gain_and_lose_an_address() -> Result<()> {
    // A public address, as a peer would have.
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
    ensure!(is_permitted(&server, peer)?, "the address is another host's");
    ip(&format!("address add {GAINED}/32 dev lo"))?;
    let mut refused = Ok(false);
    wait_for("a refusal", || {
        refused = is_permitted(&server, peer).map(|permitted| !permitted);
        !matches!(refused, Ok(false))
    })?;
    ensure!(refused?, "the address is this host's");
    ip(&format!("address del {GAINED}/32 dev lo"))?;
    let mut permitted = Ok(false);
    wait_for("a permission", || {
        permitted = is_permitted(&server, peer);
        !matches!(permitted, Ok(false))
    })?;
    ensure!(permitted?, "the address is another host's again");
    Ok(())
}
