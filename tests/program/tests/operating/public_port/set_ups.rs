//! Certificates are replaced while a picture and a relay run, and others begin.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, report, scene};
use porthole_test_support::viewer::Viewer;

use super::client::{Registered, connect};
use super::{DEADLINE, NOTICED_DEADLINE, Port, make};
use crate::certificate::Client;
use crate::rotation::{FREEZE, longest_pause};

/// Interval at which clients begin.
const INTERVAL: Duration = Duration::from_millis(200);
/// Set-ups before the change, and after it.
const AROUND: usize = 10;
const FRAMES: u64 = 15;

/// Clients that have begun one after the other.
#[derive(Debug, Default)]
pub(super) struct SetUps {
    begun: usize,
    failed: Vec<String>,
    slowest: Duration,
}

impl SetUps {
    /// Begins a client every 0.2 s until the closure returns true, and some more after that: by
    /// turns one of signaling, which registers over a WebSocket, and one of the TURN server, which
    /// allocates.
    pub(super) fn until(
        &mut self,
        (port, name): (SocketAddr, &str),
        authority: &str,
        token: &str,
        mut is_over: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        let (start, mut left) = (Instant::now(), AROUND);
        while left > 0 {
            ensure!(start.elapsed() < NOTICED_DEADLINE + DEADLINE, "nothing has changed");
            let begin = Instant::now();
            let done = if self.begun.is_multiple_of(2) {
                connect(port, name, authority, &["http/1.1"])
                    .and_then(|stream| Registered::connect(stream, token))
                    .map(drop)
            } else {
                Client::allocate_with("-tls1_3", port, &["-alpn", "stun.turn"]).map(drop)
            };
            self.begun += 1;
            self.failed.extend(done.err().map(|error| format!("{}: {error:#}", self.begun)));
            self.slowest = self.slowest.max(begin.elapsed());
            if left < AROUND || is_over()? {
                left -= 1;
            }
            std::thread::sleep(INTERVAL.saturating_sub(begin.elapsed()));
        }
        Ok(())
    }

    /// Prints what has happened, and checks that nothing has failed.
    pub(super) fn check(&self, what: &str) -> Result<()> {
        let Self { begun, failed, slowest } = self;
        report(&format!("{what}: {begun} set-ups, {} failed, slowest {slowest:.2?}", failed.len()));
        ensure!(failed.is_empty(), "{}", failed.join("\n"));
        Ok(())
    }
}

/// Takes about 20 s: the server looks at the files of the certificate every ten seconds.
#[test]
fn no_set_up_fails_and_no_picture_stops_when_the_files_of_the_certificate_are_replaced() {
    let name =
        "no_set_up_fails_and_no_picture_stops_when_the_files_of_the_certificate_are_replaced";
    scene(name, &[Need::Program, Need::Viewer, Need::Tool("openssl")], |scene| {
        let mut port = Port::start(scene)?;
        let token = port.server.token("viewer", &[])?;
        port.server.wait_for_camera(&token, "cam", DEADLINE)?;
        let url = port.server.url("");
        let mut running =
            Viewer::start_relayed(scene, "running", Place::Here, &url, &token, "cam")?;
        running.wait_for_frames(FRAMES, DEADLINE)?;
        let mut relay = Client::allocate_with("-tls1_3", port.address, &[])?;
        let (next, next_key) = make(scene, "next")?;
        let both = [std::fs::read(&port.authority)?, std::fs::read(&next)?].concat();
        std::fs::write(&port.authority, both)?;

        let mut set_ups = SetUps::default();
        let steps = || -> Result<()> {
            let mut before = AROUND;
            set_ups.until((port.address, "localhost"), &port.authority, &token, || {
                before = before.saturating_sub(1);
                if before == 1 {
                    std::fs::copy(&next, &port.certificate)?;
                    std::fs::copy(&next_key, &port.key)?;
                }
                let line = "the public port uses a new certificate";
                Ok(port.server.output()?.contains(line))
            })
        };
        let longest = longest_pause(&running, steps)?;
        report(&format!("the picture stood still for {longest:.2?}"));
        set_ups.check("files of the certificate")?;
        ensure!(longest <= FREEZE, "the picture stood still for {longest:?}");
        relay.bind_channel(([127, 0, 0, 1], 9).into()).context("the relay goes on")
    });
}
