//! Allocates a relayed address on a TURN server, prints it and releases it.
//!
//! `cargo run --example turn_client -- 203.0.113.7:3478 alice secret`
#![allow(clippy::print_stdout)]

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use porthole_turn_proto::{ClientConfig, ClientEvent, Transport, TurnClient};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, user, password] = arguments.try_into().ok().context("SERVER USER PASSWORD")?;
    let server: SocketAddr = server.parse()?;
    let socket = UdpSocket::bind(if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.connect(server)?;
    let config = ClientConfig::new(user, password, Transport::Udp);
    let mut client = TurnClient::new(config, Instant::now());
    let mut buffer = [0; 1500];
    while let Some(deadline) = client.poll_timeout() {
        while let Some(message) = client.poll_transmit() {
            socket.send(&message)?;
        }
        let wait = deadline.saturating_duration_since(Instant::now());
        socket.set_read_timeout(Some(wait.max(Duration::from_millis(1))))?;
        match socket.recv(&mut buffer) {
            Ok(len) => drop(client.handle_datagram(Instant::now(), &buffer[..len])),
            Err(_) => client.handle_timeout(Instant::now()),
        }
        if let Some(event) = client.poll_event() {
            let ClientEvent::Allocated { relayed, .. } = event else { bail!("{event:?}") };
            println!("{relayed}");
            client.close(Instant::now());
        }
    }
    Ok(())
}
