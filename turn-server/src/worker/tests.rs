use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{SyncSender, sync_channel};

use anyhow::{Context as _, Result, bail, ensure};
use porthole_test_support::turn_client::TestTurnClient;
use porthole_test_support::wait;
use porthole_turn_proto::Transport;

use super::*;
use crate::{Config, Server, start};

fn allocate(listen: SocketAddr) -> Result<TestTurnClient> {
    let mut client = TestTurnClient::anna(listen, Transport::Udp)?;
    client.allocate()?;
    Ok(client)
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    wait::until(what, Duration::from_secs(10), || Ok(holds().then_some(())))
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
        // Both ports of the range: they are free again each time.
        let _clients = [allocate(listen)?, allocate(listen)?];
        wait_for("two allocations", || server.stats().allocations == 2)?;
        let command = |_: SyncSender<()>| Command::Panic;
        ensure!(
            server.workers[0].control.request(command)?.wait().is_err(),
            "no reply after a panic"
        );
        wait_for("their end", || server.stats().allocations == 0)?;
        assert_eq!(server.stats().counters.allocations_made, 2 * round);
    }
    server.shutdown(Duration::ZERO);
    let worker = &server.workers[0];
    wait_for("a clean end", || !worker.is_running()).context("the thread")
}

/// Takes 4 s: twice the time that a worker has to reply.
#[test]
fn a_reload_counts_although_a_worker_gets_it_later() -> Result<()> {
    let config = |password: &str| -> Result<Config> {
        Ok(Config {
            listen: vec!["127.0.0.1:0".parse()?],
            users: vec![("anna".to_owned(), password.to_owned())],
            workers: 1,
            ..Config::default()
        })
    };
    let server = Server::start(config("other")?)?;
    let listen = server.local_addrs()[0];
    let (resume, until) = sync_channel(1);
    server.workers[0].control.request(|_: SyncSender<()>| Command::Stall(until))?;
    let changes = server.reload(config("secret")?)?;
    assert_eq!(changes.len(), 1, "it counts: {changes:?}");
    assert_eq!(server.reload(config("secret")?)?, [], "it has nothing to change again");
    drop(resume);
    wait_for("the new password is accepted", || allocate(listen).is_ok())
}

/// Makes workers without threads.
fn workers(number: u8) -> Result<Vec<Worker>> {
    let listen = vec!["127.0.0.1:0".parse()?];
    let config = Config { listen, workers: number, ..Config::default() };
    Ok(start::prepare(config)?.into_workers()?.1)
}

/// Connects a client, always from the same port as far as the worker knows.
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
fn a_connection_is_handed_over_once() -> Result<()> {
    let mut workers = workers(2)?;
    let [first, second] = workers.as_mut_slice() else { bail!("two workers") };
    let client = connect(first, &TcpListener::bind("127.0.0.1:0")?)?;
    let tuple = first.connections.get_mut(0).context("the first worker has it")?.tuple;
    first.hand_over_connection(&tuple, 1);
    second.run_commands();
    assert_eq!((first.connections.len(), second.connections.len()), (0, 1));
    second.hand_over_connection(&tuple, 0);
    first.run_commands();
    assert_eq!((first.connections.len(), second.connections.len()), (0, 0));
    ensure!(is_closed(&client)?, "the client retries");
    Ok(())
}

#[test]
fn commands_of_other_workers_are_run_in_small_portions() -> Result<()> {
    let mut workers = workers(1)?;
    let worker = workers.first_mut().context("one worker")?;
    for number in 0..40 {
        let (client, server) = (([10, 0, 0, 1], number).into(), ([10, 0, 0, 2], 3478).into());
        let client = FiveTuple { transport: Transport::Udp, client, server };
        worker.control.notify(Command::EndHandover { client, worker: 0, at: Instant::now() });
    }
    for left_over in [true, true, false] {
        worker.run_commands();
        let again = worker.ready.next(true);
        assert_eq!(again == Some(token(WAKER, 0)), left_over);
    }
    ensure!(worker.commands.try_recv().is_err(), "no command is left");
    Ok(())
}

/// The first connection ends and the second arrives before the worker serves either.
#[test]
fn a_connection_replaces_one_with_the_same_addresses() -> Result<()> {
    let mut workers = workers(1)?;
    let worker = workers.first_mut().context("one worker")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let first = connect(worker, &listener)?;
    let _second = connect(worker, &listener)?;
    assert_eq!(worker.connections.len(), 1);
    ensure!(is_closed(&first)?, "the first one is still open");
    Ok(())
}

#[test]
fn a_worker_that_has_ended_does_not_block_a_reload() -> Result<()> {
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
    wait_for("its end", || !server.workers[0].is_running())?;
    let changes = server.reload(Config { listen: vec![listen], ..config("anna")? })?;
    ensure!(changes.iter().any(|change| change.setting == "users"), "{changes:?}");
    allocate(listen).context("with the new settings")?;
    Ok(())
}
