//! Ports that stay free until somebody binds them.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

/// Below what systems give to sockets that name no port (Linux: from 32768, others: from 49152),
/// so that none of those takes a port between the look and the use. Above what tests name.
const PORTS: Range<u16> = 21_000..32_000;
/// How far the first ports of two processes are apart that were started one after the other.
const PORTS_OF_A_PROCESS: u32 = 101;

/// A port that is free at every address of this host, for TCP and UDP; with the IPv4 loopback
/// address. Nobody in this process gets it a second time soon.
pub fn free_port() -> Result<SocketAddr> {
    first_of_free(1)
}

/// The lower of two such ports, for who takes the next one as well: coturn's echo peer does, for
/// RTCP, and takes a port that another one of it has.
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

/// Where the wildcard address can be bound, every address can.
fn is_free(port: u16) -> bool {
    let wildcards = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    // A host without IPv6 cannot bind one of them for another reason.
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
    fn a_port_is_free_for_both_transports_at_every_address_and_given_once() -> Result<()> {
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
    fn nobody_else_gets_the_upper_port_of_a_pair() -> Result<()> {
        let lower = free_pair()?;
        let upper = SocketAddr::new(lower.ip(), lower.port() + 1);
        assert!(is_free(upper.port()));
        for _ in 0..3 {
            assert_ne!(free_port()?, upper);
        }
        Ok(())
    }
}
