use std::cmp::Reverse;
use std::net::SocketAddr;

use super::*;
use crate::ice::CandidateKind;
use crate::port_mapping::{Mapping, Protocol};

const MS: Duration = Duration::from_millis(1);

/// Creates a transport with one address.
fn transport(now: Instant, role: Role, address: SocketAddr, seed: u64) -> PeerTransport {
    let identity = Identity::generate().unwrap();
    let config =
        TransportConfig { identity, ice_servers: Vec::new(), turn_only: false, role, seed };
    let mut transport = PeerTransport::new(now, config);
    transport.set_addresses(now, &[address]);
    transport.handle_reflexive_complete(now);
    transport
}

/// Returns the description of a transport for its peer, which has this role in DTLS.
fn remote(transport: &PeerTransport, role: DtlsRole) -> RemoteTransport {
    RemoteTransport {
        credentials: transport.local_credentials().clone(),
        fingerprint: transport.fingerprint(),
        role,
        ice_lite: false,
        ice_pacing: None,
    }
}

#[test]
fn a_handshake_that_begins_before_the_check_has_succeeded_loses_no_time() {
    let addresses: [SocketAddr; 2] =
        ["192.168.1.2:5000".parse().unwrap(), "192.168.1.3:5000".parse().unwrap()];
    for role in [Role::Controlling, Role::Controlled] {
        let start = Instant::now();
        let peer_role =
            if role == Role::Controlling { Role::Controlled } else { Role::Controlling };
        let mut pair =
            [transport(start, role, addresses[0], 1), transport(start, peer_role, addresses[1], 2)];
        // The second one is the DTLS client.
        let (server, client) =
            (remote(&pair[1], DtlsRole::Server), remote(&pair[0], DtlsRole::Client));
        pair[0].set_remote(start, server).unwrap();
        pair[1].set_remote(start, client).unwrap();
        let mut network: Vec<(Instant, usize, Datagram)> = Vec::new();
        let mut ready = [None; 2];
        let mut now = start;
        for _ in 0..2000 {
            for at in 0..2 {
                while let Some(output) = pair[at].poll_output() {
                    match output {
                        TransportOutput::Datagram(datagram) => {
                            // The responses to the server's checks take longer.
                            let is_response = datagram.bytes.starts_with(&[1, 1]);
                            let delay = if at == 1 && is_response { 30 } else { 1 };
                            network.push((now + MS * delay, 1 - at, datagram));
                        }
                        TransportOutput::LocalCandidate(candidate) => {
                            pair[1 - at].handle_candidate(now, &candidate);
                        }
                        TransportOutput::Ready => ready[at] = Some(now - start),
                        TransportOutput::TurnTransport(..)
                        | TransportOutput::DescriptionDue
                        | TransportOutput::GatheringComplete
                        | TransportOutput::PathQuiet
                        | TransportOutput::Rtp(_)
                        | TransportOutput::Rtcp(_) => {}
                        TransportOutput::PathLost
                        | TransportOutput::PathRestored
                        | TransportOutput::Closed
                        | TransportOutput::Failed(_) => panic!("{output:?}"),
                    }
                }
            }
            now += MS / 4;
            for (_, to, datagram) in network.extract_if(.., |(due, ..)| *due <= now) {
                let base = LocalBase::Socket(datagram.to);
                pair[to].handle_datagram(now, base, datagram.from, &datagram.bytes);
            }
            pair.iter_mut().for_each(|transport| transport.handle_timeout(now));
        }
        for (who, ready) in ["server", "client"].iter().zip(ready) {
            let took = ready.unwrap();
            assert!(took < MS * 60, "{who}: {took:?}");
        }
    }
}

#[test]
fn a_port_that_a_router_forwards_is_the_first_reflexive_candidate_until_it_is_gone() {
    let now = Instant::now();
    let base: SocketAddr = "192.168.1.2:5000".parse().unwrap();
    let mut transport = transport(now, Role::Controlling, base, 1);
    let seen = "203.0.113.7:61000";
    transport.handle_reflexive(now, base, seen.parse().unwrap());
    let (first, other) = ("203.0.113.7:5000", "203.0.113.7:5001");
    let near = "10.0.0.7:5000";
    for (external, expected) in [
        (Some(first), vec![first, seen]),
        (Some(first), vec![first, seen]),
        (Some(other), vec![other, seen]),
        // Another router stands before ours.
        (Some(near), vec![seen, near]),
        (Some("100.64.0.7:5000"), vec![seen, "100.64.0.7:5000"]),
        (Some("127.0.0.1:5000"), vec![seen]),
        (Some(first), vec![first, seen]),
        (None, vec![seen]),
    ] {
        let mapping = external.map(|external| Mapping {
            protocol: Protocol::Pcp,
            internal: "192.168.1.2:5000".parse().unwrap(),
            external: external.parse().unwrap(),
        });
        transport.set_mapping(now, mapping);
        let candidates = transport.agent.local_candidates();
        let mut found: Vec<_> =
            candidates.filter(|one| one.kind == CandidateKind::ServerReflexive).collect();
        found.sort_by_key(|one| Reverse(one.priority));
        let addresses: Vec<_> = found.iter().map(|one| one.address.to_string()).collect();
        assert_eq!(addresses, expected, "{external:?}");
        assert!(found.iter().all(|one| one.related == Some(base)), "{found:?}");
        assert!(found.is_sorted_by(|a, b| a.priority > b.priority), "{found:?}");
    }
}
