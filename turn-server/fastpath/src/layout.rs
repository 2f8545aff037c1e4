//! The layout of map entries, as in `bpf/relay.bpf.c`. Addresses and ports are in network order.

use std::net::{IpAddr, SocketAddr};

use crate::Flow;
use crate::netlink::Route;

pub(crate) type Key = [u8; 40];
pub(crate) type Value = [u8; 80];
/// The counters of a flow: packets and bytes to the peer, packets and bytes to the client.
pub(crate) type Counters = [u64; 4];
/// Number of reasons in `enum left`.
pub(crate) const LEFT_REASONS: u32 = 6;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// Makes the key of datagrams from the client.
pub(crate) fn from_client(flow: &Flow) -> Key {
    key(flow.client, flow.server, flow.channel)
}

/// Makes the key of datagrams from the peer.
pub(crate) fn from_peer(flow: &Flow) -> Key {
    key(flow.peer, flow.relay, 0)
}

/// The value of one direction: the new headers of a datagram and the route.
#[derive(Debug)]
pub(crate) struct Forward<'a> {
    pub(crate) expires_ns: u64,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    /// The channel number to add; 0 to remove the header.
    pub(crate) channel: u16,
    /// The route back to the sender.
    pub(crate) back: &'a Route,
    pub(crate) out: &'a Route,
    pub(crate) slot: u32,
}

impl Forward<'_> {
    pub(crate) fn to_bytes(&self) -> Value {
        let mut bytes = Bytes::default();
        bytes.put(&self.expires_ns.to_ne_bytes());
        bytes.put(&address(self.from.ip()));
        bytes.put(&address(self.to.ip()));
        bytes.put(&self.from.port().to_be_bytes());
        bytes.put(&self.to.port().to_be_bytes());
        bytes.put(&self.channel.to_be_bytes());
        bytes.put(&family(self.out.next_hop).to_ne_bytes());
        bytes.put(&address(self.out.next_hop));
        bytes.put(&self.back.interface.to_ne_bytes());
        bytes.put(&self.out.interface.to_ne_bytes());
        bytes.put(&self.slot.to_ne_bytes());
        bytes.put(&self.out.mtu.to_ne_bytes());
        bytes.finish()
    }
}

fn key(from: SocketAddr, to: SocketAddr, channel: u16) -> Key {
    let mut bytes = Bytes::default();
    bytes.put(&address(from.ip()));
    bytes.put(&address(to.ip()));
    bytes.put(&from.port().to_be_bytes());
    bytes.put(&to.port().to_be_bytes());
    bytes.put(&channel.to_be_bytes());
    bytes.put(&family(from.ip()).to_ne_bytes());
    bytes.finish()
}

/// Encodes an address; an IPv4 address takes the first four bytes.
fn address(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(ip) => ip.octets(),
    }
}

pub(crate) const fn family(ip: IpAddr) -> u16 {
    match ip {
        IpAddr::V4(_) => AF_INET,
        IpAddr::V6(_) => AF_INET6,
    }
}

#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish<const N: usize>(self) -> [u8; N] {
        self.0.try_into().expect("the fields of a layout are as long as the layout")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_the_layout_that_the_program_reads() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let flow = Flow {
            client: addr("1.2.3.4:258"),
            server: addr("5.6.7.8:3478"),
            relay: addr("[2001:db8::1]:50000"),
            peer: addr("[2001:db8::2]:772"),
            channel: 0x4001,
        };
        let client = from_client(&flow);
        assert_eq!((&client[..4], &client[4..16]), (&[1, 2, 3, 4][..], &[0; 12][..]));
        assert_eq!(client[16..20], [5, 6, 7, 8]);
        assert_eq!(client[32..38], [1, 2, 0x0d, 0x96, 0x40, 1]);
        assert_eq!(client[38..], AF_INET.to_ne_bytes());
        let peer = from_peer(&flow);
        assert_eq!((peer[15], peer[31]), (2, 1));
        assert_eq!(peer[32..38], [3, 4, 0xc3, 0x50, 0, 0]);
        assert_eq!(peer[38..], AF_INET6.to_ne_bytes());

        let back = Route { interface: 7, next_hop: flow.client.ip(), mtu: 1400 };
        let out = Route { interface: 8, next_hop: "2001:db8::fe".parse().unwrap(), mtu: 1500 };
        let (from, to) = (flow.relay, flow.peer);
        let forward =
            Forward { expires_ns: 9, from, to, channel: 0x4001, back: &back, out: &out, slot: 10 };
        let value = forward.to_bytes();
        assert_eq!(value[..8], 9_u64.to_ne_bytes());
        assert_eq!((value[23], value[39]), (1, 2));
        assert_eq!(value[40..46], [0xc3, 0x50, 3, 4, 0x40, 1]);
        assert_eq!(value[46..48], AF_INET6.to_ne_bytes());
        assert_eq!(value[63], 0xfe);
        for (at, number) in [(64, 7_u32), (68, 8), (72, 10), (76, 1500)] {
            assert_eq!(value[at..at + 4], number.to_ne_bytes());
        }
    }
}
