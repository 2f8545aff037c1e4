//! The router: whether it forwards a port at a gateway's request.

use porthole_gateway::port_mapping::{self, Standing, State};

use super::Patient;
use super::finding::Finding;

const SUBJECT: &str = "router";

/// Asks the router for a port, as a gateway does, and gives it back.
pub(super) async fn check(patient: &Patient<'_>) -> Option<Finding> {
    let gateway = &patient.config.gateway;
    let protocols = gateway.port_mapping.protocols().filter(|_| !gateway.turn_only)?;
    Some(finding(port_mapping::try_once(protocols).await?))
}

fn finding(state: State) -> Finding {
    match state {
        State::Mapped(mapping) => {
            let (protocol, address) = (mapping.protocol, mapping.external.ip());
            let text = format!("it forwards a port at {address} with {protocol}");
            let standing = mapping.standing();
            if standing == Standing::Public {
                return Finding::ok(SUBJECT, text);
            }
            let advice = "video to viewers elsewhere may need the TURN server; to avoid it, use \
                          one router only (the other one as a bridge), or ask the provider for a \
                          public address or for IPv6";
            Finding::warning(SUBJECT, text + standing.describe(), advice)
        }
        State::Unmapped(reason) => Finding::ok(SUBJECT, format!("it forwards no port: {reason}")),
        State::NotNeeded => Finding::ok(SUBJECT, "the machine has a public address"),
        State::Unknown => Finding::ok(SUBJECT, "it forwards no port: it did not answer in time"),
    }
}

#[cfg(test)]
mod tests {
    use porthole_gateway::port_mapping::{Mapping, Protocol};

    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_router_that_not_everybody_reaches_is_a_warning() {
        let mapped = |external: &str| {
            State::Mapped(Mapping {
                protocol: Protocol::Pcp,
                internal: "192.168.1.2:4000".parse().unwrap(),
                external: external.parse().unwrap(),
            })
        };
        for (state, level, sentence) in [
            (mapped("203.0.113.7:1"), Level::Ok, "at 203.0.113.7 with PCP"),
            (mapped("192.168.0.7:1"), Level::Warning, "another router"),
            (mapped("100.64.0.7:1"), Level::Warning, "CGNAT"),
            (State::Unmapped("it is full"), Level::Ok, "no port: it is full"),
            (State::NotNeeded, Level::Ok, "public address"),
            (State::Unknown, Level::Ok, "in time"),
        ] {
            let found = finding(state);
            assert_eq!(found.level, level, "{found:?}");
            assert!(found.text.contains(sentence), "{found:?}");
            assert_eq!(found.advice.is_some(), level == Level::Warning, "{found:?}");
        }
    }
}
