//! STUN and TURN over UDP at the number of the public port.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Result, ensure};
use porthole_test_support::ports::free_port;
use porthole_test_support::scene::{Need, scene};
use porthole_test_support::wait;

use super::client::request;
use super::{DEADLINE, Port};
use crate::certificate;
use crate::turn_client::Client;

/// A Binding request (RFC 8489 §5) with a transaction id.
const BINDING: [u8; 20] = *b"\x00\x01\x00\x00\x21\x12\xa4\x42twelve bytes";
/// The first bytes of the response: a success, of which the length is not looked at.
const SUCCESS: [u8; 2] = [1, 1];
/// Time for the response: the server is on this machine, which may be loaded.
const RESPONSE_TIME: Duration = Duration::from_secs(20);

const NEEDS: [Need; 2] = [Need::Program, Need::Tool("openssl")];

#[test]
fn stun_and_turn_are_served_over_udp_at_the_public_port() {
    scene("stun_and_turn_are_served_over_udp_at_the_public_port", &NEEDS, |scene| {
        let mut port = Port::start(scene)?;
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(RESPONSE_TIME))?;
        socket.send_to(&BINDING, port.address)?;
        let mut response = [0; 1500];
        let (length, from) = socket.recv_from(&mut response)?;
        ensure!(from == port.address, "{from} has responded");
        let response = response.get(..length).unwrap_or_default();
        ensure!(response.starts_with(&SUCCESS), "{response:?}");
        ensure!(response.get(4..20) == BINDING.get(4..20), "{response:?}");

        let mut client = Client::allocate(port.address, "anna:secret")?;
        ensure!(client.reaches_loopback()?, "{} relays nothing", client.relayed);
        let servers = ice_servers(&mut port)?;
        let udp = udp_url(port.address);
        ensure!(servers.contains(&udp), "{servers}");
        Ok(())
    });
}

#[test]
fn a_port_that_is_taken_for_udp_is_named_and_all_else_goes_on() {
    scene("a_port_that_is_taken_for_udp_is_named_and_all_else_goes_on", &NEEDS, |scene| {
        let address = free_port()?;
        let another = UdpSocket::bind(address)?;
        let mut port = Port::start_at(scene, "used", address)?;
        let sentence = format!(
            "clients are not served over UDP at {address}: something else listens there; end it \
             and start again"
        );
        wait::until("the log says so", DEADLINE, || {
            Ok(port.server.output()?.contains(&sentence).then_some(()))
        })?;
        port.check_health(&["http/1.1"])?;
        let mut client = certificate::Client::allocate_with("-tls1_3", address, &[])?;
        client.bind_channel(([127, 0, 0, 1], 9).into())?;
        let servers = ice_servers(&mut port)?;
        let (udp, tls) = (udp_url(address), format!("turns:localhost:{}", address.port()));
        ensure!(servers.contains(&tls) && !servers.contains(&udp), "{servers}");
        drop(another);
        Ok(())
    });
}

/// Returns the address of TURN over UDP at the public port, as clients get it.
fn udp_url(public: SocketAddr) -> String {
    format!("turn:localhost:{}?transport=udp", public.port())
}

/// Returns the response to a player that asks for ICE servers.
fn ice_servers(port: &mut Port<'_>) -> Result<String> {
    let token = port.server.token("viewer", &[])?;
    port.server.wait_for_camera(&token, "cam", DEADLINE)?;
    let head = format!("OPTIONS /whep/cam HTTP/1.1\r\nAuthorization: Bearer {token}");
    let (status, response) = request(&mut port.connect(&["http/1.1"])?, &head, "")?;
    ensure!(status == 200, "{response}");
    Ok(response)
}
