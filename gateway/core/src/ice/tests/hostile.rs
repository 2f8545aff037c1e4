//! Hostile input: no panic, no growth, and no effect without the password.

use super::*;

/// A datagram that an attacker on the path may send.
#[derive(Clone, Debug)]
enum Attack {
    /// Random bytes that the demultiplexer takes for STUN.
    Random(Vec<u8>),
    /// A genuine message with one byte changed.
    Flipped(usize, u8),
    /// A genuine message cut short.
    Truncated(usize),
    /// A genuine message from another address.
    Replayed(u16),
    /// A well-formed check with a guessed password.
    Forged(bool),
    /// A well-formed response with a guessed password and a genuine transaction id.
    ForgedResponse,
}

fn attack() -> impl Strategy<Value = Attack> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200).prop_map(|mut bytes| {
            if let Some(first) = bytes.first_mut() {
                *first &= 0x3F;
            }
            Attack::Random(bytes)
        }),
        (any::<usize>(), 1..=u8::MAX).prop_map(|(at, bits)| Attack::Flipped(at, bits)),
        any::<usize>().prop_map(Attack::Truncated),
        any::<u16>().prop_map(Attack::Replayed),
        any::<bool>().prop_map(Attack::Forged),
        Just(Attack::ForgedResponse),
    ]
}

/// Returns the state that no attack may change.
fn state(agent: &Agent) -> (Option<Path>, Role, Vec<PairReport>) {
    (agent.selected(), agent.role(), agent.pairs().collect())
}

/// Makes the datagram of an attack from a genuine check of the peer and the id of one of the
/// victim's own checks.
fn make(
    attack: &Attack,
    captured: &[u8],
    transaction: TransactionId,
    two: &Two,
) -> (SocketAddr, Vec<u8>) {
    let mut bytes = captured.to_vec();
    let from = addr(LEFT);
    match attack {
        Attack::Random(random) => bytes.clone_from(random),
        Attack::Flipped(at, bits) => {
            let at = at % bytes.len();
            bytes[at] ^= bits;
        }
        Attack::Truncated(len) => bytes.truncate(len % bytes.len()),
        Attack::Replayed(port) => return (SocketAddr::new(from.ip(), *port), bytes),
        Attack::Forged(use_candidate) => {
            let mut check = Forged::check(&two.left, &two.right);
            check.password = "guessed password 123456";
            check.use_candidate = *use_candidate;
            bytes = check.bytes();
        }
        Attack::ForgedResponse => {
            let key = ShortTermKey::new("guessed password 123456");
            bytes = message::success(transaction, addr(RIGHT), &key).unwrap();
        }
    }
    (from, bytes)
}

proptest! {
    #[test]
    fn attacks_change_nothing(attacks in prop::collection::vec(attack(), 1..40), early: bool) {
        let mut two = Two::new(Role::Controlling, Role::Controlled);
        two.introduce();
        two.right.handle_timeout(two.now);
        two.drain();
        // A check in flight to the right agent, seen by the attacker.
        let captured = two.under_way.iter().find(|(_, to_right, ..)| *to_right).unwrap().4.clone();
        let own_check = two.under_way.iter().find(|(_, to_right, ..)| !to_right).unwrap();
        let transaction = Message::parse(&own_check.4).unwrap().id();
        if !early {
            two.connect();
        }
        for attack in &attacks {
            let (from, bytes) = make(attack, &captured, transaction, &two);
            let before = state(&two.right);
            let result = two.right.handle_stun(two.now, base(RIGHT), from, &bytes);
            if matches!(attack, Attack::Replayed(_)) {
                // The only message with the right password: it may add a pair to be checked.
                prop_assert!(two.right.pairs().count() <= 2 + attacks.len());
                prop_assert_eq!(two.right.selected(), before.0);
                continue;
            }
            // A byte after MESSAGE-INTEGRITY belongs to FINGERPRINT, so no change goes unnoticed.
            prop_assert!(result.is_err() || bytes == captured, "{:?}: {:?}", attack, result);
            prop_assert_eq!(state(&two.right), before);
        }
        two.connect();
        prop_assert_eq!(two.right.selected().unwrap().remote, addr(LEFT));
    }

    #[test]
    fn no_candidate_line_panics(line in "\\PC{0,600}") {
        let _ = line.parse::<Candidate>();
        let _ = format!("candidate:{line}").parse::<Candidate>();
    }

    #[test]
    fn a_parsed_candidate_is_written_the_same(
        kind in prop::sample::select(vec![
            CandidateKind::Host,
            CandidateKind::ServerReflexive,
            CandidateKind::PeerReflexive,
            CandidateKind::Relay,
        ]),
        ip: std::net::IpAddr,
        port in 1_u16..,
        priority: u32,
        foundation in "[A-Za-z0-9+/]{1,32}",
        ufrag in prop::option::of("[A-Za-z0-9+/]{4,16}"),
    ) {
        let address = candidate::canonical(SocketAddr::new(ip, port));
        prop_assume!(candidate::is_usable(address));
        let related = (kind != CandidateKind::Host).then_some(address);
        let candidate = Candidate { kind, address, priority, foundation, related, ufrag };
        prop_assert_eq!(candidate.to_string().parse(), Ok(candidate));
    }
}
