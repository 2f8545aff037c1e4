//! Allocations when no more files can be opened. A test binary of its own, because it changes a
//! limit of the process.
#![cfg(unix)]

use std::net::{SocketAddr, UdpSocket};

use anyhow::{Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use porthole_test_support::turn_client::TestTurnClient;
use porthole_turn_proto::{ClientEvent, Transport};
use porthole_turn_server::{Config, Server};

/// Limit of open files: more than the test and the server need themselves.
const OPEN_FILES: u64 = 64;

/// Makes an allocation. Returns the client, which keeps it alive, or the code of the refusal.
fn allocate(listen: SocketAddr) -> Result<Result<TestTurnClient, Option<u16>>> {
    let Ok(mut client) = TestTurnClient::anna(listen, Transport::Udp) else { return Ok(Err(None)) };
    match client.event()? {
        ClientEvent::Allocated { .. } => Ok(Ok(client)),
        ClientEvent::Failed { code, .. } => Ok(Err(code)),
        event @ (ClientEvent::PermissionRefused { .. } | ClientEvent::Expired) => {
            bail!("{event:?}")
        }
    }
}

#[test]
fn without_open_files_an_allocate_is_refused_and_nothing_else_is_affected() -> Result<()> {
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
    // All files are taken but one: enough for another client, not for its relayed address.
    let mut taken: Vec<_> = std::iter::from_fn(|| UdpSocket::bind("127.0.0.1:0").ok()).collect();
    taken.pop();
    let code = allocate(listen)?.err();
    assert_eq!(code, Some(Some(508)), "insufficient capacity (RFC 8656 §19)");
    assert_eq!(server.stats().allocations, 1, "the existing one stays");
    taken.clear();
    assert!(allocate(listen)?.is_ok(), "and the server recovers");
    Ok(())
}
