use proptest::prelude::*;
use rand::SeedableRng as _;

use super::challenge::Quality;
use super::*;

fn authenticator() -> Authenticator {
    let (user, password) = ("ada".to_owned(), "secret".to_owned());
    Authenticator::new(Some(Credentials { user, password }))
}

fn authorize(authenticator: &mut Authenticator) -> String {
    authenticator.authorize(&mut StdRng::seed_from_u64(1), "DESCRIBE", "rtsp://cam/", b"")
}

/// Returns the schemes of a value in words.
fn words(value: &str) -> Vec<String> {
    let word = |c: &Challenge| match c.scheme {
        Scheme::Basic => format!("basic {}", c.realm),
        Scheme::Digest(_) => {
            let algorithm = c.algorithm.as_deref().unwrap_or("none");
            let quality = match c.quality {
                Quality::None => "",
                Quality::Auth => " auth",
                Quality::AuthInt => " auth-int",
            };
            format!("{algorithm} {} {}{quality}", c.realm, c.nonce)
        }
    };
    challenge::read(value).iter().map(word).collect()
}

#[test]
fn challenges_are_read_however_they_are_written() {
    let table: [(&str, &[&str]); 11] = [
        ("Digest realm=\"r\", nonce=\"n\"", &["none r n"]),
        ("digest REALM = \"r\" , Nonce=n", &["none r n"]),
        ("Digest realm=\"r\" nonce=\"n\" qop=\"auth\"", &["none r n auth"]),
        ("Digest realm=\"r\",nonce=\"n\",qop=\"auth-int\"", &["none r n auth-int"]),
        ("Digest realm=\"r\",nonce=\"n\",qop=\"auth-int,auth\"", &["none r n auth"]),
        ("Basic realm=\"a, b\"", &["basic a, b"]),
        (
            "Basic realm=\"r\", Digest realm=\"r\", nonce=\"n\", algorithm=\"MD5\"",
            &["basic r", "MD5 r n"],
        ),
        (
            "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256, Digest realm=\"r\", nonce=\"n\", \
          algorithm=MD5",
            &["SHA-256 r n", "MD5 r n"],
        ),
        ("Digest realm=\"r\\\"q\", nonce=\"n", &["none r\\\"q n"]),
        ("Negotiate, Digest realm=r, nonce=n, algorithm=SHA3", &[]),
        ("", &[]),
    ];
    for (value, expected) in table {
        assert_eq!(words(value), expected, "{value}");
    }
}

#[test]
fn the_strongest_scheme_is_tried_first_and_the_others_after_it() {
    let values = [
        "Basic realm=\"r\"",
        "Digest realm=\"r\", nonce=\"n\", algorithm=MD5",
        "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256",
    ];
    let mut authenticator = authenticator();
    assert_eq!(authorize(&mut authenticator), "", "nothing is sent before it is demanded");
    let mut attempts = Attempts::default();
    for expected in ["algorithm=SHA-256", "algorithm=MD5", "Basic YWRhOnNlY3JldA=="] {
        authenticator.handle_challenges(&mut attempts, values.into_iter()).unwrap();
        let answer = authorize(&mut authenticator);
        assert!(answer.contains(expected), "{expected}: {answer}");
    }
    let result = authenticator.handle_challenges(&mut attempts, values.into_iter());
    assert_eq!(result, Err(AuthFailure::Refused));
}

#[test]
fn a_nonce_may_expire_at_any_request() {
    let value = |nonce: &str, stale: &str| format!("Digest realm=\"r\", nonce=\"{nonce}\"{stale}");
    let mut authenticator = authenticator();
    for (nonce, stale) in [("a", ""), ("b", ""), ("c", ", stale=true")] {
        // Each is a request of its own, which was sent with the nonce before.
        let values = [value(nonce, stale)];
        let values = values.iter().map(String::as_str);
        authenticator.handle_challenges(&mut Attempts::default(), values).unwrap();
        assert!(authorize(&mut authenticator).contains(&format!("nonce=\"{nonce}\"")));
    }
    // A camera whose nonces are all stale is given up.
    let mut attempts = Attempts::default();
    let mut answers = 0;
    let stale = value("d", ", stale=TRUE");
    while authenticator.handle_challenges(&mut attempts, std::iter::once(&stale[..])).is_ok() {
        answers += 1;
    }
    assert_eq!(answers, MAX_ATTEMPTS);
}

#[test]
fn another_nonce_for_a_fresh_answer_means_a_wrong_password() {
    let mut authenticator = authenticator();
    let mut attempts = Attempts::default();
    let values = ["Digest realm=\"r\", nonce=\"1\"", "Digest realm=\"r\", nonce=\"2\""];
    let mut results = values
        .iter()
        .map(|value| authenticator.handle_challenges(&mut attempts, std::iter::once(*value)));
    assert_eq!(results.next(), Some(Ok(())));
    assert_eq!(results.next(), Some(Err(AuthFailure::Refused)));
}

#[test]
fn challenges_that_cannot_be_answered_are_told_apart() {
    let mut none = Authenticator::new(None);
    let value = || std::iter::once("Digest realm=\"r\", nonce=\"n\"");
    let result = none.handle_challenges(&mut Attempts::default(), value());
    assert_eq!(result, Err(AuthFailure::Missing));
    let unknown = std::iter::once("Bearer");
    let result = authenticator().handle_challenges(&mut Attempts::default(), unknown);
    assert_eq!(result, Err(AuthFailure::Unknown));
}

proptest! {
    #[test]
    fn any_value_is_read(value in "\\PC{0,80}") {
        prop_assert!(challenge::read(&value).len() <= 9);
    }
}
