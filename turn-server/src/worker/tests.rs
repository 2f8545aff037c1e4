use std::io::Read as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::SyncSender;

use anyhow::{Context as _, Result, bail, ensure};
use porthole_turn_proto::{ClientConfig, ClientEvent, Transport, TurnClient};

use super::*;
use crate::{Config, Server, start};

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
    for round in 1..=10 {
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

/// Workers without threads.
fn workers(number: u8) -> Result<Vec<Worker>> {
    let listen = vec!["127.0.0.1:0".parse()?];
    let config = Config { listen, workers: number, ..Config::default() };
    Ok(start::prepare(config)?.into_workers()?.1)
}

/// The client's end of a connection that this worker takes for one of always the same port.
fn connect(worker: &mut Worker, listener: &TcpListener) -> Result<TcpStream> {
    let client = TcpStream::connect(listener.local_addr()?)?;
    client.set_read_timeout(Some(Duration::from_secs(10)))?;
    let (stream, _) = listener.accept()?;
    stream.set_nonblocking(true)?;
    worker.accept(mio::net::TcpStream::from_std(stream), "127.0.0.1:9".parse()?, false);
    Ok(client)
}

fn is_closed(mut client: &TcpStream) -> Result<bool> {
    Ok(client.read(&mut [0])? == 0)
}

#[test]
fn a_client_is_passed_on_once() -> Result<()> {
    let mut workers = workers(2)?;
    let [first, second] = workers.as_mut_slice() else { bail!("two") };
    let client = connect(first, &TcpListener::bind("127.0.0.1:0")?)?;
    let tuple = first.connections.get_mut(0).context("it is here")?.tuple;
    first.pass_client(&tuple, 1);
    second.obey();
    assert_eq!((first.connections.len(), second.connections.len()), (0, 1));
    second.pass_client(&tuple, 0);
    first.obey();
    assert_eq!((first.connections.len(), second.connections.len()), (0, 0));
    ensure!(is_closed(&client)?, "it tries again");
    Ok(())
}

#[test]
fn what_others_tell_is_done_in_small_portions() -> Result<()> {
    let mut workers = workers(1)?;
    let worker = workers.first_mut().context("one")?;
    for number in 0..40 {
        let (client, server) = (([10, 0, 0, 1], number).into(), ([10, 0, 0, 2], 3478).into());
        let client = FiveTuple { transport: Transport::Udp, client, server };
        worker.control.tell(Command::Forget { client, worker: 0, at: Instant::now() });
    }
    for left_over in [true, true, false] {
        worker.obey();
        let again = worker.ready.next(true);
        assert_eq!(again == Some(token(WAKER, 0)), left_over);
    }
    ensure!(worker.commands.try_recv().is_err(), "all is done");
    Ok(())
}

/// One is over and the next one there before the worker has looked at either.
#[test]
fn a_connection_takes_the_place_of_one_with_its_ends() -> Result<()> {
    let mut workers = workers(1)?;
    let worker = workers.first_mut().context("one")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let first = connect(worker, &listener)?;
    let _second = connect(worker, &listener)?;
    assert_eq!(worker.connections.len(), 1);
    ensure!(is_closed(&first)?, "the first one goes on");
    Ok(())
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
    server.workers[0].control.stop();
    wait_for("its end", || !server.workers[0].goes_on())?;
    let changes = server.reload(Config { listen: vec![listen], ..config("anna")? })?;
    ensure!(changes.iter().any(|change| change.setting == "users"), "{changes:?}");
    allocate(listen).context("with the new settings")?;
    Ok(())
}
