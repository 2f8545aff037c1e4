use super::*;

const BASIC: &str = "Basic realm=\"r\"";
const MD5: &str = "Digest realm=\"r\", nonce=\"n\", qop=\"auth\"";
const STALE: &str = "Digest realm=\"r\", nonce=\"m\", qop=\"auth\", stale=TRUE";
const SHA256: &str = "Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256";

/// The kind of proof that a request has, in a word.
fn kind(proof: &Proof) -> &'static str {
    let envelope = &proof.envelope;
    match proof.authorization.split(' ').next() {
        Some("Basic") => "basic",
        Some("Digest") if proof.authorization.contains("SHA-256") => "sha256",
        Some("Digest") => "md5",
        _ if envelope.contains("#PasswordDigest") => "token",
        _ if envelope.contains("#PasswordText") => "text",
        _ => "nothing",
    }
}

fn ladder(allows_text: bool) -> Ladder {
    let credentials = Credentials { user: "u".to_owned(), password: "secret".to_owned() };
    Ladder::new(Some(credentials), allows_text, 1)
}

/// Sends one request to a camera that accepts `accepted` and refuses everything else with
/// `challenges`. Returns the kinds of proofs, and the reason of giving up.
fn request(
    ladder: &mut Ladder,
    challenges: &[&str],
    accepted: &str,
) -> (Vec<&'static str>, Option<Finding>) {
    let challenges: Vec<String> = challenges.iter().map(|text| (*text).to_owned()).collect();
    let mut attempts = Attempts::default();
    let mut kinds = Vec::new();
    for _ in 0..20 {
        let proof = ladder.prove("/onvif", "<x/>", 0);
        kinds.push(kind(&proof));
        if kind(&proof) == accepted {
            ladder.handle_success(proof.shown);
            return (kinds, None);
        }
        if let Reaction::Stop(finding) =
            ladder.handle_denied(proof.shown, &mut attempts, &challenges)
        {
            return (kinds, Some(finding));
        }
    }
    panic!("the ladder has no end: {kinds:?}");
}

type Case = (
    &'static str,
    bool,
    &'static [&'static str],
    &'static str,
    &'static [&'static str],
    Option<&'static str>,
);

#[test]
fn each_camera_is_asked_in_the_way_it_wants_and_never_refused_more_than_twice() {
    let cases: &[Case] = &[
        ("an open camera", false, &[], "nothing", &["nothing"], None),
        ("HTTP digest", false, &[MD5], "md5", &["nothing", "md5"], None),
        ("the stronger digest", false, &[MD5, SHA256], "sha256", &["nothing", "sha256"], None),
        ("a digest that lies", false, &[MD5, SHA256], "md5", &["nothing", "sha256", "md5"], None),
        ("a token", false, &[], "token", &["nothing", "token"], None),
        (
            "a token in spite of a challenge",
            false,
            &[MD5],
            "token",
            &["nothing", "md5", "token"],
            None,
        ),
        ("text, allowed", true, &[], "text", &["nothing", "token", "text"], None),
        ("text, not allowed", false, &[], "text", &["nothing", "token"], Some("wrong-password")),
        ("Basic, allowed", true, &[BASIC], "basic", &["nothing", "basic"], None),
        ("Basic, not allowed", false, &[BASIC], "basic", &["nothing", "token"], Some("wants-text")),
        (
            "a wrong password",
            false,
            &[MD5],
            "",
            &["nothing", "md5", "token"],
            Some("wrong-password"),
        ),
        (
            "a wrong password, with everything allowed",
            true,
            &[BASIC, MD5, SHA256],
            "",
            &["nothing", "sha256", "md5"],
            Some("wrong-password"),
        ),
        (
            "a wrong password in tokens",
            true,
            &[],
            "",
            &["nothing", "token", "text"],
            Some("wrong-password"),
        ),
    ];
    for (name, allows_text, challenges, accepted, expected, finding) in cases {
        let mut ladder = ladder(*allows_text);
        let (kinds, stopped) = request(&mut ladder, challenges, accepted);
        assert_eq!(kinds, *expected, "{name}");
        assert_eq!(stopped.as_ref().map(Finding::key), *finding, "{name}");
        assert!(ladder.refused() <= MAX_REFUSED, "{name}");
    }
}

#[test]
fn without_a_password_none_is_invented() {
    let mut ladder = Ladder::new(None, true, 1);
    let (kinds, stopped) = request(&mut ladder, &[BASIC, MD5], "");
    assert_eq!((kinds, stopped), (vec!["nothing"], Some(Finding::PasswordMissing)));
}

#[test]
fn the_way_that_worked_is_taken_first_afterwards() {
    for (challenges, accepted) in [(&[MD5][..], "md5"), (&[], "token")] {
        let mut ladder = ladder(false);
        request(&mut ladder, challenges, accepted);
        assert_eq!(request(&mut ladder, challenges, accepted), (vec![accepted], None));
        assert!(ladder.is_proven() && !ladder.sends_text());
    }
}

#[test]
fn a_nonce_that_expires_is_asked_for_again() {
    for (challenge, refused, next) in [(STALE, 0, "md5"), (MD5, 1, "nothing")] {
        let mut ladder = ladder(false);
        request(&mut ladder, &[MD5], "md5");
        let proof = ladder.prove("/onvif", "<x/>", 0);
        let mut attempts = Attempts::default();
        let reaction = ladder.handle_denied(proof.shown, &mut attempts, &[challenge.to_owned()]);
        assert_eq!((reaction, ladder.refused()), (Reaction::Again, refused), "{challenge}");
        let proof = ladder.prove("/onvif", "<x/>", 0);
        assert_eq!(kind(&proof), "md5", "{challenge}");
        ladder.handle_success(proof.shown);
        // A camera that takes each nonce once is asked for one before each request.
        assert_eq!(kind(&ladder.prove("/onvif", "<x/>", 0)), next, "{challenge}");
    }
}

#[test]
fn a_right_that_the_user_lacks_is_no_wrong_password() {
    for (challenges, accepted) in [(&[MD5][..], "md5"), (&[], "token")] {
        let mut ladder = ladder(true);
        request(&mut ladder, challenges, accepted);
        let (_, stopped) = request(&mut ladder, challenges, "");
        assert_eq!(stopped, Some(Finding::NotPermitted), "{accepted}");
        assert!(ladder.refused() <= MAX_REFUSED, "{accepted}");
    }
}

#[test]
fn a_text_that_was_sent_is_told() {
    for (challenges, accepted) in [(&[BASIC][..], "basic"), (&[], "text")] {
        let mut ladder = ladder(true);
        request(&mut ladder, challenges, accepted);
        assert!(ladder.sends_text(), "{accepted}");
    }
}
