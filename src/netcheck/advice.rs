//! What to do about each failure.

use super::probe::Silence;
use porthole_turn_proto::{FailureReason, Transport};
use std::{borrow::Cow, net::SocketAddr};
use tokio_rustls::rustls::CertificateError;

type Advice = Cow<'static, str>;

/// A Binding had no answer.
pub(super) fn on_binding(server: SocketAddr, transport: Transport, silence: &Silence) -> Advice {
    let in_between = match transport {
        Transport::Udp | Transport::Dtls => {
            "Let UDP out to this port, and see that the server runs and has UDP there: silence \
             does not say which it is. Without UDP no video is direct, all of it goes through TURN \
             over TCP."
        }
        Transport::Tls => {
            "Let TLS through to this port: it is the way out of networks that let nothing but the \
             Web through."
        }
        Transport::Tcp => {
            "Let TCP through to this port: it is the way out of networks that block UDP."
        }
    };
    on(server, transport, silence, in_between)
}

/// An allocation was not made.
pub(super) fn on_relay(server: SocketAddr, transport: Transport, silence: &Silence) -> Advice {
    let in_between = "Let this port through: without TURN, pairs of strict NATs do not connect.";
    on(server, transport, silence, in_between)
}

/// `in_between`: what to say when something on the way is to blame.
fn on(
    server: SocketAddr,
    transport: Transport,
    silence: &Silence,
    in_between: &'static str,
) -> Advice {
    let advice = match silence {
        Silence::Turn(reason) => return on_refusal(*reason, in_between),
        Silence::Certificate(error) => on_certificate(error),
        Silence::Unreachable if server.is_ipv6() => {
            "There is no way there over IPv6: switch IPv6 on in the router, or name the server by \
             its IPv4 address to leave it out."
        }
        Silence::Unreachable => {
            "This machine has no route to the server: look at its network connection and its \
             default gateway."
        }
        Silence::Refused => {
            "Nothing listens at this port, or a firewall refuses it: see that the server runs, \
             that it listens there, and that the port is forwarded to it."
        }
        Silence::Nonsense => NO_SERVER,
        Silence::Other(_) if transport == Transport::Tls => {
            "TLS does not come about at this port: see that the server has it there \
             (turn.listen_tls and a certificate), or name the port where it does."
        }
        Silence::Timeout | Silence::Other(_) => in_between,
    };
    advice.into()
}

const NO_SERVER: &str = "Something else answers at this port, or changes what passes: see which \
                         port the server listens at, and try TLS.";

/// The server says no (RFC 8656 §7.4).
fn on_refusal(reason: FailureReason, in_between: &'static str) -> Advice {
    let advice = match reason {
        FailureReason::Timeout => in_between,
        FailureReason::Unauthenticated => {
            "Look at the user and password, and at the realm's users on the server."
        }
        FailureReason::TryAlternate(Some(other)) => {
            return format!(
                "This server drains or is full and sends its clients to {other}: ask that one \
                 with --server {other}."
            )
            .into();
        }
        FailureReason::TryAlternate(None) => {
            "This server drains or is full, and does not say which other one to take: set \
             turn.alternate_servers on it."
        }
        FailureReason::Mismatch => {
            "The server still has an allocation of this address and port: try again, it is gone \
             in ten minutes at most."
        }
        FailureReason::UnsupportedFamily => {
            "Give the server an address of this family to relay from (turn.relay_address)."
        }
        FailureReason::QuotaReached => {
            "Wait until other allocations of this user have ended, or raise \
             turn.max_allocations_per_user on the server."
        }
        FailureReason::NoCapacity => {
            "The server is full or about to stop: wait a minute, or give it more room \
             (turn.relay_ports, turn.max_allocations), or a second server."
        }
        FailureReason::BadResponse => NO_SERVER,
        FailureReason::Refused => {
            "The server does not relay for this client: see in its log why, and that TURN is \
             switched on, not STUN alone."
        }
    };
    advice.into()
}

fn on_certificate(error: &CertificateError) -> &'static str {
    use CertificateError as Error;
    let is_old = matches!(error, Error::Expired | Error::ExpiredContext { .. });
    let is_new = matches!(error, Error::NotValidYet | Error::NotValidYetContext { .. });
    let is_others = matches!(error, Error::NotValidForName | Error::NotValidForNameContext { .. });
    if is_old {
        "Renew the server's certificate (turn.tls_certificate), or set this machine's clock."
    } else if is_new {
        "Set this machine's clock: the certificate is not valid yet by it."
    } else if is_others {
        "Give the server a certificate for the name that you ask for (turn.tls_certificate), or \
         ask for the name that it is for."
    } else {
        "Give the server a certificate that browsers trust (turn.tls_certificate), with its \
         intermediates, or name its authority with --ca."
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn each_cause_has_advice_of_its_own() {
        let other = "203.0.113.9:3478".parse().unwrap();
        let turn = Silence::Turn;
        let certificate = Silence::Certificate;
        let io = |kind| Silence::from(io::Error::from(kind));
        for (server, silence, advice) in [
            ("192.0.2.1:1", Silence::Timeout, "Let this port through"),
            ("192.0.2.1:1", io(io::ErrorKind::BrokenPipe), "Let this port through"),
            ("192.0.2.1:1", io(io::ErrorKind::ConnectionRefused), "Nothing listens"),
            ("192.0.2.1:1", io(io::ErrorKind::NetworkUnreachable), "default gateway"),
            ("[2001:db8::1]:1", io(io::ErrorKind::NetworkUnreachable), "over IPv6"),
            ("[2001:db8::1]:1", io(io::ErrorKind::AddrNotAvailable), "over IPv6"),
            ("192.0.2.1:1", Silence::Nonsense, "Something else answers"),
            ("192.0.2.1:1", turn(FailureReason::Timeout), "Let this port through"),
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
            ("192.0.2.1:1", turn(FailureReason::NoCapacity), "full or about to stop"),
            ("192.0.2.1:1", turn(FailureReason::BadResponse), "Something else answers"),
            ("192.0.2.1:1", turn(FailureReason::Refused), "does not relay for this client"),
            ("192.0.2.1:1", certificate(CertificateError::Expired), "Renew"),
            ("192.0.2.1:1", certificate(CertificateError::NotValidYet), "clock"),
            ("192.0.2.1:1", certificate(CertificateError::NotValidForName), "for the name"),
            ("192.0.2.1:1", certificate(CertificateError::UnknownIssuer), "--ca"),
        ] {
            let server = server.parse().unwrap();
            let given = on_relay(server, Transport::Tcp, &silence);
            assert!(given.contains(advice), "{silence:?}: {given}");
            // What is not on the way does not depend on the question.
            let of_binding = on_binding(server, Transport::Tcp, &silence);
            let on_the_way = advice == "Let this port through";
            assert_eq!(given != of_binding, on_the_way, "{silence:?}: {of_binding}");
        }
        let no_tls = io(io::ErrorKind::UnexpectedEof);
        for (transport, advice) in [
            (Transport::Udp, "Let UDP out"),
            (Transport::Tcp, "Let TCP through"),
            (Transport::Tls, "TLS does not come about"),
        ] {
            let given = on_binding(other, transport, &no_tls);
            assert!(given.starts_with(advice), "{given}");
        }
    }
}
