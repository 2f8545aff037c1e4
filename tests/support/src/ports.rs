//! Ports that stay free until the test binds them.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

/// Below the ephemeral ports (Linux: from 32768, others: from 49152), so that no other socket takes
/// a port between the check and its use. Above the ports that tests name.
const PORTS: Range<u16> = 21_000..32_000;
/// The distance between the first ports of two processes with consecutive process ids.
const PORTS_OF_A_PROCESS: u32 = 101;

/// Returns the IPv4 loopback address with a port that is free at every address of this host, for
/// TCP and UDP. The process does not get the same port again until it has used all others.
pub fn free_port() -> Result<SocketAddr> {
    first_of_free(1)
}

/// Returns the lower of two consecutive free ports, for programs that use the next one as well:
/// coturn's echo peer does, for RTCP, and shares that port with another echo peer.
pub fn free_pair() -> Result<SocketAddr> {
    first_of_free(2)
}

fn first_of_free(wanted: u16) -> Result<SocketAddr> {
    static NEXT: OnceLock<AtomicU32> = OnceLock::new();
    let first = || AtomicU32::new(std::process::id().wrapping_mul(PORTS_OF_A_PROCESS));
    let next = NEXT.get_or_init(first);
    let count = u32::from(PORTS.end - PORTS.start);
    let ports = (0..count).filter_map(|_| {
        let offset = next.fetch_add(wanted.into(), Ordering::Relaxed) % count;
        Some(PORTS.start + u16::try_from(offset).ok()?)
    });
    let are_free = |first: u16| (first..first + wanted).all(is_free);
    let port = ports.into_iter().find(|port| are_free(*port));
    let port = port.with_context(|| format!("not enough ports of {PORTS:?} are free"))?;
    Ok((Ipv4Addr::LOCALHOST, port).into())
}

/// Returns true if the wildcard addresses can be bound; then every other address can be, too.
fn is_free(port: u16) -> bool {
    let wildcards = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    // A host without IPv6 fails with another error.
    let is_taken = |error: std::io::Error| error.kind() == ErrorKind::AddrInUse;
    !wildcards.into_iter().any(|ip| {
        TcpListener::bind((ip, port)).is_err_and(is_taken)
            || UdpSocket::bind((ip, port)).is_err_and(is_taken)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_for_both_transports_at_every_address_and_returned_once() -> Result<()> {
        let first = free_port()?;
        assert!(PORTS.contains(&first.port()));
        assert_ne!(free_port()?.port(), first.port());
        let elsewhere = SocketAddr::from(([127, 0, 0, 2], first.port()));
        for at in [first, elsewhere] {
            let tcp = TcpListener::bind(at)?;
            assert!(!is_free(first.port()), "TCP at {at} is not seen");
            drop(tcp);
            let udp = UdpSocket::bind(at)?;
            assert!(!is_free(first.port()), "UDP at {at} is not seen");
            drop(udp);
        }
        assert!(is_free(first.port()));
        Ok(())
    }

    #[test]
    fn the_upper_port_of_a_pair_is_not_returned_again() -> Result<()> {
        let lower = free_pair()?;
        let upper = SocketAddr::new(lower.ip(), lower.port() + 1);
        assert!(is_free(upper.port()));
        for _ in 0..3 {
            assert_ne!(free_port()?, upper);
        }
        Ok(())
    }
}
