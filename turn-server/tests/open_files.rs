//! What happens when no socket can be opened any more. Alone in its process: it changes a limit.
#![cfg(unix)]

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use porthole_turn_proto::{ClientConfig, ClientEvent, Transport, TurnClient};
use porthole_turn_server::{Config, Server};

/// What its own files and those of the server take is less.
const OPEN_FILES: u64 = 64;

/// The socket of an allocation, or the code of the refusal.
fn allocate(listen: SocketAddr) -> Result<Result<(UdpSocket, SocketAddr), Option<u16>>> {
    let Ok(socket) = UdpSocket::bind((listen.ip(), 0)) else { return Ok(Err(None)) };
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
            Some(ClientEvent::Allocated { relayed, .. }) => return Ok(Ok((socket, relayed))),
            Some(ClientEvent::Failed { code, .. }) => return Ok(Err(code)),
            Some(event) => bail!("{event:?}"),
            None => {}
        }
    }
    bail!("no answer")
}

#[test]
fn without_open_files_an_allocate_is_refused_and_nothing_else_suffers() -> Result<()> {
    setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES / 2, OPEN_FILES)?;
    let server = Server::start(Config {
        listen: vec!["127.0.0.1:0".parse()?],
        users: vec![("anna".to_owned(), "secret".to_owned())],
        workers: 1,
        ..Config::default()
    })?;
    assert_eq!(
        getrlimit(Resource::RLIMIT_NOFILE)?,
        (OPEN_FILES, OPEN_FILES),
        "the limit is raised"
    );
    let listen = server.local_addrs()[0];
    let first = allocate(listen)?;
    assert!(first.is_ok());
    // Every file is taken but one: enough for another client, not for its relayed address.
    let mut taken: Vec<_> = std::iter::from_fn(|| UdpSocket::bind("127.0.0.1:0").ok()).collect();
    taken.pop();
    let code = allocate(listen)?.err();
    assert_eq!(code, Some(Some(508)), "insufficient capacity (RFC 8656 §19)");
    assert_eq!(server.stats().allocations, 1, "the living one stays");
    taken.clear();
    assert!(allocate(listen)?.is_ok(), "and the server recovers");
    Ok(())
}
