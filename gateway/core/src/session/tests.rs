use super::*;
use crate::transport::SETUP_TIMEOUT;

fn config(now: Instant, seed: u64) -> SessionConfig {
    SessionConfig {
        source: crate::camera::StreamId::main("door".parse().unwrap()),
        identity: Identity::generate().unwrap(),
        ice_servers: Vec::new(),
        turn_only: false,
        expires: now + Duration::from_secs(3600),
        seed,
    }
}

#[test]
fn a_session_without_an_answer_ends() {
    let now = Instant::now();
    let mut gateway = Session::offering(now, config(now, 1), None).unwrap();
    let mut end = now;
    for _ in 0..10_000 {
        let Some(due) = gateway.poll_timeout() else { break };
        end = due;
        gateway.handle_timeout(due);
    }
    let ended = std::iter::from_fn(|| gateway.poll_output())
        .any(|output| matches!(output, SessionOutput::Ended(_)));
    assert!(ended);
    assert!(end - now <= SETUP_TIMEOUT, "{:?}", end - now);
}

#[test]
fn an_unusable_offer_is_refused_with_the_reason() {
    let now = Instant::now();
    for (offer, expected) in [
        ("", "line 1"),
        ("v=0\r\nnonsense", "no video section"),
        (
            "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n",
            "video",
        ),
        (&"x".repeat(70_000), "more than"),
    ] {
        let error = Session::answering(now, config(now, 1), None, offer).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}
