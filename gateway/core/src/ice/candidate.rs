//! Candidates: their priorities and their syntax in descriptions (RFC 8445 §5.1, RFC 8839 §5.1).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::credentials::is_ice_char;

/// Longest candidate line that is parsed, in bytes; browsers stay below 250, extensions included.
pub const MAX_CANDIDATE_LINE: usize = 512;
/// Longest foundation that RFC 8839 §5.1 allows.
const MAX_FOUNDATION_LEN: usize = 32;
/// The only component: RTP and RTCP share it (RFC 8834 §4.5).
const COMPONENT: u32 = 1;

/// Candidate type: the way in which a candidate was learned (RFC 8445 §5.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CandidateKind {
    /// An address of the machine.
    Host,
    /// An address of ours as a STUN server sees it.
    ServerReflexive,
    /// An address as the other peer sees it, learned from a check.
    PeerReflexive,
    /// A relayed transport address of a TURN server.
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

    /// Returns the name used in candidate lines: `host`, `srflx`, `prflx` or `relay`.
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

/// Returns the priority of a candidate (RFC 8445 §5.1.2.1) for component 1.
pub const fn priority(kind: CandidateKind, local_preference: u16) -> u32 {
    (kind.preference() << 24) | ((local_preference as u32) << 8) | (256 - COMPONENT)
}

/// Returns local preferences that interleave the address families, IPv6 first (RFC 8421 §4), in the
/// order of `addresses`.
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

/// Returns addresses in the order of these preferences, without changing that within a family.
pub fn interleave_families(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let preferences = dual_stack_preferences(&addresses);
    let mut ranked: Vec<_> = preferences.into_iter().zip(addresses).collect();
    ranked.sort_by_key(|(preference, _)| std::cmp::Reverse(*preference));
    ranked.into_iter().map(|(_, address)| address).collect()
}

/// A transport address at which one side may be reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// The candidate type.
    pub kind: CandidateKind,
    /// The address that the other side sends to.
    pub address: SocketAddr,
    /// The candidate's priority (RFC 8445 §5.1.2).
    pub priority: u32,
    /// The foundation: equal for candidates of the same type, base and source (RFC 8445 §5.1.1.3).
    pub foundation: String,
    /// The base of a reflexive candidate, or the mapped address of a relayed one. For diagnosis
    /// only.
    pub related: Option<SocketAddr>,
    /// The user name fragment of the candidate's generation, if the line names it.
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
            foundation: foundation(kind, base.ip(), local_preference),
            related,
            ufrag: Some(ufrag.to_owned()),
        }
    }
}

/// Returns the foundation: a FNV-1a hash of the candidate type and base address, and of a
/// server-reflexive candidate also of its local preference, because those that a router and STUN
/// servers have told of have different ones.
fn foundation(kind: CandidateKind, base: IpAddr, local_preference: u16) -> String {
    let is_reflexive = kind == CandidateKind::ServerReflexive;
    let source = if is_reflexive { local_preference } else { 0 };
    let octets = match base {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    let hash = octets
        .iter()
        .chain(kind.as_str().as_bytes())
        .chain(&source.to_be_bytes())
        .fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    hash.to_string()
}

/// Returns true if checks may be sent to and from this address.
pub(super) fn is_usable(address: SocketAddr) -> bool {
    let ip = address.ip();
    let link_local = match ip {
        // IPv4 link-local addresses are allowed: networks of cameras do use them.
        IpAddr::V4(ip) => ip.is_broadcast(),
        // A link-local address means nothing without its interface, which no description carries.
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !link_local
}

/// Returns the address in its canonical form: dual-stack sockets show IPv4 as `::ffff:a.b.c.d`.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl fmt::Display for Candidate {
    /// Writes `candidate:…`, without `a=` before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, address, priority, foundation, related, ufrag } = self;
        let (ip, port) = (address.ip(), address.port());
        write!(f, "candidate:{foundation} {COMPONENT} udp {priority} {ip} {port} typ {kind}")?;
        if *kind != CandidateKind::Host {
            // The grammar requires both for all other types; zeros hide them (RFC 8839 §5.1).
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

/// Reason for which a candidate line is refused. Only [`Malformed`](Self::Malformed) and
/// [`TooLong`](Self::TooLong) indicate a broken peer; ignore candidates refused for other reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CandidateRefused {
    /// The line is longer than [`MAX_CANDIDATE_LINE`].
    #[error("the candidate is longer than {MAX_CANDIDATE_LINE} bytes")]
    TooLong,
    /// The line does not follow the grammar of RFC 8839 §5.1; contains the name of the field.
    #[error("malformed candidate: {0}")]
    Malformed(&'static str),
    /// A TCP candidate (RFC 6544), which this agent does not support.
    #[error("not a UDP candidate")]
    NotUdp,
    /// A host name, most likely a browser's `….local`. The checks of such a peer reveal its
    /// address.
    #[error("the candidate is a name, not an address")]
    Name,
    /// The component is not 1, which RTP and RTCP share.
    #[error("not the first component")]
    Component,
    /// The candidate type is unknown.
    #[error("unknown candidate type")]
    Kind,
    /// The address is unspecified, multicast, broadcast or IPv6 link-local, or the port is 0.
    #[error("no check can go to this address")]
    Address,
}

impl FromStr for Candidate {
    type Err = CandidateRefused;

    /// Parses `candidate:…`, with or without `a=` before it. Unknown extensions are skipped.
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
                // Host names and hidden addresses are allowed here; used for diagnosis only.
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
