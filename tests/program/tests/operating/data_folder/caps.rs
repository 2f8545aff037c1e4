//! A data folder of 1 December 2026, from before access tokens and share links had limits.

use anyhow::{Context as _, ensure};
use porthole_test_support::porthole::Server;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, scene};
use serde_json::{Value, json};

use super::{DEADLINE, check_private, copy_of};

/// Access tokens of the folder: of an admin, and of a viewer that it has made.
const SCRIPT: &str = "ph_LrCRNNemTyqkn4gtqAVn_j99ald4Gc1YByYUQ1s-ouY";
const CHILD: &str = "ph_V5oOgH4FZNk3_1y4eFzqQNu3du4UCD1dsu8dEyCueuE";
/// The token in its share link.
const LINK: &str = "phs_HXltrEY605BjyUlsI9BVor9it1B7GFlw4RgkgKcJNng";

/// Takes about 4 s.
#[test]
fn a_data_folder_from_before_tokens_and_links_had_limits_goes_on_working() {
    let name = "a_data_folder_from_before_tokens_and_links_had_limits_goes_on_working";
    scene(name, &[Need::Program], |scene| {
        let data = copy_of(scene, "2026-12-01-chains")?;
        let flags = ["--camera", "door=test:320x180@10"];
        let mut server = Server::start_in(scene, Place::Here, data.clone(), &flags)?;
        check_private(&data.join("signaling.sqlite3.v17"))?;
        for token in [SCRIPT, CHILD, LINK] {
            server.wait_for_camera(token, "door", DEADLINE)?;
        }
        let opened = server.post("/api/v1/shares/open", None, &json!({"token": LINK}))?;
        ensure!(opened.status == 200, "{opened:?}");
        for list in ["tokens", "shares"] {
            let found = server.get(&format!("/api/v1/{list}"), Some(SCRIPT))?;
            ensure!(found.status == 200 && !found.body.contains("maxKbitPerS"), "{found:?}");
        }
        // What is made now may have a limit, and gives no larger one.
        let slow = json!({"name": "slow", "role": "admin", "maxKbitPerS": 500});
        let slow = server.post("/api/v1/tokens", Some(SCRIPT), &slow)?.json()?;
        let slow = slow["token"].as_str().context("a token")?;
        for (limit, expected) in
            [(json!(500), 200), (json!(501), 403), (Value::Null, 403), (json!(63), 422)]
        {
            let new = json!({"name": "n", "role": "viewer", "maxKbitPerS": limit});
            let given = server.post("/api/v1/tokens", Some(slow), &new)?;
            ensure!(given.status == expected, "{limit}: {given:?}");
        }
        let list = server.command(&["token", "list"])?;
        ensure!(list.matches("500 kbit/s").count() == 2, "{list}");
        let link = ["share", "create", "hall", "--camera", "door", "--max-kbit-per-s", "1000"];
        server.command(&link)?;
        let list = server.command(&["share", "list"])?;
        ensure!(list.matches("1000 kbit/s").count() == 1, "{list}");
        Ok(())
    });
}
