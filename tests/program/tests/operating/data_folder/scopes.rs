//! Data folders of 30 November 2026 with access tokens.

use anyhow::ensure;
use porthole_test_support::porthole::Server;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, scene};
use serde_json::{Value, json};

use super::{check_private, copy_of};

/// Access tokens of the folder of 30 November 2026 with accounts elsewhere: of an admin, and of a
/// viewer.
const TOKENS_OF_FOURTEEN: [&str; 2] = [
    "ph_p_NL1AcA480puspDJLr6Wnz5kOD_AtruRDnJcn01VQE",
    "ph_5qtquwI-23gDUx84mMsCbBE-qXRFN3qBaISU8kFweqE",
];

/// Takes about 3 s.
#[test]
fn a_data_folder_from_before_tokens_had_scopes_goes_on_working() {
    let name = "a_data_folder_from_before_tokens_had_scopes_goes_on_working";
    scene(name, &[Need::Program], |scene| {
        let data = copy_of(scene, "2026-11-30-identities")?;
        let server = Server::start_in(scene, Place::Here, data.clone(), &[])?;
        check_private(&data.join("signaling.sqlite3.v14"))?;
        let [admin, viewer] = TOKENS_OF_FOURTEEN;
        for list in ["cameras", "gateways", "claims", "users", "tokens", "shares", "audit"] {
            let path = format!("/api/v1/{list}");
            let found = [admin, viewer].map(|token| server.get(&path, Some(token)));
            let [of_admin, of_viewer] = [found[0].as_ref(), found[1].as_ref()]
                .map(|found| found.map_or(0, |response| response.status));
            let expected = if list == "cameras" { 200 } else { 403 };
            ensure!((of_admin, of_viewer) == (200, expected), "{list}: {found:?}");
        }
        let table = server.command(&["token", "list"])?;
        ensure!(table.contains("script") && !table.contains("admin:"), "{table}");
        // It still gives everything, and what it had given is still there.
        let all = json!({"name": "again", "role": "admin"});
        let again = server.post("/api/v1/tokens", Some(admin), &all)?;
        ensure!(again.status == 200, "{again:?}");
        let tokens = server.get("/api/v1/tokens", Some(admin))?.body;
        ensure!(tokens.matches(r#""giver":"script""#).count() == 2, "{tokens}");
        ensure!(!tokens.contains("scopes"), "{tokens}");
        let scopes =
            ["token", "create", "--role", "admin", "--name", "n", "--scope", "read", "--scope"];
        server.command(&[&scopes[..], &["audit"]].concat())?;
        let table = server.command(&["token", "list"])?;
        ensure!(table.contains("admin: read audit"), "{table}");
        Ok(())
    });
}

/// Access tokens of the folder of 30 November 2026 with scopes: one that has given the second, and
/// one with each scope.
const TOKENS_OF_SIXTEEN: [&str; 3] = [
    "ph_FeUQWAce6-1XDuwSrojyknKhCpUMEN90lxM-dJi9dG0",
    "ph_36KtggUrB9CWZXmJO39lOwLM3DjGivLXhc-1JQ3EnNE",
    "ph_FQuqUTCfPhBaGzUiq4TR_fqlMJ1lF7rvLdVNU8soWQk",
];

/// Takes about 3 s.
#[test]
fn a_data_folder_from_before_tokens_were_counted_by_chains_goes_on_working() {
    let name = "a_data_folder_from_before_tokens_were_counted_by_chains_goes_on_working";
    scene(name, &[Need::Program], |scene| {
        let data = copy_of(scene, "2026-11-30-scopes")?;
        let server = Server::start_in(scene, Place::Here, data.clone(), &[])?;
        check_private(&data.join("signaling.sqlite3.v16"))?;
        let [script, child, all] = TOKENS_OF_SIXTEEN;
        let events = server.get("/api/v1/audit", Some(script))?.json()?;
        let events = events["events"].as_array().cloned().unwrap_or_default();
        let old = events.iter().filter(|event| event["kind"] == "tokenCreated");
        ensure!(old.filter(|event| event["actorSubject"].is_null()).count() == 5, "{events:?}");
        // What `child` has given counts as `child`, which was given by an administrator's token.
        let new = json!({"name": "more", "role": "viewer"});
        let give = |giver| server.post("/api/v1/tokens", Some(giver), &new);
        for number in 1..64 {
            let given = give(child)?;
            ensure!(given.status == 200, "{number}: {given:?}");
        }
        for (giver, expected) in [(child, 409), (script, 200), (all, 200)] {
            let given = give(giver)?;
            ensure!(given.status == expected, "{giver}: {given:?}");
        }
        let events = server.get("/api/v1/audit", Some(script))?.json()?;
        let subjects = events["events"].as_array().into_iter().flatten();
        let mut subjects: Vec<_> = subjects.map(|event| event["actorSubject"].clone()).collect();
        subjects.retain(|subject| !subject.is_null());
        ensure!(subjects.first() == Some(&Value::from("token:4")), "{subjects:?}");
        Ok(())
    });
}
