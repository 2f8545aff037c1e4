use std::net::SocketAddr;

use super::*;

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
