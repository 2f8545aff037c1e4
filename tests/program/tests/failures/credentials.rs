//! Invalid and expired claim codes and tokens.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use porthole_test_support::http::Response;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::wait;
use serde_json::{Value, json};

use crate::installation::{Installation, NEEDS};
use crate::process::{porthole, run_to_end};
use crate::sentence::check_sentence;
use crate::websocket::{Client, Closed};

/// A small picture, because this machine encodes it.
const SOURCE: &str = "test:640x360@15";
/// Long enough for the token to be used, short enough to wait for its expiry.
const LIFETIME: &str = "4s";
const EXPIRY_DEADLINE: Duration = Duration::from_secs(20);

#[test]
fn an_invalid_claim_code_is_refused_and_the_error_says_how_to_get_a_new_one() {
    let needs = [&NEEDS[..], &[Need::Tool("python3")]].concat();
    scene(
        "an_invalid_claim_code_is_refused_and_the_error_says_how_to_get_a_new_one",
        &needs,
        |scene| {
            let mut installation = Installation::start(scene, Place::Here, &[])?;
            let used = installation.server.claim()?;
            let mut command = gateway(scene, &installation, "known", Some(&used))?;
            let _known = Program::start(scene, "known", &mut command)?;
            installation.wait_for_live("known")?;
            let expired = installation.server.claim()?;
            expire_claims(installation.server.data())?;

            let advice = "`porthole claim create`";
            for (case, claim, names) in [
                ("expired", Some(expired.as_str()), ["the claim code has expired", advice]),
                ("used", Some(&used), ["has already been used", advice]),
                ("made-up", Some("AAAA-BBBB-CCCC-DDDD"), ["is wrong", advice]),
                ("none", None, ["create a claim code", "--claim"]),
            ] {
                let mut command = gateway(scene, &installation, case, claim)?;
                let ended = run_to_end(scene, case, &mut command)?;
                let secrets: Vec<_> = claim.into_iter().collect();
                ended.check(1, &names, &secrets).context(case)?;
            }

            // The refused gateway enrols with a new code and its unchanged key.
            let fresh = installation.server.claim()?;
            let mut command = gateway(scene, &installation, "expired", Some(&fresh))?;
            let _enrolled = Program::start(scene, "enrolled", &mut command)?;
            installation.wait_for_live("expired")?;
            installation.wait_for_live("known")?;
            installation.check_unharmed()
        },
    );
}

/// Returns the command `porthole gateway` with one camera, named like the gateway.
fn gateway(
    scene: &Scene,
    installation: &Installation<'_>,
    name: &str,
    claim: Option<&str>,
) -> Result<Command> {
    let mut command = porthole(&["gateway", "--server", &installation.server.url("")])?;
    command.arg("--data").arg(scene.data(name)?);
    command.args(["--camera", &format!("{name}={SOURCE}")]);
    command.args(claim.map(|claim| ["--claim", claim]).into_iter().flatten());
    Ok(command)
}

/// Expires every claim code, in the database of the running server.
fn expire_claims(data: &Path) -> Result<()> {
    const SCRIPT: &str = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1], timeout=5); \
                          d.execute('UPDATE claims SET expires_s = 1'); d.commit()";
    let file = data.join("signaling.sqlite3");
    ensure!(file.is_file(), "{} is missing", file.display());
    let output = Command::new("/usr/bin/python3").args(["-c", SCRIPT]).arg(file).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Waits 4 s until the token expires.
#[test]
fn an_expired_token_is_refused_everywhere_and_says_so() {
    scene("an_expired_token_is_refused_everywhere_and_says_so", &NEEDS, |scene| {
        let mut installation = Installation::start(scene, Place::Here, &[])?;
        let expiring = installation.server.token("viewer", &["--expires", LIFETIME])?;
        let mut open = Client::open(&installation.server, Some(&expiring))?
            .map_err(|refusal| anyhow!("refused before it expires: {refusal}"))?;
        let registered = open.request("register", &json!({}))?;
        ensure!(registered["result"].is_object(), "{registered}");

        let refused = wait::until("the token expires", EXPIRY_DEADLINE, || {
            let response = installation.server.get("/api/v1/cameras", Some(&expiring))?;
            Ok((response.status != 200).then_some(response))
        })?;
        let posted = installation.server.post("/whep/demo", Some(&expiring), &json!({}))?;
        for (case, (status, sentence)) in [
            ("the list of cameras", refusal(&refused)?),
            ("WHEP", refusal(&posted)?),
            ("the address of a WebSocket", refusal_of_handshake(&installation, &expiring)?),
            ("register", refusal_of_register(&installation, &expiring)?),
        ] {
            ensure!(status == 401, "{case}: status {status}, {sentence}");
            check_sentence(&sentence, &["token has expired", "new one"], &[&expiring])
                .context(case)?;
        }
        // The connection that was opened with the token is closed.
        let Closed { code, reason } = open.wait_for_close(EXPIRY_DEADLINE)?;
        ensure!(code == 4401, "closed with {code}: {reason}");
        check_sentence(&reason, &["token has expired"], &[&expiring])?;

        let response = installation.server.get("/api/v1/cameras", Some(&installation.token))?;
        ensure!(response.status == 200, "the other token is refused too: {}", response.body);
        installation.check_unharmed()
    });
}

/// Returns the status and the sentence of a refusal.
fn refusal(response: &Response) -> Result<(i64, String)> {
    let body: Value = serde_json::from_str(&response.body).context("not JSON")?;
    Ok((response.status.into(), text(&body["error"])?))
}

fn refusal_of_handshake(installation: &Installation<'_>, token: &str) -> Result<(i64, String)> {
    let Err(refusal) = Client::open(&installation.server, Some(token))? else {
        bail!("the expired token opens a WebSocket");
    };
    Ok((refusal["status"].as_i64().context("a status")?, text(&refusal["error"])?))
}

fn refusal_of_register(installation: &Installation<'_>, token: &str) -> Result<(i64, String)> {
    let mut client = Client::open(&installation.server, None)?.map_err(|_| anyhow!("refused"))?;
    let response = client.request("register", &json!({ "authorization": token }))?;
    let error = &response["error"];
    Ok((error["code"].as_i64().context("a code")?, text(&error["message"])?))
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().with_context(|| format!("no text: {value}"))?.to_owned())
}
