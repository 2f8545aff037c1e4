//! Claim codes and tokens that are worth nothing any more.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use porthole_test_support::http::Answer;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::wait;
use serde_json::{Value, json};

use crate::house::{House, NEEDS, porthole, run_to_end};
use crate::websocket::{Client, Closed};
use crate::words::check_sentence;

/// Small, as it is made on this machine.
const SOURCE: &str = "test:640x360@15";
/// Long enough to be used, short enough to be waited for.
const LIFETIME: &str = "4s";
const EXPIRY_DEADLINE: Duration = Duration::from_secs(20);

#[test]
fn a_claim_code_that_is_worth_nothing_says_where_a_new_one_comes_from() {
    let needs = [&NEEDS[..], &[Need::Tool("python3")]].concat();
    scene("a_claim_code_that_is_worth_nothing_says_where_a_new_one_comes_from", &needs, |scene| {
        let mut house = House::start(scene, Place::Here, &[])?;
        let used = house.server.claim()?;
        let mut command = gateway(scene, &house, "known", Some(&used))?;
        let _known = Program::start(scene, "known", &mut command)?;
        house.wait_for_live("known")?;
        let expired = house.server.claim()?;
        expire_claims(house.server.data())?;

        let again = "`porthole claim create`";
        for (case, claim, names) in [
            ("expired", Some(expired.as_str()), ["the claim code has expired", again]),
            ("used", Some(&used), ["was used already", again]),
            ("made-up", Some("AAAA-BBBB-CCCC-DDDD"), ["is wrong", again]),
            ("none", None, ["make a claim code", "--claim"]),
        ] {
            let mut command = gateway(scene, &house, case, claim)?;
            let ended = run_to_end(scene, case, &mut command)?;
            let secrets: Vec<_> = claim.into_iter().collect();
            ended.check(1, &names, &secrets).context(case)?;
        }

        // The gateway that was turned away is let in with a new code, its key unchanged.
        let fresh = house.server.claim()?;
        let mut command = gateway(scene, &house, "expired", Some(&fresh))?;
        let _let_in = Program::start(scene, "let-in", &mut command)?;
        house.wait_for_live("expired")?;
        house.wait_for_live("known")?;
        house.check_unharmed()
    });
}

/// `porthole gateway` with one camera of its own name.
fn gateway(scene: &Scene, house: &House<'_>, name: &str, claim: Option<&str>) -> Result<Command> {
    let mut command = porthole(&["gateway", "--server", &house.server.url("")])?;
    command.arg("--data").arg(scene.data(name)?);
    command.args(["--camera", &format!("{name}={SOURCE}")]);
    command.args(claim.map(|claim| ["--claim", claim]).into_iter().flatten());
    Ok(command)
}

/// Moves the end of every claim code to 1970, in the database of the running server.
fn expire_claims(data: &Path) -> Result<()> {
    const SCRIPT: &str = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1], timeout=5); \
                          d.execute('UPDATE claims SET expires_s = 1'); d.commit()";
    let file = data.join("signaling.sqlite3");
    ensure!(file.is_file(), "the database is not where it was");
    let output = Command::new("/usr/bin/python3").args(["-c", SCRIPT]).arg(file).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn an_expired_token_is_refused_everywhere_and_says_so() {
    scene("an_expired_token_is_refused_everywhere_and_says_so", &NEEDS, |scene| {
        let mut house = House::start(scene, Place::Here, &[])?;
        let expiring = house.server.token("viewer", &["--expires", LIFETIME])?;
        let mut open = Client::open(&house.server, Some(&expiring))?
            .map_err(|refusal| anyhow!("refused before its time: {refusal}"))?;
        let registered = open.ask("register", &json!({}))?;
        ensure!(registered["result"].is_object(), "{registered}");

        let refused = wait::until("the token expires", EXPIRY_DEADLINE, || {
            let answer = house.server.get("/api/v1/cameras", Some(&expiring))?;
            Ok((answer.status != 200).then_some(answer))
        })?;
        let posted = house.server.post("/whep/demo", Some(&expiring), &json!({}))?;
        for (case, said) in [
            ("the list of cameras", said(&refused)?),
            ("WHEP", said(&posted)?),
            ("the address of a WebSocket", said_by_handshake(&house, &expiring)?),
            ("register", said_by_register(&house, &expiring)?),
        ] {
            let (status, sentence) = said;
            ensure!(status == 401, "{case}: status {status}, {sentence}");
            check_sentence(&sentence, &["token has expired", "new one"], &[&expiring])
                .context(case)?;
        }
        // Whoever came in with it is shown out.
        let Closed { code, reason } = open.closed(EXPIRY_DEADLINE)?;
        ensure!(code == 4401, "closed with {code}: {reason}");
        check_sentence(&reason, &["token has expired"], &[&expiring])?;

        let answer = house.server.get("/api/v1/cameras", Some(&house.token))?;
        ensure!(answer.status == 200, "the other token is refused too: {}", answer.body);
        house.check_unharmed()
    });
}

/// The status and the sentence of a refusal.
fn said(answer: &Answer) -> Result<(i64, String)> {
    let body: Value = serde_json::from_str(&answer.body).context("not JSON")?;
    Ok((answer.status.into(), text(&body["error"])?))
}

fn said_by_handshake(house: &House<'_>, token: &str) -> Result<(i64, String)> {
    let Err(refusal) = Client::open(&house.server, Some(token))? else {
        bail!("the token opens a WebSocket");
    };
    Ok((refusal["status"].as_i64().context("a status")?, text(&refusal["error"])?))
}

fn said_by_register(house: &House<'_>, token: &str) -> Result<(i64, String)> {
    let mut client = Client::open(&house.server, None)?.map_err(|_| anyhow!("refused"))?;
    let response = client.ask("register", &json!({ "authorization": token }))?;
    let error = &response["error"];
    Ok((error["code"].as_i64().context("a code")?, text(&error["message"])?))
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().with_context(|| format!("no text: {value}"))?.to_owned())
}
