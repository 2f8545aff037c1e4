//! Advice for each kind of failure.

use std::borrow::Cow;
use std::net::SocketAddr;

use porthole_turn_proto::{FailureReason, Transport};
use tokio_rustls::rustls::CertificateError;

use super::probe::ProbeError;

type Advice = Cow<'static, str>;

/// Returns advice for a Binding request that failed.
pub(super) fn for_binding(server: SocketAddr, transport: Transport, error: &ProbeError) -> Advice {
    let if_blocked = match transport {
        Transport::Udp | Transport::Dtls => {
            "Allow outgoing UDP to this port, and check that the server is running and listens for \
             UDP there: a missing response does not tell which of them is the problem. Without UDP \
             no video is direct; all of it is relayed by TURN over TCP."
        }
        Transport::Tls => {
            "Allow TLS to this port: it is the way out of networks that allow only web traffic."
        }
        Transport::Tcp => "Allow TCP to this port: it is the way out of networks that block UDP.",
    };
    advice(server, transport, error, if_blocked)
}

/// Returns advice for an allocation that failed.
pub(super) fn for_allocation(
    server: SocketAddr,
    transport: Transport,
    error: &ProbeError,
) -> Advice {
    let if_blocked = "Allow this port: without TURN, pairs of strict NATs cannot connect.";
    advice(server, transport, error, if_blocked)
}

/// `if_blocked` is the advice for failures of the network between this machine and the server.
fn advice(
    server: SocketAddr,
    transport: Transport,
    error: &ProbeError,
    if_blocked: &'static str,
) -> Advice {
    let advice = match error {
        ProbeError::Turn(reason) => return for_refusal(*reason, if_blocked),
        ProbeError::Certificate(error) => for_certificate(error),
        ProbeError::Unreachable if server.is_ipv6() => {
            "There is no route to the server over IPv6: enable IPv6 on the router, or name the \
             server by its IPv4 address to skip this check."
        }
        ProbeError::Unreachable => {
            "This machine has no route to the server: check its network connection and its default \
             gateway."
        }
        ProbeError::Refused => {
            "Nothing listens on this port, or a firewall rejects it: check that the server is \
             running, that it listens on this port, and that the port is forwarded to it."
        }
        ProbeError::InvalidResponse => NOT_A_SERVER,
        ProbeError::Other(_) if transport == Transport::Tls => {
            "The TLS handshake fails on this port: check that the server has TLS there \
             (turn.listen_tls and a certificate), or give the port that has it."
        }
        ProbeError::Timeout | ProbeError::Other(_) => if_blocked,
    };
    advice.into()
}

const NOT_A_SERVER: &str = "Something other than a STUN or TURN server responds on this port, or \
                            alters the traffic: check which port the server listens on, and try \
                            TLS.";

/// Returns advice for an allocation that the server refused (RFC 8656 §7.4).
fn for_refusal(reason: FailureReason, if_blocked: &'static str) -> Advice {
    let advice = match reason {
        FailureReason::Timeout => if_blocked,
        FailureReason::Unauthenticated => {
            "Check the user and password, and the users of the realm on the server."
        }
        FailureReason::TryAlternate(Some(other)) => {
            return format!(
                "This server is draining or full and redirects clients to {other}: check that one \
                 with --server {other}."
            )
            .into();
        }
        FailureReason::TryAlternate(None) => {
            "This server is draining or full, and does not name another one: set \
             turn.alternate_servers on it."
        }
        FailureReason::Mismatch => {
            "The server still has an allocation of this address and port: try again; it expires \
             within ten minutes."
        }
        FailureReason::UnsupportedFamily => {
            "Give the server a relay address of this family (turn.relay_address)."
        }
        FailureReason::QuotaReached => {
            "Wait until other allocations of this user have ended, or raise \
             turn.max_allocations_per_user on the server."
        }
        FailureReason::NoCapacity => {
            "The server is full or shutting down: wait a minute, raise its limits \
             (turn.relay_ports, turn.max_allocations), or add another server."
        }
        FailureReason::BadResponse => NOT_A_SERVER,
        FailureReason::Refused => {
            "The server does not relay for this client: its log has the reason. Check that TURN is \
             enabled on it, not only STUN."
        }
    };
    advice.into()
}

/// Returns advice for a certificate that is not trusted.
fn for_certificate(error: &CertificateError) -> &'static str {
    use CertificateError as Error;
    let is_expired = matches!(error, Error::Expired | Error::ExpiredContext { .. });
    let is_future = matches!(error, Error::NotValidYet | Error::NotValidYetContext { .. });
    let is_wrong_name =
        matches!(error, Error::NotValidForName | Error::NotValidForNameContext { .. });
    if is_expired {
        "Renew the server's certificate (turn.tls_certificate), or correct this machine's clock."
    } else if is_future {
        "Correct this machine's clock: by it, the certificate is not valid yet."
    } else if is_wrong_name {
        "Give the server a certificate for the name in --server (turn.tls_certificate), or use a \
         name that is in its certificate."
    } else {
        "Give the server a certificate that browsers trust, with its intermediates \
         (turn.tls_certificate), or trust its authority with --ca."
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn each_cause_has_its_own_advice() {
        let other = "203.0.113.9:3478".parse().unwrap();
        let turn = ProbeError::Turn;
        let certificate = ProbeError::Certificate;
        let io = |kind| ProbeError::from(io::Error::from(kind));
        for (server, error, advice) in [
            ("192.0.2.1:1", ProbeError::Timeout, "Allow this port"),
            ("192.0.2.1:1", io(io::ErrorKind::BrokenPipe), "Allow this port"),
            ("192.0.2.1:1", io(io::ErrorKind::ConnectionRefused), "Nothing listens"),
            ("192.0.2.1:1", io(io::ErrorKind::NetworkUnreachable), "default gateway"),
            ("[2001:db8::1]:1", io(io::ErrorKind::NetworkUnreachable), "over IPv6"),
            ("[2001:db8::1]:1", io(io::ErrorKind::AddrNotAvailable), "over IPv6"),
            ("192.0.2.1:1", ProbeError::InvalidResponse, "Something other than"),
            ("192.0.2.1:1", turn(FailureReason::Timeout), "Allow this port"),
            ("192.0.2.1:1", turn(FailureReason::Unauthenticated), "user and password"),
            (
                "192.0.2.1:1",
                turn(FailureReason::TryAlternate(Some(other))),
                "--server 203.0.113.9:3478",
            ),
            ("192.0.2.1:1", turn(FailureReason::TryAlternate(None)), "turn.alternate_servers"),
            ("192.0.2.1:1", turn(FailureReason::Mismatch), "try again"),
            ("192.0.2.1:1", turn(FailureReason::UnsupportedFamily), "turn.relay_address"),
            ("192.0.2.1:1", turn(FailureReason::QuotaReached), "turn.max_allocations_per_user"),
            ("192.0.2.1:1", turn(FailureReason::NoCapacity), "full or shutting down"),
            ("192.0.2.1:1", turn(FailureReason::BadResponse), "Something other than"),
            ("192.0.2.1:1", turn(FailureReason::Refused), "does not relay for this client"),
            ("192.0.2.1:1", certificate(CertificateError::Expired), "Renew"),
            ("192.0.2.1:1", certificate(CertificateError::NotValidYet), "clock"),
            ("192.0.2.1:1", certificate(CertificateError::NotValidForName), "for the name"),
            ("192.0.2.1:1", certificate(CertificateError::UnknownIssuer), "--ca"),
        ] {
            let server = server.parse().unwrap();
            let given = for_allocation(server, Transport::Tcp, &error);
            assert!(given.contains(advice), "{error:?}: {given}");
            // Only the advice about the network depends on the kind of check.
            let binding = for_binding(server, Transport::Tcp, &error);
            let is_blocked = advice == "Allow this port";
            assert_eq!(given != binding, is_blocked, "{error:?}: {binding}");
        }
        let no_tls = io(io::ErrorKind::UnexpectedEof);
        for (transport, advice) in [
            (Transport::Udp, "Allow outgoing UDP"),
            (Transport::Tcp, "Allow TCP"),
            (Transport::Tls, "The TLS handshake fails"),
        ] {
            let given = for_binding(other, transport, &no_tls);
            assert!(given.starts_with(advice), "{given}");
        }
    }
}
