//! `porthole discover`: on loopback with addresses, and in the NAT lab with a search.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::cameras;
use porthole_test_support::lab::Lab;
use porthole_test_support::nat::NatKind;
use porthole_test_support::onvif::{self, Fake, Sockets};
use porthole_test_support::porthole::binary;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, scene};
use serde_json::Value;

use crate::probe::own_address;

/// The port of the cameras.
const PORT: u16 = 80;

/// Longest time of a search, whose three rounds take 6 s.
const SEARCH_TIME: Duration = Duration::from_secs(20);

/// Runs `porthole discover --json`.
fn discover(place: Place<'_>, arguments: &[&str]) -> Result<Value> {
    let begun = Instant::now();
    let output = place.command(binary()?).args(["discover", "--json"]).args(arguments).output()?;
    ensure!(begun.elapsed() < SEARCH_TIME, "it took {:?}", begun.elapsed());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).with_context(|| format!("discover printed {errors}"))
}

#[test]
fn the_cameras_of_a_network_are_found_with_the_addresses_that_answer() {
    let name = "the_cameras_of_a_network_are_found_with_the_addresses_that_answer";
    scene(name, &[Need::Lab, Need::Program], |_| {
        let lab = Lab::new("discover")?;
        let home = lab.side(NatKind::PortRestricted)?;
        let mut cameras = Vec::new();
        for (first, named) in [None, Some("192.0.2.88")].into_iter().enumerate() {
            let host = lab.host_behind(&home)?;
            let address = IpAddr::V4(host.address());
            let sockets = host.inside(|| Sockets::open(address, PORT, true))??;
            cameras.push((Fake { named, first, ..Fake::default() }.start(sockets)?, host));
        }
        let found = discover(Place::On(&home.host), &[])?;
        let list = found["cameras"].as_array().context("a list")?;
        for (number, (camera, _)) in cameras.iter().enumerate() {
            let address = camera.http.ip().to_string();
            let entry = list.iter().find(|entry| entry["address"] == address);
            let entry = entry.with_context(|| format!("{address} is not found: {found}"))?;
            ensure!(entry["vendor"] == "Axis" && entry["model"] == "M1065", "{entry}");
            ensure!(entry["mac"] == onvif::mac(number), "{entry}");
        }
        Ok(())
    });
}

/// The responder is Python's zeroconf.
#[test]
fn a_camera_that_only_announces_itself_is_found() {
    let name = "a_camera_that_only_announces_itself_is_found";
    scene(name, &[Need::Lab, Need::Program, Need::Zeroconf], |scene| {
        let lab = Lab::new("announce")?;
        let home = lab.side(NatKind::PortRestricted)?;
        let host = lab.host_behind(&home)?;
        let address = host.address().to_string();
        let flags = ["--port", "80", "--name", "AXIS M1065", "--mac", "00408CABCDEF"];
        let _camera = cameras::start_on(scene, &host, "camera", "announce.py", &flags)?;
        let found = discover(Place::On(&home.host), &[])?;
        let list = found["cameras"].as_array().context("a list")?;
        let entry = list.iter().find(|entry| entry["address"] == address);
        let entry = entry.with_context(|| format!("{address} is not found: {found}"))?;
        ensure!(entry["vendor"] == "Axis" && entry["name"] == "AXIS M1065", "{entry}");
        ensure!(entry["mac"] == "00:40:8c:ab:cd:ef", "{entry}");
        Ok(())
    });
}

#[test]
fn a_machine_that_answers_ten_thousand_times_costs_little() {
    scene("a_machine_that_answers_ten_thousand_times_costs_little", &[Need::Program], |_| {
        let address = own_address();
        let flood = Fake { devices: 10_000, ..Fake::default() };
        let _camera = flood.start(Sockets::open(address, 8000, false)?)?;
        let found = discover(Place::Here, &[&address.to_string(), "--network", "127.0.0.0/8"])?;
        let list = found["cameras"].as_array().context("a list")?;
        ensure!((1..=64).contains(&list.len()), "{} devices at one address", list.len());
        Ok(())
    });
}

#[test]
fn cameras_are_printed_as_they_answer_and_none_is_a_sentence() {
    scene("cameras_are_printed_as_they_answer_and_none_is_a_sentence", &[Need::Program], |_| {
        let address = own_address();
        let arguments = ["discover", &address.to_string(), "--network", "127.0.0.0/8"];
        let output = Place::Here.command(binary()?).args(arguments).output()?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(1), "{}", output.status);
        ensure!(errors.contains("ONVIF is switched on"), "{errors}");
        let _camera = Fake::default().start(Sockets::open(address, 8000, false)?)?;
        let output = Place::Here.command(binary()?).args(arguments).output()?;
        let text = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "{}", output.status);
        ensure!(text.lines().count() == 1 && text.contains("Axis  M1065"), "{text}");
        let elsewhere = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 77)).to_string();
        let output = Place::Here.command(binary()?).args(["discover", &elsewhere]).output()?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(errors.contains("--network") && output.status.code() == Some(1), "{errors}");
        Ok(())
    });
}
