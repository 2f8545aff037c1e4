//! Looks up the interface and the neighbour that lead to an address, and notices changes
//! (rtnetlink, RFC 3549).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    socket,
};

use crate::layout::family;

/// Most bytes of a response about one route or link. Longer ones would be truncated, and are
/// refused.
const MAX_RESPONSE: usize = 32 << 10;
/// Most notifications read at once. The rest only repeats that something has changed.
const MAX_NOTIFICATIONS: usize = 256;
const HEADER: usize = 16;

// Constants of linux/rtnetlink.h and linux/if_link.h.
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTMSG: usize = 12;
const IFINFOMSG: usize = 16;
const RTN_UNICAST: u8 = 1;
const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_METRICS: u16 = 8;
const RTAX_MTU: u16 = 2;
const RTA_VIA: u16 = 18;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const ARPHRD_ETHER: u16 = 1;
/// Multicast groups: links, addresses, routes and rules of both families.
const RTMGRP_CHANGES: u32 = 1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 1 << 18;

/// The way to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The index of the interface.
    pub(crate) interface: u32,
    /// The gateway, or the address itself.
    pub(crate) next_hop: IpAddr,
    /// Most bytes of a packet, from its IP header on.
    pub(crate) mtu: u32,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) ethernet: bool,
    mtu: u32,
}

/// Sockets for requests to the kernel and for its notifications.
#[derive(Debug)]
pub(crate) struct Netlink {
    requests: OwnedFd,
    notifications: OwnedFd,
}

impl Netlink {
    pub(crate) fn open() -> io::Result<Self> {
        let notifications = open()?;
        bind(notifications.as_raw_fd(), &NetlinkAddr::new(0, RTMGRP_CHANGES))?;
        Ok(Self { requests: open()?, notifications })
    }

    /// Looks up the route of a packet from a local address to another host. [`None`] if there is no
    /// route, or it does not leave this host.
    pub(crate) fn route(&self, from: IpAddr, to: IpAddr) -> io::Result<Option<Route>> {
        let bits = if to.is_ipv4() { 32 } else { 128 };
        let family = u8::try_from(family(to)).unwrap_or_default();
        let mut body = vec![family, bits, bits, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        put_attribute(&mut body, RTA_DST, &octets(to));
        put_attribute(&mut body, RTA_SRC, &octets(from));
        let response = match self.request(RTM_GETROUTE, RTM_NEWROUTE, &body) {
            Ok(response) => response,
            Err(error) if is_unreachable(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(route) = parse_route(&response, to) else { return Ok(None) };
        let link = self.link_by_index(route.interface)?;
        Ok(Some(Route { mtu: route.mtu.min(link.mtu), ..route }))
    }

    /// Looks up an interface by name.
    pub(crate) fn link(&self, name: &str) -> io::Result<Link> {
        let mut body = vec![0; IFINFOMSG];
        put_attribute(&mut body, IFLA_IFNAME, &[name.as_bytes(), &[0]].concat());
        self.request_link(&body)
    }

    /// Returns true if a link, an address or a route has changed since the last call.
    pub(crate) fn changed(&self) -> bool {
        let mut buffer = [0; 4096];
        let mut any = false;
        for _ in 0..MAX_NOTIFICATIONS {
            match recv(self.notifications.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN) => break,
                // Notifications that did not fit are lost (ENOBUFS): these are changes too.
                Ok(_) | Err(_) => any = true,
            }
        }
        any
    }

    fn link_by_index(&self, index: u32) -> io::Result<Link> {
        let mut body = vec![0; IFINFOMSG];
        if let Some(place) = body.get_mut(4..8) {
            place.copy_from_slice(&index.to_ne_bytes());
        }
        self.request_link(&body)
    }

    fn request_link(&self, body: &[u8]) -> io::Result<Link> {
        let response = self.request(RTM_GETLINK, RTM_NEWLINK, body)?;
        parse_link(&response).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Sends a request and returns the body of the response, which is there when `send` returns.
    fn request(&self, kind: u16, wanted: u16, body: &[u8]) -> io::Result<Vec<u8>> {
        let length = u32::try_from(HEADER + body.len()).unwrap_or_default();
        let mut message = Vec::with_capacity(HEADER + body.len());
        message.extend_from_slice(&length.to_ne_bytes());
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
        message.extend_from_slice(&[0; 8]);
        message.extend_from_slice(body);
        send(self.requests.as_raw_fd(), &message, MsgFlags::empty())?;
        let mut response = vec![0; MAX_RESPONSE];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        let length = recv(self.requests.as_raw_fd(), &mut response, flags)?;
        if length > response.len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        response.truncate(length);
        read_response(&response, wanted)
    }
}

fn open() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let protocol = SockProtocol::NetlinkRoute;
    Ok(socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?)
}

fn is_unreachable(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EINVAL | Errno::EACCES))
}

fn read_response(response: &[u8], wanted: u16) -> io::Result<Vec<u8>> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let length = u32_at(response, 0).and_then(|n| usize::try_from(n).ok()).ok_or_else(invalid)?;
    let body = response.get(HEADER..length).ok_or_else(invalid)?;
    match u16_at(response, 4) {
        Some(kind) if kind == wanted => Ok(body.to_vec()),
        Some(NLMSG_ERROR) => {
            let errno = u32_at(body, 0).ok_or_else(invalid)?.cast_signed();
            Err(io::Error::from_raw_os_error(errno.saturating_neg()))
        }
        _ => Err(invalid()),
    }
}

fn parse_route(body: &[u8], to: IpAddr) -> Option<Route> {
    if *body.get(7)? != RTN_UNICAST {
        return None;
    }
    let mut route = Route { interface: 0, next_hop: to, mtu: u32::MAX };
    for (kind, value) in attributes(body.get(RTMSG..)?) {
        match kind {
            RTA_OIF => route.interface = u32_at(value, 0)?,
            RTA_GATEWAY => route.next_hop = ip(value)?,
            // The family, then an address, which may be of the other family.
            RTA_VIA => route.next_hop = ip(value.get(2..)?)?,
            RTA_METRICS => {
                let mut mtus = attributes(value).filter(|(kind, _)| *kind == RTAX_MTU);
                let mtu = mtus.find_map(|(_, value)| u32_at(value, 0)).filter(|mtu| *mtu > 0);
                route.mtu = mtu.unwrap_or(route.mtu);
            }
            _ => {}
        }
    }
    (route.interface != 0).then_some(route)
}

fn parse_link(body: &[u8]) -> Option<Link> {
    let mut mtus = attributes(body.get(IFINFOMSG..)?).filter(|(kind, _)| *kind == IFLA_MTU);
    let mtu = mtus.find_map(|(_, value)| u32_at(value, 0))?;
    Some(Link { index: u32_at(body, 4)?, ethernet: u16_at(body, 2)? == ARPHRD_ETHER, mtu })
}

/// Iterates over attributes, each aligned to four bytes. Ends at the first malformed one.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)?;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        // The highest two bits are flags.
        Some((kind & 0x3fff, value))
    })
}

fn put_attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    body.extend_from_slice(&length.to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|octets| Ipv6Addr::from(octets).into())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_address_has_no_route_and_loopback_is_not_ethernet() {
        let netlink = Netlink::open().unwrap();
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(netlink.route(local, local).unwrap(), None);
        let link = netlink.link("lo").unwrap();
        assert!(!link.ethernet && link.index == 1, "{link:?}");
        assert!(netlink.link("no-such-link").is_err());
    }

    #[test]
    fn a_truncated_response_is_an_error_and_not_a_panic() {
        let mut body = vec![2, 32, 0, 0, 0, 0, 0, RTN_UNICAST, 0, 0, 0, 0];
        put_attribute(&mut body, RTA_OIF, &3_u32.to_ne_bytes());
        put_attribute(&mut body, RTA_VIA, &[&[10, 0][..], &[0xfe; 16]].concat());
        let mut mtu = Vec::new();
        put_attribute(&mut mtu, RTAX_MTU, &1400_u32.to_ne_bytes());
        put_attribute(&mut body, RTA_METRICS, &mtu);
        let to = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let next_hop = IpAddr::V6(Ipv6Addr::from([0xfe; 16]));
        assert_eq!(parse_route(&body, to), Some(Route { interface: 3, next_hop, mtu: 1400 }));
        for cut in 0..body.len() {
            let route = parse_route(&body[..cut], to);
            assert_ne!(route, parse_route(&body, to));
            assert!(read_response(&body[..cut], RTM_NEWROUTE).is_err());
        }
    }
}
