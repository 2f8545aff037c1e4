//! The TURN servers elsewhere that sessions are offered: each makes an allocation, as for a viewer.

use porthole_signaling::TurnServer;

use super::Patient;
use super::finding::Finding;
use crate::config::MAIN_SERVER;
use crate::turn_servers::{Outcome, UrlCheck};
use crate::{data, turn_servers};

/// Checks each TURN server of the signaling server; that of `up` itself is checked as a port.
pub(super) async fn check(patient: &Patient<'_>) -> Vec<Finding> {
    if !patient.has_signaling() {
        return Vec::new();
    }
    let config = patient.config;
    let turn = match patient.has_turn() {
        true => {
            let mut config = config.clone();
            let secret = config.turn.secret.take();
            config.turn.secret = secret.or_else(|| data::existing_turn_secret(&config.data));
            turn_servers::of_up(&config, Vec::new())
        }
        false => turn_servers::of_signaling(config),
    };
    let servers = match turn {
        Ok(turn) => turn.map(|turn| turn.servers).unwrap_or_default(),
        Err(error) => {
            let advice = "give each TURN server its secret";
            return vec![Finding::failure("TURN servers", error.to_string(), advice)];
        }
    };
    let mut findings = Vec::new();
    for server in servers.iter().filter(|server| server.has_users()) {
        let checks = turn_servers::check(server, &patient.turn_tls).await;
        findings.push(finding(server, &checks));
    }
    findings
}

/// Returns what the checks of the URLs of a server say.
fn finding(server: &TurnServer, checks: &[UrlCheck]) -> Finding {
    let subject = match server.name.as_str() {
        MAIN_SERVER => "TURN server of turn_urls".to_owned(),
        name => format!("TURN server {name}"),
    };
    let sentence = |check: &UrlCheck| {
        let over = check.transport.name().to_uppercase();
        match &check.outcome {
            Outcome::Works => format!("relays over {over}"),
            Outcome::Refuses(reason) | Outcome::Fails(reason) => {
                format!("does not over {over}: {reason}")
            }
        }
    };
    let text = checks.iter().map(sentence).collect::<Vec<_>>().join("; ");
    let all_work = checks.iter().all(|check| check.outcome == Outcome::Works);
    match turn_servers::outcome(checks) {
        Outcome::Works if checks.is_empty() => {
            Finding::ok(subject, "not checked: it is reached over DTLS alone")
        }
        Outcome::Works if all_work => Finding::ok(subject, text),
        Outcome::Works => {
            let advice = "clients in networks that let nothing else out need each of its URLs";
            Finding::warning(subject, text, advice)
        }
        Outcome::Refuses(_) => {
            let advice = "right while it is being stopped; else raise its limits, or add another \
                          server";
            Finding::warning(subject, text, advice)
        }
        Outcome::Fails(_) => {
            let advice = "start it, let its ports through, and compare its turn.secret with the \
                          secret here and its clock with this one";
            Finding::failure(subject, text, advice)
        }
    }
}

#[cfg(test)]
mod tests {
    use porthole_turn_proto::Transport;

    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_turn_server_is_right_if_all_of_its_urls_relay() {
        let server = TurnServer {
            name: "north".to_owned(),
            urls: vec!["turn:a".to_owned()],
            secret: Vec::new(),
            weight: TurnServer::USUAL_WEIGHT,
            region: None,
        };
        let fails = || Outcome::Fails("no response in time".to_owned());
        let full = || Outcome::Refuses("the TURN server is full".to_owned());
        for (outcomes, level, sentence) in [
            (vec![], Level::Ok, "not checked"),
            (vec![Outcome::Works, Outcome::Works], Level::Ok, "relays over UDP; relays over TCP"),
            (vec![Outcome::Works, fails()], Level::Warning, "not over TCP: no response"),
            (vec![fails(), full()], Level::Warning, "not over TCP: the TURN server is full"),
            (vec![fails(), fails()], Level::Failure, "not over UDP: no response"),
        ] {
            let transports = [Transport::Udp, Transport::Tcp].into_iter();
            let checks = transports.zip(outcomes);
            let checks: Vec<_> =
                checks.map(|(transport, outcome)| UrlCheck { transport, outcome }).collect();
            let found = finding(&server, &checks);
            assert_eq!((found.level, found.subject.as_str()), (level, "TURN server north"));
            assert!(found.text.contains(sentence), "{found:?}");
            assert_eq!(found.advice.is_some(), level != Level::Ok, "{found:?}");
        }
    }
}
