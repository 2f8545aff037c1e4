//! The limits of TURN credentials that `porthole up` makes for a session.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use porthole_test_support::porthole::Server;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, scene};
use porthole_test_support::turn_client::TestTurnClient;
use porthole_turn_proto::{ClientConfig, Transport, rest_credentials};

/// The allocations that a session may have, as docs/ref/config.md says.
const OF_A_SESSION: usize = 12;

#[test]
fn the_credentials_of_a_session_make_no_more_allocations_than_a_session_needs() {
    let name = "the_credentials_of_a_session_make_no_more_allocations_than_a_session_needs";
    scene(name, &[Need::Program], |scene| {
        let server = Server::start(scene, Place::Here, &[])?;
        let secret = std::fs::read_to_string(server.data().join("turn.secret"))?;
        let end_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 600;
        for session in ["s1", "s2"] {
            let mut clients = Vec::new();
            for number in 0..=OF_A_SESSION {
                let (user, password) = rest_credentials(secret.trim(), session, end_s);
                let config = ClientConfig::new(user, password, Transport::Udp);
                let mut client = TestTurnClient::connect(server.turn(), config)?;
                let is_allocated = client.allocate().is_ok();
                ensure!(is_allocated == (number < OF_A_SESSION), "{session}: allocation {number}");
                clients.push(client);
            }
        }
        Ok(())
    });
}
