//! The program in the kernel, between a client, a server and a peer on hosts of their own.

mod fallback;
mod headers;
mod network;
mod object;

use std::process::Command;

use anyhow::ensure;
use porthole_test_support::scene::{Need, scene};
use porthole_turn_fastpath::{FastPath, Interfaces, Relayed, Traffic, Unavailable};

use network::{CHANNEL, LONG, Network, V4, V6, message};

const NEEDS: &[Need] = &[Need::Lab, Need::Tool("ethtool")];
/// Largest payload: with 4 more bytes it still fits into a packet of 1500 bytes of either family.
const LARGEST: usize = 1400;

#[test]
fn every_size_crosses_byte_for_byte_in_both_directions() {
    scene("every_size_crosses_byte_for_byte_in_both_directions", NEEDS, |_| {
        let network = Network::new("sizes")?;
        for family in [V4, V6] {
            // The server has no sockets, so everything that arrives came through the kernel.
            let endpoints = network.endpoints(family)?;
            let mut flows = network.fast_path.flows();
            flows.install(1, &endpoints.flow, LONG)?;
            let mut bytes = 0;
            for size in 0..=LARGEST {
                let payload: Vec<u8> =
                    (0..size).map(|i| (i * 31 + size).to_le_bytes()[0]).collect();
                endpoints.client_sends(&message(CHANNEL, &payload))?;
                ensure!(endpoints.peer_receives()? == payload, "{size} bytes to the peer");
                endpoints.peer_sends(&payload)?;
                ensure!(
                    endpoints.client_receives()? == message(CHANNEL, &payload),
                    "{size} bytes to the client"
                );
                bytes += u64::try_from(size)?;
            }
            let packets = u64::try_from(LARGEST)? + 1;
            let traffic = Traffic { packets, bytes };
            let relayed = Relayed { to_peer: traffic, to_client: traffic };
            ensure!(flows.collect() == [(1, relayed)]);
            ensure!(flows.collect().is_empty(), "traffic is reported once");
        }
        Ok(())
    });
}

#[test]
fn each_client_has_its_own_flow() {
    scene("each_client_has_its_own_flow", NEEDS, |_| {
        let network = Network::new("own")?;
        let (one, other) = (network.endpoints(V4)?, network.endpoints(V4)?);
        let mut flows = network.fast_path.flows();
        flows.install("one", &one.flow, LONG)?;
        // The other client uses the channel number of the first one.
        let _listener = network.listen(&one.flow.server)?;
        other.client_sends(&message(CHANNEL, b"other"))?;
        ensure!(one.peer_receives_nothing()?);
        flows.install("other", &other.flow, LONG)?;
        other.client_sends(&message(CHANNEL, b"other"))?;
        one.client_sends(&message(CHANNEL, b"one"))?;
        ensure!(other.peer_receives()? == b"other" && one.peer_receives()? == b"one");
        // A peer reaches its own client only.
        other.peer_sends(b"back")?;
        ensure!(other.client_receives()? == message(CHANNEL, b"back"));
        ensure!(one.client_receives_nothing()?);
        let one_packet = |bytes| Traffic { packets: 1, bytes };
        let relayed = |to_peer, to_client| Some(Relayed { to_peer, to_client });
        ensure!(flows.remove(&"one") == relayed(one_packet(3), Traffic::default()));
        ensure!(flows.remove(&"other") == relayed(one_packet(5), one_packet(4)));
        ensure!(flows.remove(&"other").is_none() && flows.is_empty());
        Ok(())
    });
}

#[test]
fn it_is_attached_as_configured_and_detached_with_its_owner() {
    scene("it_is_attached_as_configured_and_detached_with_its_owner", NEEDS, |_| {
        let network = Network::new("stands")?;
        ensure!(network.fast_path.interfaces() == ["eth0"], "auto finds the server's interface");
        let attached = || {
            network.lab.server().inside(|| {
                use aya::programs::{SchedClassifier, TcAttachType::Ingress};
                anyhow::Ok(SchedClassifier::query_tcx("eth0", Ingress)?.1.len())
            })?
        };
        ensure!(attached()? == 1);
        let start = |names: &[&str]| {
            let names = names.iter().map(ToString::to_string).collect();
            network.lab.server().inside(|| FastPath::start(&Interfaces::Named(names), &[]))
        };
        ensure!(matches!(start(&["lo"])?, Err(Unavailable::NotEthernet(name)) if name == "lo"));
        ensure!(matches!(start(&["eth7"])?, Err(Unavailable::Unknown(name, _)) if name == "eth7"));
        ensure!(matches!(start(&[])?, Err(Unavailable::NoInterface)));
        let second = start(&["eth0"])??;
        ensure!(attached()? == 2, "a second one may be attached as well");
        drop(second);
        ensure!(attached()? == 1);
        Ok(())
    });
}

/// Variable set in the copy of this test that runs as the user "nobody".
const AS_NOBODY: &str = "PORTHOLE_TEST_AS_NOBODY";
const NOBODY: u32 = 65_534;

#[test]
fn without_privileges_the_error_names_those_needed() {
    use std::os::unix::process::CommandExt as _;

    const NAME: &str = "without_privileges_the_error_names_those_needed";
    if std::env::var_os(AS_NOBODY).is_some() {
        let result = FastPath::start(&Interfaces::Auto, &["0.0.0.0".parse().unwrap()]);
        // On a machine without Ethernet it fails earlier.
        let expected = matches!(result, Err(Unavailable::NotPermitted | Unavailable::NoInterface));
        assert!(expected, "{result:?}");
        return;
    }
    scene(NAME, &[Need::Lab], |scene| {
        // A copy that the user "nobody" may run, made by another process: a file that this process
        // has open for writing while another test starts a program could not be run.
        let copy = std::env::temp_dir().join(format!("porthole-nobody-{}", std::process::id()));
        let copied = Command::new("cp").arg(std::env::current_exe()?).arg(&copy).status()?;
        ensure!(copied.success(), "no copy at {}", copy.display());
        let mut command = Command::new(&copy);
        command.args(["--exact", NAME]).env(AS_NOBODY, "1").current_dir("/");
        let output = command.uid(NOBODY).gid(NOBODY).output();
        std::fs::remove_file(&copy)?;
        let output = output?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        std::fs::write(scene.folder().join("nobody.log"), &text)?;
        ensure!(
            output.status.success() && text.contains("1 passed"),
            "the copy failed as the user nobody"
        );
        Ok(())
    });
}
