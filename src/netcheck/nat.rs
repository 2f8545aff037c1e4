//! NAT behavior discovery (RFC 5780 §4) with a server that has a second address: how the NAT maps,
//! filters and hairpins (RFC 4787).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use porthole_turn_proto::stun::{Class, Message, MessageWriter, Method, TransactionId, attribute};
use serde::Serialize;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// A filtered response never arrives. RFC 5780 §4.6 asks for several tries, because packets are
/// lost.
const TRIES: u32 = 4;
const TRY: Duration = Duration::from_millis(400);
/// More than any response has.
const MAX_RESPONSE_BYTES: usize = 2048;
/// The flags of CHANGE-REQUEST (RFC 5780 §7.2).
const CHANGE_IP: u32 = 4;
const CHANGE_PORT: u32 = 2;

/// The part of a remote endpoint that a mapping or a filter depends on (RFC 4787 §4.1, §5).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Dependence {
    /// Neither address nor port.
    EndpointIndependent,
    /// Only the address.
    AddressDependent,
    /// The address and the port.
    AddressAndPortDependent,
    /// The server's responses did not tell.
    #[default]
    Unknown,
}

/// The well-known name of a NAT, from RFC 3489.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum NatClass {
    /// No NAT and no filter: others reach this machine at its own address.
    Open,
    /// No NAT, but address-dependent or address and port-dependent filtering (RFC 5780 §4.4),
    /// called a symmetric UDP firewall in RFC 3489.
    Filtered,
    /// Endpoint-independent mapping and filtering.
    FullCone,
    /// Endpoint-independent mapping, address-dependent filtering.
    Restricted,
    /// Endpoint-independent mapping, address and port-dependent filtering.
    PortRestricted,
    /// Address-dependent or address and port-dependent mapping.
    Symmetric,
    /// The mapping or the filtering is unknown.
    #[default]
    Unknown,
}

/// The behaviour of the NAT in front of this machine.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct NatBehaviour {
    pub(super) class: NatClass,
    pub(super) mapping: Dependence,
    pub(super) filtering: Dependence,
    /// True if the NAT returns packets sent to its own mapped addresses (RFC 4787 §6); `None`
    /// without a NAT.
    pub(super) hairpinning: Option<bool>,
}

impl NatClass {
    /// Classifies a NAT; `is_mapped` is false if this machine has the address that the server sees.
    fn new(is_mapped: bool, mapping: Dependence, filtering: Dependence) -> Self {
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

    /// Describes the class and what it means for direct connections.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Open => "none; others reach this machine at its own address",
            Self::Filtered => {
                "none, but a firewall blocks unsolicited packets; direct connections work, with \
                 symmetric NATs only if the firewall allows UDP"
            }
            Self::FullCone => "full cone; direct connections work",
            Self::Restricted => "restricted cone; direct connections nearly always work",
            Self::PortRestricted => {
                "port-restricted cone; direct connections work, except with symmetric NATs, which \
                 need TURN"
            }
            Self::Symmetric => {
                "symmetric; direct connections work only with open, full-cone and restricted-cone \
                 NATs, all others need TURN. A forwarded UDP port or IPv6 avoids this"
            }
            Self::Unknown => "unknown; a server with two addresses can tell",
        }
    }
}

/// Runs the tests with a server. Returns `None` if it has only one address or does not respond.
pub(super) async fn measure(server: SocketAddr) -> std::io::Result<Option<NatBehaviour>> {
    let socket = bind_towards(server).await?;
    let Some(first) = request(&socket, server, 0).await? else { return Ok(None) };
    let Some(other) = first.other.filter(|other| other.ip() != server.ip()) else {
        return Ok(None);
    };
    // Filtering first: after the mapping test, the NAT lets packets of the server's other addresses
    // in, some NATs even to other ports of this machine.
    let filtering = filtering(server).await?;
    let mapping = mapping(&socket, server, other, first.mapped).await?;
    let is_mapped = !is_local_address(server, first.mapped).await?;
    let hairpinning = if is_mapped { Some(hairpins(&socket, first.mapped).await?) } else { None };
    let class = NatClass::new(is_mapped, mapping, filtering);
    Ok(Some(NatBehaviour { class, mapping, filtering, hairpinning }))
}

/// Determines the mapping behaviour (RFC 5780 §4.3).
async fn mapping(
    socket: &UdpSocket,
    server: SocketAddr,
    other: SocketAddr,
    first: SocketAddr,
) -> std::io::Result<Dependence> {
    let other_address = SocketAddr::new(other.ip(), server.port());
    let Some(second) = request(socket, other_address, 0).await? else {
        return Ok(Dependence::Unknown);
    };
    if second.mapped == first {
        return Ok(Dependence::EndpointIndependent);
    }
    Ok(match request(socket, other, 0).await? {
        Some(third) if third.mapped == second.mapped => Dependence::AddressDependent,
        Some(_) => Dependence::AddressAndPortDependent,
        None => Dependence::Unknown,
    })
}

/// Determines the filtering behaviour (RFC 5780 §4.4).
async fn filtering(server: SocketAddr) -> std::io::Result<Dependence> {
    let socket = bind_towards(server).await?;
    // Makes the NAT let the server's first address in.
    if request(&socket, server, 0).await?.is_none() {
        return Ok(Dependence::Unknown);
    }
    if request(&socket, server, CHANGE_IP | CHANGE_PORT).await?.is_some() {
        return Ok(Dependence::EndpointIndependent);
    }
    let from_other_port = request(&socket, server, CHANGE_PORT).await?.is_some();
    Ok(if from_other_port {
        Dependence::AddressDependent
    } else {
        Dependence::AddressAndPortDependent
    })
}

/// Returns true if the mapped address belongs to this machine.
async fn is_local_address(server: SocketAddr, mapped: SocketAddr) -> std::io::Result<bool> {
    let socket = bind_towards(server).await?;
    socket.connect(server).await?;
    Ok(socket.local_addr()?.ip() == mapped.ip())
}

/// Determines whether the NAT hairpins (RFC 5780 §4.5): another socket sends to the mapped address
/// of this one.
async fn hairpins(socket: &UdpSocket, mapped: SocketAddr) -> std::io::Result<bool> {
    let sender = bind_towards(mapped).await?;
    let id = TransactionId(rand::random());
    let request = encode_request(id, 0);
    let mut bytes = [0; MAX_RESPONSE_BYTES];
    for _ in 0..TRIES {
        // A router without hairpinning may refuse the packet at once.
        if sender.send_to(&request, mapped).await.is_err() {
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

/// The addresses in a Binding response.
struct Response {
    /// The address in XOR-MAPPED-ADDRESS.
    mapped: SocketAddr,
    /// The server's second address and port, in OTHER-ADDRESS.
    other: Option<SocketAddr>,
}

/// Sends a Binding request and waits for its response, which may come from another address of the
/// server. Returns `None` if none arrives, or if the server does not know CHANGE-REQUEST.
async fn request(
    socket: &UdpSocket,
    server: SocketAddr,
    change: u32,
) -> std::io::Result<Option<Response>> {
    let id = TransactionId(rand::random());
    let request = encode_request(id, change);
    let mut bytes = [0; MAX_RESPONSE_BYTES];
    for _ in 0..TRIES {
        socket.send_to(&request, server).await?;
        let until = Instant::now() + TRY;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(received) = timeout(left, socket.recv_from(&mut bytes)).await else { break };
            // An error that the system reports belongs to an earlier packet.
            let Ok((length, _)) = received else { continue };
            match parse(bytes.get(..length).unwrap_or_default(), id) {
                Some(Parsed::Response(response)) => return Ok(Some(response)),
                Some(Parsed::Error) => return Ok(None),
                None => {}
            }
        }
    }
    Ok(None)
}

fn encode_request(id: TransactionId, change: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = MessageWriter::new(&mut out, Class::Request, Method::Binding, id);
    if change != 0 {
        writer.u32(attribute::CHANGE_REQUEST, change);
    }
    let written = writer.finish();
    debug_assert!(written.is_ok(), "one attribute fits");
    out
}

enum Parsed {
    Response(Response),
    /// An error response; the server does not know CHANGE-REQUEST.
    Error,
}

/// Parses a response to the request with this id; other messages are ignored.
fn parse(bytes: &[u8], id: TransactionId) -> Option<Parsed> {
    let message = Message::parse(bytes).ok()?;
    if message.id() != id {
        return None;
    }
    match message.class() {
        Class::Success => {
            let mapped = message.xor_address(attribute::XOR_MAPPED_ADDRESS).ok()??;
            let other = message.address(attribute::OTHER_ADDRESS).ok().flatten();
            Some(Parsed::Response(Response { mapped, other }))
        }
        Class::Error => Some(Parsed::Error),
        Class::Request | Class::Indication => None,
    }
}

async fn bind_towards(towards: SocketAddr) -> std::io::Result<UdpSocket> {
    UdpSocket::bind(super::any_local(towards)).await
}

#[cfg(test)]
mod tests {
    use Dependence::{AddressAndPortDependent, AddressDependent, EndpointIndependent, Unknown};

    use super::*;

    #[test]
    fn the_class_follows_from_mapping_and_filtering() {
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
            let found = NatClass::new(is_mapped, mapping, filtering);
            assert_eq!(found, class, "{is_mapped} {mapping:?} {filtering:?}");
            let is_open = found.describe().contains("others reach this machine");
            assert_eq!(is_open, class == NatClass::Open, "{}", found.describe());
        }
    }

    #[tokio::test]
    async fn a_server_with_one_address_measures_nothing() {
        let server = crate::netcheck::tests::serve(None).await;
        assert_eq!(measure(server).await.unwrap(), None);
    }
}
