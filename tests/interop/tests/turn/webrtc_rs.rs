//! webrtc-rs: the `stun` and `turn` crates as clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::scene::scene;
use stun::agent::TransactionId;
use stun::message::{BINDING_REQUEST, Getter as _, Message};
use stun::xoraddr::XorMappedAddress;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;
use turn::client::{Client, ClientConfig};
use webrtc_util::Conn as _;

use crate::{Echo, PASSWORD, PATIENCE, REALM, USER, server};

fn run_scene(name: &str, body: impl AsyncFnOnce() -> Result<()>) {
    scene(name, &[], |_| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { timeout(PATIENCE, body()).await.context("timed out")? })
    });
}

#[test]
fn the_stun_crate_learns_its_address() {
    run_scene("the_stun_crate_learns_its_address", async || {
        let server = server()?;
        for to in server.local_addrs() {
            let socket = UdpSocket::bind((to.ip(), 0)).await?;
            let local = socket.local_addr()?;
            socket.connect(to).await?;
            let mut client =
                stun::client::ClientBuilder::new().with_conn(Arc::new(socket)).build()?;
            let mut request = Message::new();
            request.build(&[Box::<TransactionId>::default(), Box::new(BINDING_REQUEST)])?;
            #[expect(clippy::disallowed_methods, reason = "the crate's own interface")]
            let (events, mut responses) = mpsc::unbounded_channel();
            client.send(&request, Some(Arc::new(events))).await?;
            let response = responses.recv().await.context("no response")?.event_body?;
            let mut mapped = XorMappedAddress::default();
            mapped.get_from(&response)?;
            ensure!((mapped.ip, mapped.port) == (local.ip(), local.port()), "{mapped}");
            client.close().await?;
        }
        Ok(())
    });
}

#[test]
fn the_turn_crate_relays_by_indications_and_channels() {
    run_scene("the_turn_crate_relays_by_indications_and_channels", async || {
        let server = server()?;
        let echo = Echo::start("127.0.0.1")?;
        let (at, by_channel) = counting_proxy(server.local_addrs()[0]).await?;
        let client = client(at, PASSWORD).await?;
        let relay = client.allocate().await?;
        let mut buffer = [0; 1500];
        // The first ones are sent in indications, until the crate has bound a channel.
        for round in 0..100_u8 {
            let message = [round; 160];
            relay.send_to(&message, echo.addr).await?;
            let (len, from) = relay.recv_from(&mut buffer).await?;
            ensure!(from == echo.addr && buffer[..len] == message, "round {round}: {from}");
        }
        client.close().await?;
        let by_channel = by_channel.load(Ordering::Relaxed);
        ensure!((1..100).contains(&by_channel), "{by_channel} of 100 by a channel");
        let counters = server.stats().counters;
        ensure!(counters.allocations_made == 1, "{counters:?}");
        Ok(())
    });
}

#[test]
fn the_turn_crate_is_refused_with_a_wrong_password() {
    run_scene("the_turn_crate_is_refused_with_a_wrong_password", async || {
        let server = server()?;
        let client = client(server.local_addrs()[0], "guess").await?;
        ensure!(client.allocate().await.is_err(), "it was accepted");
        ensure!(server.stats().counters.allocations_made == 0, "an allocation was made");
        Ok(())
    });
}

/// Starts a proxy to the server that counts the client's ChannelData messages.
async fn counting_proxy(server: SocketAddr) -> Result<(SocketAddr, Arc<AtomicUsize>)> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let at = socket.local_addr()?;
    let counter = Arc::new(AtomicUsize::new(0));
    let by_channel = Arc::clone(&counter);
    tokio::spawn(async move {
        let (mut buffer, mut client) = ([0; 1500], server);
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let to = if from == server { client } else { server };
            if from != server {
                client = from;
                // RFC 8656 §12: a channel number begins with these two bits.
                let is_channel_data = buffer.first().is_some_and(|first| first >> 6 == 0b01);
                by_channel.fetch_add(is_channel_data.into(), Ordering::Relaxed);
            }
            if socket.send_to(&buffer[..len], to).await.is_err() {
                return;
            }
        }
    });
    Ok((at, counter))
}

async fn client(to: SocketAddr, password: &str) -> Result<Client> {
    let client = Client::new(ClientConfig {
        stun_serv_addr: to.to_string(),
        turn_serv_addr: to.to_string(),
        username: USER.to_owned(),
        password: password.to_owned(),
        realm: REALM.to_owned(),
        software: String::new(),
        rto_in_ms: 0,
        conn: Arc::new(UdpSocket::bind("127.0.0.1:0").await?),
        vnet: None,
    })
    .await?;
    client.listen().await?;
    Ok(client)
}
