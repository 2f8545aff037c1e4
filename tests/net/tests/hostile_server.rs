//! A gateway whose signaling server has been taken over: what that server names as STUN and TURN
//! servers is not contacted in the gateway's own network.

use std::io::ErrorKind;
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use anyhow::{Result, ensure};
use porthole_test_support::lab::{Host, Lab};
use porthole_test_support::nat::NatKind;
use porthole_test_support::porthole::{Gateway, Server};
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::viewer::Viewer;
use porthole_test_support::wait;

const NEEDS: [Need; 3] = [Need::Lab, Need::Program, Need::Viewer];
const DEADLINE: Duration = Duration::from_secs(30);
const FRAMES: u64 = 50;
/// The port of the service in the gateway's network; a camera's RTSP server, for example.
const PORT: u16 = 554;

#[test]
fn a_hostile_signaling_server_reaches_nothing_in_the_gateways_network() {
    let name = "a_hostile_signaling_server_reaches_nothing_in_the_gateways_network";
    scene(name, &NEEDS, |scene| {
        // The owner may allow what the server names.
        for is_allowed in [false, true] {
            let lab = Lab::new("hostile")?;
            let home = lab.side(NatKind::PortRestricted)?;
            let service = Service::open(&lab.host_behind(&home)?)?;
            watch(scene, &lab, &home.host, &service, is_allowed)?;
        }
        Ok(())
    });
}

/// Lets somebody watch while the server names the service as a STUN and TURN server.
fn watch(scene: &Scene, lab: &Lab, home: &Host, service: &Service, is_allowed: bool) -> Result<()> {
    let address = &service.address;
    let urls = ["stun:", "turn:", "turn:"].map(|scheme| format!("{scheme}{address}:{PORT}"));
    let [stun, turn, tcp] = urls;
    let settings =
        format!("[signaling]\nturn_urls = [\"{stun}\", \"{turn}\", \"{tcp}?transport=tcp\"]\n");
    let (server_name, gateway_name) =
        (format!("server-{is_allowed}"), format!("gateway-{is_allowed}"));
    let data = scene.data(&server_name)?;
    std::fs::write(data.join("porthole.toml"), settings)?;
    let mut server = Server::start_in(scene, Place::On(lab.server()), data, &[])?;
    let token = server.token("viewer", &[])?;
    if is_allowed {
        let settings = format!("[gateway]\nallow_ice_servers = [\"{address}\"]\n");
        std::fs::write(scene.data(&gateway_name)?.join("porthole.toml"), settings)?;
    }
    let cameras = [("yard", "test:")];
    let gateway = Gateway::start(scene, &gateway_name, Place::On(home), &server, &cameras, &[])?;
    server.wait_for_camera(&token, "yard", DEADLINE)?;
    let viewer = lab.side(NatKind::Open)?;
    let place = Place::On(&viewer.host);
    let name = format!("viewer-{is_allowed}");
    let mut viewer = Viewer::start_as(scene, &name, place, &server.url(""), &token, "yard")?;
    viewer.wait_for_frames(FRAMES, DEADLINE)?;
    if is_allowed {
        // TCP is not tried once another server has made an allocation over UDP.
        return wait::until("the gateway contacts it", DEADLINE, || {
            Ok(service.was_sent_datagrams()?.then_some(()))
        });
    }
    ensure!(!service.was_connected_to()?, "the gateway connected to it");
    ensure!(!service.was_sent_datagrams()?, "the gateway sent datagrams to it");
    let told = gateway.program.output()?.matches("is not contacted").count();
    ensure!(told == 1, "the log tells it {told} times");
    Ok(())
}

/// A service beside the cameras, which nobody but its neighbours may reach.
struct Service {
    address: String,
    tcp: TcpListener,
    udp: UdpSocket,
}

impl Service {
    fn open(host: &Host) -> Result<Self> {
        let address = host.address().to_string();
        let tcp = host.inside(|| TcpListener::bind((host.address(), PORT)))??;
        let udp = host.inside(|| UdpSocket::bind((host.address(), PORT)))??;
        tcp.set_nonblocking(true)?;
        udp.set_nonblocking(true)?;
        Ok(Self { address, tcp, udp })
    }

    fn was_connected_to(&self) -> Result<bool> {
        happened(self.tcp.accept().map(drop))
    }

    /// Returns true if there is a datagram. It stays in the queue.
    fn was_sent_datagrams(&self) -> Result<bool> {
        happened(self.udp.peek_from(&mut [0; 1]).map(drop))
    }
}

fn happened(result: std::io::Result<()>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error.into()),
    }
}
