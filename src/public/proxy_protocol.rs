//! The PROXY protocol, versions 1 and 2: a header in which a load balancer says whose connection it
//! passes on. It is read up to its last byte and no further.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The beginning of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The beginning of version 1.
const WORD: &[u8] = b"PROXY ";
/// The longest line of version 1, its end included.
const MAX_LINE: usize = 107;
/// The longest part of version 2 after its length: addresses, and further values that are ignored.
const MAX_VALUES: u16 = 520;
/// Lengths of the addresses and ports of both ends.
const V4_BYTES: usize = 12;
const V6_BYTES: usize = 36;

/// Reads the header at the beginning of a stream. Returns the address of the client; `None` if the
/// connection is one of the load balancer itself.
///
/// # Errors
///
/// Fails if the stream begins with anything else.
pub(super) async fn read_header(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<SocketAddr>> {
    let mut start = [0; SIGNATURE.len()];
    stream.read_exact(&mut start).await?;
    if start == SIGNATURE { read_binary(stream).await } else { read_line(stream, &start).await }
}

async fn read_line(
    stream: &mut (impl AsyncRead + Unpin),
    start: &[u8],
) -> io::Result<Option<SocketAddr>> {
    if !start.starts_with(WORD) {
        return Err(invalid("no header of the PROXY protocol"));
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= MAX_LINE {
            return Err(invalid("the line of the PROXY protocol has no end"));
        }
        line.push(stream.read_u8().await?);
    }
    parse_line(&line).ok_or_else(|| invalid("the line of the PROXY protocol is not valid"))
}

/// Parses a line of version 1. The inner `None` is a client that is not known.
fn parse_line(line: &[u8]) -> Option<Option<SocketAddr>> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let mut words = line.split(' ').skip(1);
    let is_v4 = match words.next()? {
        "TCP4" => true,
        "TCP6" => false,
        "UNKNOWN" => return Some(None),
        _ => return None,
    };
    let client: IpAddr = words.next()?.parse().ok()?;
    let server: IpAddr = words.next()?.parse().ok()?;
    let (port, _) = (words.next()?.parse().ok()?, words.next()?.parse::<u16>().ok()?);
    let is_whole = words.next().is_none();
    let fits = client.is_ipv4() == is_v4 && server.is_ipv4() == is_v4 && is_whole;
    fits.then(|| Some(SocketAddr::new(client, port)))
}

async fn read_binary(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let (version_and_command, family) = (stream.read_u8().await?, stream.read_u8().await?);
    let length = stream.read_u16().await?;
    if length > MAX_VALUES {
        return Err(invalid("the header of the PROXY protocol is too long"));
    }
    let mut values = vec![0; length.into()];
    stream.read_exact(&mut values).await?;
    match version_and_command {
        // The load balancer speaks for itself, to see if the server is there.
        0x20 => Ok(None),
        0x21 => parse_addresses(family, &values),
        _ => Err(invalid("a version or command of the PROXY protocol that is not known")),
    }
}

/// Parses the addresses of version 2.
fn parse_addresses(family: u8, values: &[u8]) -> io::Result<Option<SocketAddr>> {
    let short = || invalid("the addresses of the PROXY protocol are cut off");
    match family {
        // TCP over IPv4.
        0x11 => {
            let [a, b, c, d, _, _, _, _, high, low, _, _] =
                *values.first_chunk::<V4_BYTES>().ok_or_else(short)?;
            Ok(Some(SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])))))
        }
        // TCP over IPv6.
        0x21 => {
            let values = values.first_chunk::<V6_BYTES>().ok_or_else(short)?;
            let (client, rest) = values.split_first_chunk::<16>().ok_or_else(short)?;
            let port = rest.get(16..).and_then(<[u8]>::first_chunk).ok_or_else(short)?;
            Ok(Some(SocketAddr::from((*client, u16::from_be_bytes(*port)))))
        }
        // The load balancer does not say, or not over TCP.
        _ => Ok(None),
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::runtime::Builder;

    use super::*;

    /// Reads a header, and returns the bytes after it.
    fn read(mut bytes: &[u8]) -> (Result<Option<String>, ()>, Vec<u8>) {
        let runtime = Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(read_header(&mut bytes));
        (found.map(|client| client.map(|client| client.to_string())).map_err(drop), bytes.to_vec())
    }

    fn binary(command: u8, family: u8, values: &[u8]) -> Vec<u8> {
        let length = u16::try_from(values.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, values].concat()
    }

    #[test]
    fn a_header_tells_the_client_and_the_bytes_after_it_stay() {
        let v4 = [203, 0, 113, 9, 10, 0, 0, 1, 0x10, 0x92, 1, 187];
        let mut v6 = [0; V6_BYTES];
        (v6[0], v6[1], v6[15], v6[32], v6[33]) = (0x20, 1, 7, 0x10, 0x92);
        let with_values = [&v4[..], &[1, 0, 2, b'h', b'2']].concat();
        type Case = (Vec<u8>, Result<Option<&'static str>, ()>);
        let table: [Case; 19] = [
            (b"PROXY TCP4 203.0.113.9 10.0.0.1 4242 443\r\n".into(), Ok(Some("203.0.113.9:4242"))),
            (b"PROXY TCP6 2001::7 ::1 4242 443\r\n".into(), Ok(Some("[2001::7]:4242"))),
            (b"PROXY UNKNOWN\r\n".into(), Ok(None)),
            (b"PROXY UNKNOWN anything goes here\r\n".into(), Ok(None)),
            (b"PROXY TCP4 2001::7 ::1 4242 443\r\n".into(), Err(())),
            (b"PROXY TCP4 203.0.113.9 10.0.0.1 65536 443\r\n".into(), Err(())),
            (b"PROXY TCP4 203.0.113.9 10.0.0.1 4242\r\n".into(), Err(())),
            (b"PROXY TCP4 203.0.113.9 10.0.0.1 4242 443 7\r\n".into(), Err(())),
            (b"PROXY  TCP4 203.0.113.9 10.0.0.1 4242 443\r\n".into(), Err(())),
            ([&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat(), Err(())),
            (b"GET / HTTP/1.1\r\n".into(), Err(())),
            (vec![22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 0, 0], Err(())),
            (binary(0x21, 0x11, &v4), Ok(Some("203.0.113.9:4242"))),
            (binary(0x21, 0x11, &with_values), Ok(Some("203.0.113.9:4242"))),
            (binary(0x21, 0x21, &v6), Ok(Some("[2001::7]:4242"))),
            (binary(0x20, 0x00, &[]), Ok(None)),
            (binary(0x21, 0x31, &[0; 216]), Ok(None)),
            (binary(0x21, 0x11, &v4[..11]), Err(())),
            (binary(0x11, 0x11, &v4), Err(())),
        ];
        for (header, expected) in table {
            let (found, rest) = read(&[&header[..], b"\x16\x03"].concat());
            let expected = expected.map(|client| client.map(str::to_owned));
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(&header));
            if expected.is_ok() {
                assert_eq!(rest, b"\x16\x03", "the handshake begins there");
            }
            for cut in 0..header.len() {
                assert_eq!(read(&header[..cut]).0, Err(()), "cut off after {cut}");
            }
        }
        let long = [&SIGNATURE[..], &[0x21, 0x11, 255, 255], &[0; 100]].concat();
        assert_eq!(read(&long).0, Err(()), "more than is taken");
    }

    proptest! {
        #[test]
        fn nothing_is_read_beyond_a_bound(bytes: Vec<u8>, is_binary: bool) {
            let start: &[u8] = if is_binary { &SIGNATURE } else { WORD };
            let all = [start, &bytes[..], &[b' '; 700]].concat();
            let (_, rest) = read(&all);
            prop_assert!(all.len() - rest.len() <= 16 + usize::from(MAX_VALUES));
        }
    }
}
