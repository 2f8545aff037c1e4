//! Candidates: what they are worth and how descriptions spell them (RFC 8445 §5.1, RFC 8839 §5.1).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::credentials::is_ice_char;

/// Longer lines are refused unread: browsers stay below 250 bytes, extensions included.
pub const MAX_CANDIDATE_LINE: usize = 512;
/// RFC 8839 §5.1.
const MAX_FOUNDATION_LEN: usize = 32;
/// RTP and RTCP share one component (RFC 8834 §4.5).
const COMPONENT: u32 = 1;

/// How a candidate was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CandidateKind {
    /// An address of the machine.
    Host,
    /// What a STUN server saw.
    ServerReflexive,
    /// What the peer saw, or where a peer's check came from.
    PeerReflexive,
    /// An address of a TURN server.
    Relay,
}

impl CandidateKind {
    /// The recommended type preferences (RFC 8445 §5.1.2.2).
    const fn preference(self) -> u32 {
        match self {
            Self::Host => 126,
            Self::PeerReflexive => 110,
            Self::ServerReflexive => 100,
            Self::Relay => 0,
        }
    }

    /// As descriptions spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relay => "relay",
        }
    }
}

impl fmt::Display for CandidateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// RFC 8445 §5.1.2.1, for the only component.
pub const fn priority(kind: CandidateKind, local_preference: u16) -> u32 {
    (kind.preference() << 24) | ((local_preference as u32) << 8) | (256 - COMPONENT)
}

/// Local preferences that mix the families evenly, IPv6 first (RFC 8421 §4): the n-th address of
/// one family stands beside the n-th of the other. In the order of `addresses`.
pub fn dual_stack_preferences(addresses: &[IpAddr]) -> Vec<u16> {
    let (mut v6, mut v4) = (0_u16, 0_u16);
    let mut step = |address: &IpAddr| {
        let (count, behind) = if address.is_ipv6() { (&mut v6, 0) } else { (&mut v4, 1) };
        let place = count.saturating_mul(2).saturating_add(behind);
        *count = count.saturating_add(1);
        u16::MAX.saturating_sub(place)
    };
    addresses.iter().map(&mut step).collect()
}

/// One address at which a side may be reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// How it was learned.
    pub kind: CandidateKind,
    /// Where to send.
    pub address: SocketAddr,
    /// RFC 8445 §5.1.2.
    pub priority: u32,
    /// Equal for candidates that are likely to share their fate (RFC 8445 §5.1.1.3).
    pub foundation: String,
    /// Base of a reflexive candidate, mapped address of a relayed one; for diagnosis only.
    pub related: Option<SocketAddr>,
    /// Which generation it belongs to, when the description says so.
    pub ufrag: Option<String>,
}

impl Candidate {
    pub(super) fn local(
        kind: CandidateKind,
        address: SocketAddr,
        base: SocketAddr,
        related: Option<SocketAddr>,
        local_preference: u16,
        ufrag: &str,
    ) -> Self {
        Self {
            kind,
            address,
            priority: priority(kind, local_preference),
            foundation: foundation(kind, base.ip()),
            related,
            ufrag: Some(ufrag.to_owned()),
        }
    }
}

/// Same kind and base address, same foundation: FNV-1a over both.
fn foundation(kind: CandidateKind, base: IpAddr) -> String {
    let octets = match base {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    let hash = octets
        .iter()
        .chain(kind.as_str().as_bytes())
        .fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    hash.to_string()
}

/// An address that no check should go to or leave from.
pub(super) fn is_usable(address: SocketAddr) -> bool {
    let ip = address.ip();
    let link_local = match ip {
        // Self-assigned addresses have no way out, but cameras' networks do use them.
        IpAddr::V4(ip) => ip.is_broadcast(),
        // A link-local address means nothing without its interface, which no description carries.
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !link_local
}

/// One spelling for one address: sockets for both families show IPv4 as `::ffff:a.b.c.d`.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl fmt::Display for Candidate {
    /// `candidate:…`, without `a=`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, address, priority, foundation, related, ufrag } = self;
        let (ip, port) = (address.ip(), address.port());
        write!(f, "candidate:{foundation} {COMPONENT} udp {priority} {ip} {port} typ {kind}")?;
        if *kind != CandidateKind::Host {
            // The grammar wants both for every other kind; zeros hide them (RFC 8839 §5.1).
            let hidden = match ip {
                IpAddr::V4(_) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
                IpAddr::V6(_) => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
            };
            let related = related.unwrap_or(hidden);
            write!(f, " raddr {} rport {}", related.ip(), related.port())?;
        }
        match ufrag {
            Some(ufrag) => write!(f, " ufrag {ufrag}"),
            None => Ok(()),
        }
    }
}

/// Why a line is no candidate of ours. Only [`Malformed`](Self::Malformed) and
/// [`TooLong`](Self::TooLong) speak of a broken peer, the rest is to be ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CandidateRefused {
    /// See [`MAX_CANDIDATE_LINE`].
    #[error("the candidate is longer than {MAX_CANDIDATE_LINE} bytes")]
    TooLong,
    /// Not the grammar of RFC 8839 §5.1; carries the field.
    #[error("malformed candidate: {0}")]
    Malformed(&'static str),
    /// ICE-TCP: there are no TCP candidates here.
    #[error("not a UDP candidate")]
    NotUdp,
    /// A name, most likely a browser's `….local`: such a peer is met by its own checks.
    #[error("the candidate is a name, not an address")]
    Name,
    /// RTP and RTCP share component 1.
    #[error("not the first component")]
    Component,
    /// A kind that no standard knows.
    #[error("unknown kind of candidate")]
    Kind,
    /// Unspecified, multicast, broadcast, IPv6 link-local or port 0.
    #[error("no check can go to this address")]
    Address,
}

impl FromStr for Candidate {
    type Err = CandidateRefused;

    /// Reads `candidate:…`, with or without `a=` before it. Unknown extensions are skipped.
    fn from_str(line: &str) -> Result<Self, CandidateRefused> {
        if line.len() > MAX_CANDIDATE_LINE {
            return Err(CandidateRefused::TooLong);
        }
        let line = line.trim();
        let line = line.strip_prefix("a=").unwrap_or(line);
        let body = line.strip_prefix("candidate:").ok_or(malformed("no 'candidate:'"))?;
        let mut words = body.split_ascii_whitespace();
        let mut next = |field| words.next().ok_or(malformed(field));

        let foundation = next("foundation")?;
        let component = number::<u32>(next("component")?, "component")?;
        let transport = next("transport")?;
        let priority = number::<u32>(next("priority")?, "priority")?;
        let host = next("address")?;
        let port = number::<u16>(next("port")?, "port")?;
        if next("typ")? != "typ" {
            return Err(malformed("typ"));
        }
        let kind = next("type")?;

        check_foundation(foundation)?;
        if !transport.eq_ignore_ascii_case("udp") {
            return Err(CandidateRefused::NotUdp);
        }
        if component != COMPONENT {
            return Err(CandidateRefused::Component);
        }
        let ip = host.parse::<IpAddr>().map_err(|_| CandidateRefused::Name)?;
        let address = canonical(SocketAddr::new(ip, port));
        if !is_usable(address) {
            return Err(CandidateRefused::Address);
        }
        let Extensions { related, ufrag } = Extensions::read(words)?;
        Ok(Self {
            kind: kind_of(kind)?,
            address,
            priority,
            foundation: foundation.to_owned(),
            related,
            ufrag,
        })
    }
}

struct Extensions {
    related: Option<SocketAddr>,
    ufrag: Option<String>,
}

impl Extensions {
    fn read<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Self, CandidateRefused> {
        let (mut ip, mut port, mut ufrag) = (None, None, None);
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            match name {
                // Names and hidden addresses are allowed here, and it is for diagnosis only.
                "raddr" => ip = value.parse::<IpAddr>().ok(),
                "rport" => port = Some(number::<u16>(value, "rport")?),
                "ufrag" => ufrag = Some(value.to_owned()),
                _ => {}
            }
        }
        Ok(Self { related: ip.zip(port).map(SocketAddr::from), ufrag })
    }
}

fn check_foundation(foundation: &str) -> Result<(), CandidateRefused> {
    if foundation.len() > MAX_FOUNDATION_LEN || !foundation.bytes().all(is_ice_char) {
        return Err(malformed("foundation"));
    }
    Ok(())
}

fn kind_of(word: &str) -> Result<CandidateKind, CandidateRefused> {
    match word {
        "host" => Ok(CandidateKind::Host),
        "srflx" => Ok(CandidateKind::ServerReflexive),
        "prflx" => Ok(CandidateKind::PeerReflexive),
        "relay" => Ok(CandidateKind::Relay),
        _ => Err(CandidateRefused::Kind),
    }
}

fn number<T: FromStr>(word: &str, field: &'static str) -> Result<T, CandidateRefused> {
    word.parse().map_err(|_| malformed(field))
}

const fn malformed(field: &'static str) -> CandidateRefused {
    CandidateRefused::Malformed(field)
}

#[cfg(test)]
mod tests;
