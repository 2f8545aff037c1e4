//! The results of `porthole netcheck` behind each NAT (RFC 5780), with coturn and with Porthole's
//! own server.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::lab::{Lab, SERVER_ADDRESS};
use porthole_test_support::nat::NatKind;
use porthole_test_support::porthole::binary;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::wait;
use serde_json::Value;

const SECOND_ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 11);
const READY_DEADLINE: Duration = Duration::from_secs(20);

/// Takes about 7 s; see [`check_each_nat`].
#[test]
fn netcheck_names_each_nat() {
    let needs = [Need::Lab, Need::Program, Need::Tool("turnserver")];
    scene("netcheck_names_each_nat", &needs, |scene| {
        let lab = Lab::new("netcheck")?;
        let _server = start_coturn(scene, &lab)?;
        check_each_nat(&lab)
    });
}

/// Takes about 7 s; see [`check_each_nat`].
#[test]
fn netcheck_names_each_nat_with_our_own_server() {
    let needs = [Need::Lab, Need::Program];
    scene("netcheck_names_each_nat_with_our_own_server", &needs, |scene| {
        let lab = Lab::new("netcheck-ours")?;
        let _server = start_porthole(scene, &lab)?;
        check_each_nat(&lab)
    });
}

/// Checks the class, mapping and filtering that netcheck finds behind each NAT, all at a time.
///
/// Netcheck sends each request whose response a NAT drops four times, at intervals of 0.4 s. Behind
/// a port-restricted NAT that are three requests, 4.8 s; another 1.2 s pass until no router
/// responds.
fn check_each_nat(lab: &Lab) -> Result<()> {
    let (none, address) = ("endpoint-independent", "address-dependent");
    let address_and_port = "address-and-port-dependent";
    let table = [
        (NatKind::Open, "open", none, none),
        (NatKind::FullCone, "full-cone", none, none),
        (NatKind::Restricted, "restricted", none, address),
        (NatKind::PortRestricted, "port-restricted", none, address_and_port),
        (NatKind::Symmetric, "symmetric", address_and_port, address_and_port),
    ];
    std::thread::scope(|scope| {
        let checks = table.map(|(nat, class, mapping, filtering)| {
            scope.spawn(move || check_nat(lab, nat, class, mapping, filtering))
        });
        checks.into_iter().try_for_each(|check| match check.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

fn check_nat(lab: &Lab, nat: NatKind, class: &str, mapping: &str, filtering: &str) -> Result<()> {
    let side = lab.side(nat)?;
    // The server may still be starting. A request opens a NAT for too short a time to matter.
    let found = wait::until("the server responds", READY_DEADLINE, || {
        let found = netcheck(Place::On(&side.host))?;
        Ok((!found["nat"].is_null()).then_some(found))
    })?;
    let is = |key: &str, expected: &str| found["nat"][key] == expected;
    ensure!(is("class", class), "{nat}: {found}");
    ensure!(is("mapping", mapping), "{nat}: {found}");
    ensure!(is("filtering", filtering), "{nat}: {found}");
    Ok(())
}

/// A public address cannot be reached if a firewall drops unsolicited packets.
///
/// Takes about 6 s: netcheck sends two requests whose responses the firewall drops, four times each
/// at intervals of 0.4 s, and asks twice for a router, for 1.2 s.
#[test]
fn netcheck_distinguishes_a_firewall_from_an_open_address() {
    let needs = [Need::Lab, Need::Program, Need::Tool("turnserver")];
    scene("netcheck_distinguishes_a_firewall_from_an_open_address", &needs, |scene| {
        let lab = Lab::new("netcheck-firewall")?;
        let _server = start_coturn(scene, &lab)?;
        let side = lab.side(NatKind::Open)?;
        let found = wait::until("the server responds", READY_DEADLINE, || {
            let found = netcheck(Place::On(&side.host))?;
            Ok((!found["nat"].is_null()).then_some(found))
        })?;
        ensure!(found["nat"]["class"] == "open", "{found}");
        let rules = "table ip firewall {
            chain arriving {
                type filter hook input priority filter;
                meta l4proto udp ct state new drop
            }
        }";
        let nft = side.host.command("nft").arg(rules).status()?;
        ensure!(nft.success(), "nft takes the firewall's rules");
        let found = netcheck(Place::On(&side.host))?;
        ensure!(found["nat"]["class"] == "filtered", "{found}");
        ensure!(found["nat"]["filtering"] == "address-and-port-dependent", "{found}");
        ensure!(found["nat"]["hairpinning"].is_null(), "{found}");
        Ok(())
    });
}

/// Takes about 8 s: netcheck waits 5 s for STUN over UDP, 1.6 s for NAT behavior discovery and 1.2
/// s for a router.
#[test]
fn netcheck_reports_blocked_udp_with_advice() {
    let needs = [Need::Lab, Need::Program, Need::Tool("turnserver")];
    scene("netcheck_reports_blocked_udp_with_advice", &needs, |scene| {
        let lab = Lab::new("netcheck-blocked")?;
        let _server = start_coturn(scene, &lab)?;
        let side = lab.side(NatKind::UdpBlocked)?;
        let found = netcheck(Place::On(&side.host))?;
        let checks = found["checks"].as_array().context("a list of checks")?;
        let of = |what: &str| checks.iter().find(|check| check["what"] == what);
        let udp = of("STUN over UDP").context("UDP was tried")?;
        ensure!(udp["result"] == "failed" && udp["advice"].is_string(), "{found}");
        ensure!(found["nat"].is_null(), "{found}");
        Ok(())
    });
}

#[test]
fn netcheck_reports_missing_ipv6_with_advice() {
    let needs = [Need::Lab, Need::Program];
    scene("netcheck_reports_missing_ipv6_with_advice", &needs, |_| {
        let lab = Lab::new("netcheck-ipv4")?;
        let side = lab.side(NatKind::Open)?;
        let found = netcheck_of(Place::On(&side.host), "2001:db8::1")?;
        let checks = found["checks"].as_array().context("a list of checks")?;
        for what in ["STUN over UDP", "STUN over TCP"] {
            let check = checks.iter().find(|check| check["what"] == what);
            let advice = check.and_then(|check| check["advice"].as_str()).unwrap_or_default();
            ensure!(advice.contains("enable IPv6"), "{what}: {found}");
        }
        ensure!(found["ipv6"] == false, "{found}");
        Ok(())
    });
}

/// Starts coturn at two addresses and two ports of the lab's server.
fn start_coturn(scene: &Scene, lab: &Lab) -> Result<Program> {
    lab.server().add_address(SECOND_ADDRESS)?;
    let mut command = Place::On(lab.server()).command("turnserver");
    let in_folder = |name: &str| scene.folder().join(name);
    command
        .args(["-n", "--stun-only", "--no-cli", "--no-tls", "--no-dtls", "--log-file", "stdout"])
        .args(["-L", &SERVER_ADDRESS.to_string(), "-L", &SECOND_ADDRESS.to_string()])
        .args(["--listening-port", "3478", "--alt-listening-port", "3479"])
        .arg("--pidfile")
        .arg(in_folder("coturn.pid"))
        .arg("--userdb")
        .arg(in_folder("coturn.sqlite"));
    Program::start(scene, "coturn", &mut command)
}

/// Starts `porthole turn` at the same addresses and ports.
fn start_porthole(scene: &Scene, lab: &Lab) -> Result<Program> {
    lab.server().add_address(SECOND_ADDRESS)?;
    let file = scene.folder().join("turn.toml");
    let text = format!(
        "[turn]\nlisten = ['{SERVER_ADDRESS}:3478']\n\
         discovery_address = '{SECOND_ADDRESS}:3479'\nusers.anna = 'secret'\n",
    );
    std::fs::write(&file, text)?;
    let mut command = Place::On(lab.server()).command(binary()?);
    Program::start(scene, "turn", command.arg("turn").arg("--config").arg(&file))
}

fn netcheck(place: Place<'_>) -> Result<Value> {
    netcheck_of(place, &SERVER_ADDRESS.to_string())
}

/// Runs `porthole netcheck --json` against a server.
fn netcheck_of(place: Place<'_>, server: &str) -> Result<Value> {
    let output =
        place.command(binary()?).args(["netcheck", "--server", server, "--json"]).output()?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).with_context(|| format!("netcheck printed {errors}"))
}
