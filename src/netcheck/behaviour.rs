//! How the NAT maps and filters (RFC 4787), found out as RFC 5780 §4 says, with a server that has
//! a second address.

use porthole_turn_proto::stun::{Class, Message, MessageWriter, Method, TransactionId, attribute};
use serde::Serialize;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{net::UdpSocket, time::timeout};

/// What is filtered never comes. RFC 5780 §4.6 asks for several tries, since packets get lost.
const TRIES: u32 = 4;
const TRY: Duration = Duration::from_millis(400);
/// More than any answer holds.
const MAX_ANSWER_BYTES: usize = 2048;
/// CHANGE-REQUEST's flags (RFC 5780 §7.2).
const CHANGE_IP: u32 = 4;
const CHANGE_PORT: u32 = 2;

/// On what something depends.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Dependence {
    /// On nothing of the other end.
    EndpointIndependent,
    /// On its address.
    AddressDependent,
    /// On its address and port.
    AddressAndPortDependent,
    /// Nobody could tell.
    #[default]
    Unknown,
}

/// What everybody calls it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum NatClass {
    /// No NAT: this machine's address is the one that others see, and they get through to it.
    Open,
    /// No NAT, but address-dependent or address and port-dependent filtering (RFC 5780 §4.4):
    /// what RFC 3489 called a symmetric UDP firewall.
    Filtered,
    FullCone,
    Restricted,
    PortRestricted,
    Symmetric,
    #[default]
    Unknown,
}

/// Everything about the NAT.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Behaviour {
    pub(super) class: NatClass,
    pub(super) mapping: Dependence,
    pub(super) filtering: Dependence,
    /// Whether a packet to its own outside turns round in the router (RFC 4787 §6).
    pub(super) hairpinning: Option<bool>,
}

impl NatClass {
    fn of(is_mapped: bool, mapping: Dependence, filtering: Dependence) -> Self {
        if !is_mapped {
            return match filtering {
                Dependence::EndpointIndependent => Self::Open,
                Dependence::AddressDependent | Dependence::AddressAndPortDependent => {
                    Self::Filtered
                }
                Dependence::Unknown => Self::Unknown,
            };
        }
        match (mapping, filtering) {
            (Dependence::AddressDependent | Dependence::AddressAndPortDependent, _) => {
                Self::Symmetric
            }
            (Dependence::EndpointIndependent, Dependence::EndpointIndependent) => Self::FullCone,
            (Dependence::EndpointIndependent, Dependence::AddressDependent) => Self::Restricted,
            (Dependence::EndpointIndependent, Dependence::AddressAndPortDependent) => {
                Self::PortRestricted
            }
            (Dependence::Unknown, _) | (_, Dependence::Unknown) => Self::Unknown,
        }
    }

    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::Open => "none; others reach this machine at its own address",
            Self::Filtered => {
                "none, but a firewall lets in only answers to what this machine has sent; direct \
                 connections work, with symmetric NATs only if it lets UDP in"
            }
            Self::FullCone => "full cone; everybody can connect directly",
            Self::Restricted => "restricted cone; direct connections work with nearly everybody",
            Self::PortRestricted => {
                "port-restricted cone; direct connections work but with symmetric NATs, which \
                 need TURN"
            }
            Self::Symmetric => {
                "symmetric; direct connections work with open and (full or restricted) cone NATs \
                 only, all else needs TURN. A rule for a fixed UDP port, or IPv6, mends it"
            }
            Self::Unknown => "of unknown kind; ask a server with two addresses",
        }
    }
}

/// Asks a server. `None`: it has one address only, or does not answer.
pub(super) async fn discover(server: SocketAddr) -> std::io::Result<Option<Behaviour>> {
    let socket = local(server).await?;
    let Some(first) = ask(&socket, server, 0).await? else { return Ok(None) };
    let Some(other) = first.other.filter(|other| other.ip() != server.ip()) else {
        return Ok(None);
    };
    // Filtering first: whom the mapping test asks may send to this machine afterwards, with some
    // NATs to any port of it.
    let filtering = filtering(server).await?;
    let mapping = mapping(&socket, server, other, first.mapped).await?;
    let is_mapped = !is_own(server, first.mapped).await?;
    let hairpinning =
        if is_mapped { Some(turns_round(&socket, first.mapped).await?) } else { None };
    let class = NatClass::of(is_mapped, mapping, filtering);
    Ok(Some(Behaviour { class, mapping, filtering, hairpinning }))
}

/// RFC 5780 §4.3.
async fn mapping(
    socket: &UdpSocket,
    server: SocketAddr,
    other: SocketAddr,
    first: SocketAddr,
) -> std::io::Result<Dependence> {
    let other_address = SocketAddr::new(other.ip(), server.port());
    let Some(second) = ask(socket, other_address, 0).await? else {
        return Ok(Dependence::Unknown);
    };
    if second.mapped == first {
        return Ok(Dependence::EndpointIndependent);
    }
    Ok(match ask(socket, other, 0).await? {
        Some(third) if third.mapped == second.mapped => Dependence::AddressDependent,
        Some(_) => Dependence::AddressAndPortDependent,
        None => Dependence::Unknown,
    })
}

/// RFC 5780 §4.4.
async fn filtering(server: SocketAddr) -> std::io::Result<Dependence> {
    let socket = local(server).await?;
    // Opens the NAT for the server's first address.
    if ask(&socket, server, 0).await?.is_none() {
        return Ok(Dependence::Unknown);
    }
    if ask(&socket, server, CHANGE_IP | CHANGE_PORT).await?.is_some() {
        return Ok(Dependence::EndpointIndependent);
    }
    let from_other_port = ask(&socket, server, CHANGE_PORT).await?.is_some();
    Ok(if from_other_port {
        Dependence::AddressDependent
    } else {
        Dependence::AddressAndPortDependent
    })
}

/// Whether the mapped address is this machine's own.
async fn is_own(server: SocketAddr, mapped: SocketAddr) -> std::io::Result<bool> {
    let socket = local(server).await?;
    socket.connect(server).await?;
    Ok(socket.local_addr()?.ip() == mapped.ip())
}

/// RFC 5780 §4.5 in its simplest form: from another socket to the outside of this one.
async fn turns_round(socket: &UdpSocket, mapped: SocketAddr) -> std::io::Result<bool> {
    let knocker = local(mapped).await?;
    let id = TransactionId(rand::random());
    let request = request(id, 0);
    let mut bytes = [0; MAX_ANSWER_BYTES];
    for _ in 0..TRIES {
        // A router without a way for it may refuse at once.
        if knocker.send_to(&request, mapped).await.is_err() {
            return Ok(false);
        }
        if let Ok(Ok((length, _))) = timeout(TRY, socket.recv_from(&mut bytes)).await
            && bytes.get(..length) == Some(request.as_slice())
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What an answer says.
struct Answer {
    mapped: SocketAddr,
    other: Option<SocketAddr>,
}

/// An answer counts wherever it comes from: that is the question.
async fn ask(
    socket: &UdpSocket,
    server: SocketAddr,
    change: u32,
) -> std::io::Result<Option<Answer>> {
    let id = TransactionId(rand::random());
    let request = request(id, change);
    let mut bytes = [0; MAX_ANSWER_BYTES];
    for _ in 0..TRIES {
        socket.send_to(&request, server).await?;
        let until = Instant::now() + TRY;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(received) = timeout(left, socket.recv_from(&mut bytes)).await else { break };
            // A refusal that the system reports belongs to an earlier packet.
            let Ok((length, _)) = received else { continue };
            match read(bytes.get(..length).unwrap_or_default(), id) {
                Some(Read::Answer(answer)) => return Ok(Some(answer)),
                Some(Read::Refused) => return Ok(None),
                None => {}
            }
        }
    }
    Ok(None)
}

fn request(id: TransactionId, change: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = MessageWriter::new(&mut out, Class::Request, Method::Binding, id);
    if change != 0 {
        writer.u32(attribute::CHANGE_REQUEST, change);
    }
    let written = writer.finish();
    debug_assert!(written.is_ok(), "one attribute fits");
    out
}

enum Read {
    Answer(Answer),
    /// It does not know CHANGE-REQUEST.
    Refused,
}

fn read(bytes: &[u8], id: TransactionId) -> Option<Read> {
    let message = Message::parse(bytes).ok()?;
    if message.id() != id {
        return None;
    }
    match message.class() {
        Class::Success => {
            let mapped = message.xor_address(attribute::XOR_MAPPED_ADDRESS).ok()??;
            let other = message.address(attribute::OTHER_ADDRESS).ok().flatten();
            Some(Read::Answer(Answer { mapped, other }))
        }
        Class::Error => Some(Read::Refused),
        Class::Request | Class::Indication => None,
    }
}

async fn local(towards: SocketAddr) -> std::io::Result<UdpSocket> {
    UdpSocket::bind(super::any_local(towards)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use Dependence::{AddressAndPortDependent, AddressDependent, EndpointIndependent, Unknown};

    #[test]
    fn a_class_is_made_of_mapping_and_filtering() {
        for (is_mapped, mapping, filtering, class) in [
            (false, EndpointIndependent, EndpointIndependent, NatClass::Open),
            (false, EndpointIndependent, AddressDependent, NatClass::Filtered),
            (false, EndpointIndependent, AddressAndPortDependent, NatClass::Filtered),
            (false, Unknown, EndpointIndependent, NatClass::Open),
            (false, EndpointIndependent, Unknown, NatClass::Unknown),
            (true, EndpointIndependent, EndpointIndependent, NatClass::FullCone),
            (true, EndpointIndependent, AddressDependent, NatClass::Restricted),
            (true, EndpointIndependent, AddressAndPortDependent, NatClass::PortRestricted),
            (true, AddressDependent, AddressDependent, NatClass::Symmetric),
            (true, AddressAndPortDependent, AddressAndPortDependent, NatClass::Symmetric),
            (true, AddressAndPortDependent, Unknown, NatClass::Symmetric),
            (true, Unknown, EndpointIndependent, NatClass::Unknown),
            (true, EndpointIndependent, Unknown, NatClass::Unknown),
        ] {
            let found = NatClass::of(is_mapped, mapping, filtering);
            assert_eq!(found, class, "{is_mapped} {mapping:?} {filtering:?}");
            let reaches_all = found.sentence().contains("others reach this machine");
            assert_eq!(reaches_all, class == NatClass::Open, "{}", found.sentence());
        }
    }

    #[tokio::test]
    async fn a_server_with_one_address_tells_nothing() {
        let server = crate::netcheck::tests::serve(None).await;
        assert_eq!(discover(server).await.unwrap(), None);
    }
}
