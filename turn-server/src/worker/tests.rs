use std::net::UdpSocket;
use std::sync::mpsc::SyncSender;

use anyhow::{Context as _, Result, bail, ensure};
use porthole_turn_proto::{ClientConfig, ClientEvent, Transport, TurnClient};

use super::*;
use crate::{Config, Server};

fn allocate(listen: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind((listen.ip(), 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let config = ClientConfig::new("anna".to_owned(), "secret".to_owned(), Transport::Udp);
    let mut client = TurnClient::new(config, Instant::now());
    for _ in 0..200 {
        client.handle_timeout(Instant::now());
        while let Some(bytes) = client.poll_transmit() {
            socket.send_to(&bytes, listen)?;
        }
        let mut buffer = [0; 1500];
        if let Ok((n, _)) = socket.recv_from(&mut buffer) {
            client.handle_datagram(Instant::now(), &buffer[..n]);
        }
        match client.poll_event() {
            Some(ClientEvent::Allocated { .. }) => return Ok(socket),
            Some(event) => bail!("no allocation: {event:?}"),
            None => {}
        }
    }
    bail!("no answer")
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        ensure!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

#[test]
fn a_panic_ends_the_allocations_of_its_worker_and_not_the_server() -> Result<()> {
    let server = Server::start(Config {
        listen: vec!["127.0.0.1:0".parse()?],
        users: vec![("anna".to_owned(), "secret".to_owned())],
        relay_ports: 40_000..=40_001,
        workers: 1,
        ..Config::default()
    })?;
    let listen = server.local_addrs()[0];
    for round in 1..=3 {
        // Both ports: they come back each time.
        let _clients = [allocate(listen)?, allocate(listen)?];
        wait_for("two allocations", || server.stats().allocations == 2)?;
        let ask = |_: SyncSender<()>| Command::Panic;
        ensure!(server.workers[0].control.ask(ask)?.answer().is_err(), "nobody answers that");
        wait_for("their end", || server.stats().allocations == 0)?;
        assert_eq!(server.stats().counters.allocations_made, 2 * round);
    }
    server.shutdown(Duration::ZERO);
    let worker = &server.workers[0];
    wait_for("a clean end", || !worker.goes_on()).context("the thread")
}

#[test]
fn a_worker_that_has_ended_keeps_new_settings_from_nobody() -> Result<()> {
    let config = |user: &str| -> Result<Config> {
        Ok(Config {
            listen: vec!["127.0.0.1:0".parse()?],
            users: vec![(user.to_owned(), "secret".to_owned())],
            workers: 2,
            ..Config::default()
        })
    };
    let server = Server::start(config("berta")?)?;
    let listen = server.local_addrs()[0];
    wait_for("its end", || {
        let ask = |_: SyncSender<()>| Command::Panic;
        let _ = server.workers[0].control.ask(ask).map(|asked| asked.answer());
        !server.workers[0].goes_on()
    })?;
    let changes = server.reload(Config { listen: vec![listen], ..config("anna")? })?;
    ensure!(changes.iter().any(|change| change.setting == "users"), "{changes:?}");
    allocate(listen).context("with the new settings")?;
    Ok(())
}
