//! The program in the kernel, between a client, a server and a peer that are hosts of their own.

mod headers;
mod object;
mod odd;
mod road;

use std::process::Command;

use anyhow::ensure;
use porthole_test_support::scene::{Need, scene};
use porthole_turn_fastpath::{FastPath, Interfaces, Relayed, Traffic, Unavailable};

use road::{CHANNEL, LONG, Road, V4, V6, message};

const NEEDS: &[Need] = &[Need::Lab, Need::Tool("ethtool")];
/// The most that fits into a packet of 1500 bytes of either family after 4 more are put on.
const LARGEST: usize = 1400;

#[test]
fn every_size_crosses_byte_for_byte_in_both_directions() {
    scene("every_size_crosses_byte_for_byte_in_both_directions", NEEDS, |_| {
        let road = Road::new("sizes")?;
        for family in [V4, V6] {
            // Nobody listens at the server: what arrives came through the kernel.
            let ends = road.ends(family)?;
            let mut flows = road.fast_path.flows();
            flows.install(1, &ends.flow, LONG)?;
            let mut bytes = 0;
            for size in 0..=LARGEST {
                let payload: Vec<u8> =
                    (0..size).map(|i| (i * 31 + size).to_le_bytes()[0]).collect();
                ends.client_sends(&message(CHANNEL, &payload))?;
                ensure!(ends.peer_gets()? == payload, "{size} bytes to the peer");
                ends.peer_sends(&payload)?;
                ensure!(
                    ends.client_gets()? == message(CHANNEL, &payload),
                    "{size} bytes to the client"
                );
                bytes += u64::try_from(size)?;
            }
            let packets = u64::try_from(LARGEST)? + 1;
            let traffic = Traffic { packets, bytes };
            let relayed = Relayed { to_peer: traffic, to_client: traffic };
            ensure!(flows.collect() == [(1, relayed)]);
            ensure!(flows.collect().is_empty(), "traffic is told once");
        }
        Ok(())
    });
}

#[test]
fn each_client_has_its_own_flow() {
    scene("each_client_has_its_own_flow", NEEDS, |_| {
        let road = Road::new("own")?;
        let (one, other) = (road.ends(V4)?, road.ends(V4)?);
        let mut flows = road.fast_path.flows();
        flows.install("one", &one.flow, LONG)?;
        // The other client uses the one's channel number, relay and peer.
        let _listener = road.listen(&one.flow.server)?;
        other.client_sends(&message(CHANNEL, b"other"))?;
        ensure!(one.peer_is_left_alone()?);
        flows.install("other", &other.flow, LONG)?;
        other.client_sends(&message(CHANNEL, b"other"))?;
        one.client_sends(&message(CHANNEL, b"one"))?;
        ensure!(other.peer_gets()? == b"other" && one.peer_gets()? == b"one");
        // A peer reaches its own client only.
        other.peer_sends(b"back")?;
        ensure!(other.client_gets()? == message(CHANNEL, b"back"));
        ensure!(one.client_is_left_alone()?);
        let one_packet = |bytes| Traffic { packets: 1, bytes };
        let relayed = |to_peer, to_client| Some(Relayed { to_peer, to_client });
        ensure!(flows.remove(&"one") == relayed(one_packet(3), Traffic::default()));
        ensure!(flows.remove(&"other") == relayed(one_packet(5), one_packet(4)));
        ensure!(flows.remove(&"other").is_none() && flows.is_empty());
        Ok(())
    });
}

#[test]
fn it_stands_where_it_should_and_goes_with_its_owner() {
    scene("it_stands_where_it_should_and_goes_with_its_owner", NEEDS, |_| {
        let road = Road::new("stands")?;
        ensure!(road.fast_path.interfaces() == ["eth0"], "auto finds the server's interface");
        let attached = || {
            road.lab.server().inside(|| {
                use aya::programs::{SchedClassifier, TcAttachType::Ingress};
                anyhow::Ok(SchedClassifier::query_tcx("eth0", Ingress)?.1.len())
            })?
        };
        ensure!(attached()? == 1);
        let start = |names: &[&str]| {
            let names = names.iter().map(ToString::to_string).collect();
            road.lab.server().inside(|| FastPath::start(&Interfaces::Named(names), &[]))
        };
        ensure!(matches!(start(&["lo"])?, Err(Unavailable::NotEthernet(name)) if name == "lo"));
        ensure!(matches!(start(&["eth7"])?, Err(Unavailable::Unknown(name, _)) if name == "eth7"));
        ensure!(matches!(start(&[])?, Err(Unavailable::NoInterface)));
        let second = start(&["eth0"])??;
        ensure!(attached()? == 2, "another may stand beside it");
        drop(second);
        ensure!(attached()? == 1);
        Ok(())
    });
}

/// Set in the copy of this test that runs as nobody.
const AS_NOBODY: &str = "PORTHOLE_TEST_AS_NOBODY";
const NOBODY: u32 = 65_534;

#[test]
fn without_privileges_it_says_which_are_needed() {
    use std::os::unix::process::CommandExt as _;

    const NAME: &str = "without_privileges_it_says_which_are_needed";
    if std::env::var_os(AS_NOBODY).is_some() {
        let result = FastPath::start(&Interfaces::Auto, &["0.0.0.0".parse().unwrap()]);
        // On a machine without Ethernet it does not come so far.
        let expected = matches!(result, Err(Unavailable::NotPermitted | Unavailable::NoInterface));
        assert!(expected, "{result:?}");
        return;
    }
    scene(NAME, &[Need::Lab], |scene| {
        // Where nobody may go. Made by another process: a file that this one has open for writing
        // while a test beside it starts a program cannot be run.
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
        ensure!(output.status.success() && text.contains("1 passed"), "as nobody it fails");
        Ok(())
    });
}
