//! A gateway in a network that lets nothing but TLS out, as far as its settings can say so.

use std::time::Duration;

use anyhow::ensure;
use porthole_test_support::porthole::binary;
use porthole_test_support::ports::free_port;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, scene};
use porthole_test_support::viewer::Viewer;
use porthole_test_support::wait;

use crate::certificate::make_certificate_for;
use crate::signaling_server::SignalingServer;
use crate::turn_server::TurnServer;

const SECRET: &str = "a-secret-that-both-servers-share";
const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn a_gateway_relays_over_tls_where_it_trusts_the_certificate() {
    let name = "a_gateway_relays_over_tls_where_it_trusts_the_certificate";
    let needs = [Need::Program, Need::Viewer, Need::Tool("openssl")];
    scene(name, &needs, |scene| {
        // It is its own authority.
        let no_authority = ["basicConstraints=critical,CA:FALSE"];
        let (certificate, key) =
            make_certificate_for(scene, "localhost", "localhost", &no_authority)?;
        let tls = free_port()?;
        let lines = format!(
            "listen_tls = ['{tls}']\nallow_peers = ['127.0.0.0/8']\nsecret = '{SECRET}'\n\
             tls_certificate = '{certificate}'\ntls_key = '{key}'",
        );
        let turn = TurnServer::start(scene, &lines)?;

        let url = format!("turns:localhost:{}?transport=tcp", tls.port());
        let server = SignalingServer::start(scene, &url, SECRET)?;

        for (trusts, name) in [(false, "stranger"), (true, "friend")] {
            let config = scene.folder().join(format!("{name}.toml"));
            let authority =
                if trusts { format!("ca_certificates = '{certificate}'\n") } else { String::new() };
            std::fs::write(&config, format!("[gateway]\nturn_only = true\n{authority}"))?;
            let mut command = Place::Here.command(binary()?);
            command.arg("gateway").args(["--server", &server.url, "--claim", &server.claim()?]);
            command.arg("--data").arg(scene.data(name)?).arg("--config").arg(&config);
            command.args(["--camera", &format!("{name}=test:320x180@15")]);
            command.env("PORTHOLE_LOG", "info,porthole_gateway=debug");
            let gateway = Program::start(scene, name, &mut command)?;
            server.wait_for_camera(name)?;
            let SignalingServer { url, token, .. } = &server;
            let mut viewer = Viewer::start(scene, Place::Here, url, token, name)?;
            if trusts {
                viewer.wait_for_frames(15, DEADLINE)?;
                let log = gateway.output()?;
                ensure!(log.contains("relayed over TLS"), "{log}");
            } else {
                wait::until("the certificate is refused", DEADLINE, || {
                    Ok(gateway.output()?.contains("TURN over Tls: invalid peer").then_some(()))
                })?;
                ensure!(viewer.frames()? == 0, "it has found another way");
            }
            gateway.stop()?;
        }
        let series = "porthole_turn_relayed_packets_total\
            {direction=\"to_peer\",client_transport=\"tls\"}";
        ensure!(turn.metric(series)? > 0, "nothing was relayed over TLS");
        Ok(())
    });
}
