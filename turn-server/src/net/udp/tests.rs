use std::net::UdpSocket as Std;
use std::time::Duration;

use mio::{Events, Poll};

use super::*;

fn udp() -> Udp {
    let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    Udp::new(socket, Family::V4, true)
}

fn receiver() -> (Std, SocketAddr) {
    let socket = Std::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

#[test]
fn datagrams_of_one_call_arrive_in_order_and_a_refused_one_stops_no_other() {
    const ANNA: usize = 0;
    const BERT: usize = 1;
    const NOBODY: usize = 2;
    type Case<'a> = (&'a str, &'a [(usize, &'a str, usize)], [&'a [&'a str]; 2], usize);
    // Name; destination, text and number of datagrams; what each receives; how many are refused.
    let cases: &[Case<'_>] = &[
        ("nothing", &[], [&[], &[]], 0),
        ("one", &[(ANNA, "a", 1)], [&["a"], &[]], 0),
        (
            "single ones",
            &[(ANNA, "a", 1), (BERT, "b", 1), (ANNA, "c", 1)],
            [&["a", "c"], &["b"]],
            0,
        ),
        (
            "a run between",
            &[(ANNA, "a", 1), (BERT, "b", 1), (ANNA, "cd", 2), (ANNA, "e", 1), (BERT, "f", 1)],
            [&["a", "c", "d", "e"], &["b", "f"]],
            0,
        ),
        ("the first is refused", &[(NOBODY, "x", 1), (ANNA, "a", 1)], [&["a"], &[]], 1),
        (
            "one between is refused",
            &[(ANNA, "a", 1), (NOBODY, "x", 1), (BERT, "b", 1), (ANNA, "c", 1)],
            [&["a", "c"], &["b"]],
            1,
        ),
        ("a run is refused", &[(NOBODY, "xy", 2), (BERT, "b", 1)], [&[], &["b"]], 2),
    ];
    for (what, sent, expected, refused) in cases {
        let [(anna, to_anna), (bert, to_bert)] = [receiver(), receiver()];
        let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
        let parts: Vec<_> =
            sent.iter().map(|(_, text, _)| [IoSlice::new(text.as_bytes())]).collect();
        let all: Vec<_> = sent
            .iter()
            .zip(&parts)
            .map(|((to, text, count), parts)| {
                let segment = text.len() / count;
                ([to_anna, to_bert, nobody][*to], Datagrams { parts, segment, count: *count })
            })
            .collect();
        assert_eq!(udp().send_all(&all), *refused, "{what}");
        for (socket, expected) in [anna, bert].iter().zip(expected) {
            for text in *expected {
                let mut buffer = [0; 16];
                let len = socket.recv(&mut buffer).unwrap();
                assert_eq!(&buffer[..len], text.as_bytes(), "{what}");
            }
            socket.set_nonblocking(true).unwrap();
            assert!(socket.recv(&mut [0; 16]).is_err(), "{what}: more came");
        }
    }
}

#[test]
fn datagrams_that_exceed_one_call_are_sent_in_several() {
    let (anna, to) = receiver();
    let texts: Vec<_> = (0..2 * MAX_MESSAGES + 1).map(|n| n.to_string()).collect();
    let parts: Vec<_> = texts.iter().map(|text| [IoSlice::new(text.as_bytes())]).collect();
    let all: Vec<_> = parts.iter().map(|parts| (to, Datagrams::one(parts))).collect();
    assert_eq!(udp().send_all(&all), 0);
    for text in texts {
        let mut buffer = [0; 16];
        let len = anna.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], text.as_bytes());
    }
}

#[test]
fn a_poll_reports_a_socket_as_long_as_it_holds_data() {
    let mut poll = Poll::new().unwrap();
    let (token, mut socket) = (Token(7), udp());
    socket.register_level_triggered(poll.registry(), token).unwrap();
    let to = socket.socket.local_addr().unwrap();
    let [(anna, _), (bert, _)] = [receiver(), receiver()];
    for (from, text) in [(&anna, "a"), (&bert, "b"), (&anna, "c")] {
        from.send_to(text.as_bytes(), to).unwrap();
    }
    let mut events = Events::with_capacity(8);
    for (from, text) in [(&anna, "a"), (&bert, "b"), (&anna, "c")] {
        poll.poll(&mut events, Some(Duration::from_secs(5))).unwrap();
        assert_eq!(events.iter().map(mio::event::Event::token).collect::<Vec<_>>(), [token]);
        let mut buffer = [0; 16];
        let (len, source) = socket.receive_one(&mut buffer).unwrap();
        assert_eq!((&buffer[..len], source), (text.as_bytes(), from.local_addr().unwrap()));
        assert_eq!(socket.may_have_more(1, 1), !cfg!(target_os = "linux"));
    }
    poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
    assert!(events.is_empty());
}
