use std::collections::VecDeque;

use rcgen::KeyPair;
use rustls::{AlertDescription, ClientConnection, version};

use super::*;
use crate::tls::test_certificates::{chain, rsa};

#[path = "../../../tests/trusting/mod.rs"]
mod trusting;

/// A stream in memory that accepts a limited number of bytes.
#[derive(Debug, Default)]
struct Pipe {
    to_read: VecDeque<u8>,
    written: Vec<u8>,
    accepts: usize,
    ended: bool,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.to_read.is_empty() && !self.ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.to_read.read(buffer)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(self.accepts);
        if n == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.accepts -= n;
        self.written.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn client(
    versions: &[&'static rustls::SupportedProtocolVersion],
    alpn: &[&str],
) -> ClientConnection {
    trusting::client(versions, alpn).unwrap()
}

fn server(key: &KeyPair) -> TlsConnection {
    TlsConnection::new(server_config(certified_key(&chain(key)).unwrap()).unwrap()).unwrap()
}

/// Carries bytes between both until neither sends more. Returns what the server read, or its error.
fn exchange(
    client: &mut ClientConnection,
    server: &mut TlsConnection,
    pipe: &mut Pipe,
) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    let mut buffer = [0; 1000];
    for _ in 0..20 {
        let mut out = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut out)?;
        }
        pipe.to_read.extend(out);
        pipe.accepts = usize::MAX;
        let result = loop {
            match server.read(pipe, &mut buffer) {
                Ok(n) if n > 0 => read.extend_from_slice(&buffer[..n]),
                other => break other,
            }
        };
        let mut written = &*std::mem::take(&mut pipe.written);
        while !written.is_empty() {
            client.read_tls(&mut written)?;
            client.process_new_packets().map_err(io::Error::other)?;
        }
        match result {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(read),
        }
    }
    Ok(read)
}

#[test]
fn bytes_come_out_as_they_went_in_with_either_version_and_key() {
    for key in [KeyPair::generate().unwrap(), rsa()] {
        for version in [&version::TLS12, &version::TLS13] {
            let (mut client, mut server) = (client(&[version], &[]), server(&key));
            let mut pipe = Pipe::default();
            assert!(exchange(&mut client, &mut server, &mut pipe).unwrap().is_empty());
            assert!(!server.is_handshaking() && !client.is_handshaking());
            let sent: Vec<u8> = (0..=255).cycle().take(10_000).collect();
            client.writer().write_all(&sent).unwrap();
            assert_eq!(exchange(&mut client, &mut server, &mut pipe).unwrap(), sent);

            assert_eq!(server.write(&mut pipe, &sent).unwrap(), sent.len());
            exchange(&mut client, &mut server, &mut pipe).unwrap();
            let mut back = vec![0; sent.len()];
            client.reader().read_exact(&mut back).unwrap();
            assert_eq!(back, sent);

            server.close(&mut pipe);
            exchange(&mut client, &mut server, &mut pipe).unwrap();
            assert_eq!(client.reader().read(&mut back).unwrap(), 0, "close_notify");
        }
    }
}

#[test]
fn a_client_may_offer_the_protocol_or_none_but_not_only_others() {
    for (alpn, chosen) in [
        (&[][..], Ok(None)),
        (&["stun.turn"], Ok(Some(&b"stun.turn"[..]))),
        (&["stun.nat-discovery"], Ok(Some(b"stun.nat-discovery"))),
        (&["h2", "stun.turn"], Ok(Some(b"stun.turn"))),
        (&["h2", "http/1.1"], Err(AlertDescription::NoApplicationProtocol)),
    ] {
        let (mut client, mut server) =
            (client(&[&version::TLS13], alpn), server(&KeyPair::generate().unwrap()));
        let exchanged = exchange(&mut client, &mut server, &mut Pipe::default());
        match chosen {
            Ok(protocol) => {
                exchanged.unwrap();
                assert_eq!(client.alpn_protocol(), protocol);
            }
            Err(alert) => {
                let error = exchanged.unwrap_err();
                let error = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
                assert_eq!(error, Some(&rustls::Error::AlertReceived(alert)));
            }
        }
    }
}

#[test]
fn at_most_one_record_waits_for_a_slow_client() {
    let (mut client, mut server) =
        (client(&[&version::TLS13], &[]), server(&KeyPair::generate().unwrap()));
    let mut pipe = Pipe::default();
    exchange(&mut client, &mut server, &mut pipe).unwrap();
    pipe.accepts = 100;
    assert_eq!(server.write(&mut pipe, &[1; 1000]).unwrap(), 1000);
    for _ in 0..100 {
        let error = server.write(&mut pipe, &[2; 1000]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
    pipe.accepts = usize::MAX;
    server.flush(&mut pipe).unwrap();
    assert!((1000..1100).contains(&pipe.written.len()), "{}", pipe.written.len());
}

#[test]
fn garbage_and_an_end_in_the_middle_are_errors() {
    let key = KeyPair::generate().unwrap();
    for (bytes, kind) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], ErrorKind::InvalidData),
        (&[22, 3, 1, 255, 255, 0], ErrorKind::InvalidData),
        (&[22, 3, 1], ErrorKind::UnexpectedEof),
        (&[], ErrorKind::UnexpectedEof),
    ] {
        let mut pipe = Pipe { ended: true, accepts: 1000, ..Pipe::default() };
        pipe.to_read.extend(bytes);
        let error = server(&key).read(&mut pipe, &mut [0; 100]).unwrap_err();
        assert_eq!(error.kind(), kind, "{bytes:?}: {error}");
    }
}
