use std::time::{Duration, Instant};

use super::*;

/// Time that passes between two looks at the timers.
const TICK: Duration = Duration::from_millis(100);

/// Passes datagrams between both sides until both are ready, dropping those for which `lose`
/// returns true.
fn run(
    now: &mut Instant,
    client: &mut DtlsSrtp,
    server: &mut DtlsSrtp,
    mut lose: impl FnMut(usize) -> bool,
) -> Result<(), DtlsSrtpError> {
    let mut count = 0;
    for _ in 0..200 {
        let mut quiet = true;
        while let Some(datagram) = client.poll_transmit() {
            quiet = false;
            count += 1;
            if !lose(count) {
                server.handle_dtls(*now, &datagram)?;
            }
        }
        while let Some(datagram) = server.poll_transmit() {
            quiet = false;
            count += 1;
            if !lose(count) {
                client.handle_dtls(*now, &datagram)?;
            }
        }
        if quiet {
            if client.is_ready() && server.is_ready() {
                return Ok(());
            }
            *now += TICK;
            client.handle_timeout(*now)?;
            server.handle_timeout(*now)?;
        }
    }
    Err(DtlsSrtpError::NotReady)
}

fn pair(expected_by_server: Option<Fingerprint>) -> (DtlsSrtp, DtlsSrtp) {
    let (a, b) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let client = DtlsSrtp::new(&a, DtlsRole::Client, b.fingerprint()).unwrap();
    let expected = expected_by_server.unwrap_or(a.fingerprint());
    let server = DtlsSrtp::new(&b, DtlsRole::Server, expected).unwrap();
    (client, server)
}

/// Makes an RTP packet with this sequence number and one byte of payload.
fn rtp(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 9, 7]);
    packet
}

#[test]
fn both_ends_derive_the_same_keys_whatever_is_lost() {
    for (name, lost) in [("nothing", vec![]), ("the first", vec![1]), ("some", vec![2, 3, 5])] {
        let mut now = Instant::now();
        let (mut client, mut server) = pair(None);
        client.start(now).unwrap();
        run(&mut now, &mut client, &mut server, |n| lost.contains(&n)).expect(name);
        let sent = server.protect_rtp(&rtp(1)).unwrap();
        assert_ne!(sent.as_ref(), rtp(1), "{name}");
        assert_eq!(client.unprotect_rtp(&sent).unwrap().as_ref(), rtp(1), "{name}");
        assert_eq!(client.unprotect_rtp(&sent), Err(DtlsSrtpError::NotAuthentic), "replayed");
    }
}

#[test]
fn a_certificate_that_was_not_announced_is_refused() {
    let mut now = Instant::now();
    let (mut client, mut server) = pair(Some(Fingerprint([0; 32])));
    client.start(now).unwrap();
    let error = run(&mut now, &mut client, &mut server, |_| false).unwrap_err();
    assert!(matches!(error, DtlsSrtpError::Handshake(_)), "{error}");
    assert!(!server.is_ready());
}

#[test]
fn nothing_is_protected_before_the_handshake() {
    let (mut client, _) = pair(None);
    assert_eq!(client.protect_rtp(&rtp(1)), Err(DtlsSrtpError::NotReady));
    assert_eq!(client.unprotect_rtp(&rtp(1)), Err(DtlsSrtpError::NotReady));
}

#[test]
fn closing_tells_the_peer() {
    let mut now = Instant::now();
    let (mut client, mut server) = pair(None);
    client.start(now).unwrap();
    run(&mut now, &mut client, &mut server, |_| false).unwrap();
    server.close(now);
    while let Some(datagram) = server.poll_transmit() {
        client.handle_dtls(now, &datagram).unwrap();
    }
    assert!(client.is_closed() && !client.is_ready());
}
