//! The authority's own word on when to renew a certificate (ARI, RFC 9773): a window of time, in
//! which each client takes a moment of its own, so that not all come at once. An authority moves it
//! forward when it has to revoke certificates. No clock is read here.

use std::time::Duration;

use instant_acme::{Account, CertificateIdentifier, Error};

use crate::public::facts::Facts;

/// Shortest time between two questions, also after one that was not answered.
const SHORTEST_PAUSE: Duration = Duration::from_secs(6 * 60 * 60);
/// Longest time between two questions: a certificate is revoked a day after its authority has said
/// that it must be.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// A window of time in seconds since 1970, which is not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    start_s: u64,
    end_s: u64,
}

/// The answer of an authority.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    window: Window,
    /// Time after which to ask again, as the authority wishes.
    again: Duration,
    /// The address of a page with the reason for the window.
    pub(super) explanation: Option<String>,
}

impl Window {
    /// Makes a window. `None` for one that ends before it has begun, which says nothing (RFC 9773
    /// §4.2).
    fn new(start_s: i64, end_s: i64) -> Option<Self> {
        let (start_s, end_s) = (u64::try_from(start_s).ok()?, u64::try_from(end_s).ok()?);
        (start_s < end_s).then_some(Self { start_s, end_s })
    }

    /// Returns the moment in the window that belongs to a seed.
    fn moment_s(self, seed: u32) -> u64 {
        let length_s = u128::from(self.end_s - self.start_s);
        let part_s = (length_s * u128::from(seed)) >> u32::BITS;
        self.start_s.saturating_add(u64::try_from(part_s).unwrap_or(u64::MAX))
    }
}

/// Asks an authority about a certificate.
///
/// # Errors
///
/// Fails if the authority does not say, or not in time.
pub(super) async fn ask(
    account: &Account,
    certificate: &CertificateIdentifier<'_>,
) -> Result<Answer, Error> {
    let (info, again) = account.renewal_info(certificate).await?;
    let window = info.suggested_window;
    let window = Window::new(window.start.unix_timestamp(), window.end.unix_timestamp());
    let window = window.ok_or(Error::Str("a window that ends after it has begun"))?;
    Ok(Answer { window, again, explanation: info.explanation_url })
}

/// All that is known of an authority's advice on the certificate in use.
#[derive(Debug)]
pub(super) struct Advice {
    /// Chooses the moment in a window: the same as long as the window is the same.
    seed: u32,
    /// The certificate that it is about.
    certificate: Option<CertificateIdentifier<'static>>,
    window: Option<Window>,
    /// The time of the next question, in seconds since 1970.
    ask_s: u64,
}

impl Advice {
    /// Begins without any.
    pub(super) fn new(seed: u32) -> Self {
        Self { seed, certificate: None, window: None, ask_s: 0 }
    }

    /// Returns the certificate to ask about, if it is time to.
    pub(super) fn question(
        &self,
        facts: &Facts,
        now_s: u64,
    ) -> Option<CertificateIdentifier<'static>> {
        let certificate = facts.identifier.as_ref()?;
        // The clock may have been set back since.
        let is_due = self.ask_s <= now_s || self.ask_s - now_s > LONGEST_PAUSE.as_secs();
        let is_another = self.certificate.as_ref() != Some(certificate);
        (is_due || is_another).then(|| certificate.clone())
    }

    /// Notes the answer to a question. Without one, nothing is known until the next question.
    pub(super) fn heard(
        &mut self,
        certificate: CertificateIdentifier<'static>,
        answer: Option<&Answer>,
        now_s: u64,
    ) {
        let pause = answer.map_or(SHORTEST_PAUSE, |answer| answer.again);
        let pause = pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.certificate = Some(certificate);
        self.window = answer.map(|answer| answer.window);
        self.ask_s = now_s.saturating_add(pause.as_secs());
    }

    /// Returns the time of the renewal, in seconds since 1970, if the authority has said one for
    /// this certificate.
    pub(super) fn moment_s(&self, facts: &Facts) -> Option<u64> {
        let is_for_it = facts.identifier.is_some() && self.certificate == facts.identifier;
        self.window.filter(|_| is_for_it).map(|window| window.moment_s(self.seed))
    }

    /// Returns the certificate that a new one replaces: one that the authority knows.
    pub(super) fn replaced(&self, facts: &Facts) -> Option<CertificateIdentifier<'static>> {
        self.moment_s(facts).and(facts.identifier.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::Full;
    use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
    use rcgen::KeyPair;

    use super::*;

    const HOUR: u64 = 60 * 60;
    const DAY: u64 = 24 * HOUR;

    fn identifier(serial: &'static str) -> CertificateIdentifier<'static> {
        CertificateIdentifier {
            authority_key_identifier: "aYhba4dGQEHhs3uEe6CuLN4ByNQ".into(),
            serial: serial.into(),
        }
    }

    fn facts(serial: Option<&'static str>) -> Facts {
        let identifier = serial.map(identifier);
        Facts { not_before_s: 1000, not_after_s: 1000 + 90 * DAY, names: Vec::new(), identifier }
    }

    fn answer(start_s: u64, end_s: u64, again: Duration) -> Answer {
        Answer { window: Window { start_s, end_s }, again, explanation: None }
    }

    #[test]
    fn a_moment_in_the_window_belongs_to_each_seed() {
        for (start_s, end_s, seed, moment_s) in [
            (1000, 2000, 0, 1000),
            (1000, 2000, 1 << 31, 1500),
            (1000, 2000, u32::MAX, 1999),
            (1000, 1001, u32::MAX, 1000),
            (0, u64::MAX, u32::MAX, u64::MAX - (1 << 32)),
        ] {
            let found = Window { start_s, end_s }.moment_s(seed);
            assert!((start_s..end_s).contains(&found), "{start_s} {end_s} {seed}");
            assert_eq!(found, moment_s, "{start_s} {end_s} {seed}");
        }
        for (start_s, end_s) in [(2, 1), (1, 1), (-2, -1), (-1, 1)] {
            assert_eq!(Window::new(start_s, end_s), None, "{start_s} {end_s}");
        }
    }

    #[test]
    fn an_authority_is_asked_about_each_certificate_and_again_within_a_day() {
        for (what, again_s, pause_s) in [
            ("as it wishes", Some(12 * HOUR), 12 * HOUR),
            ("too often", Some(1), 6 * HOUR),
            ("too seldom", Some(30 * DAY), DAY),
            ("no answer", None, 6 * HOUR),
        ] {
            let now_s = 100 * DAY;
            let mut advice = Advice::new(0);
            let one = facts(Some("AIdlQyE"));
            assert_eq!(advice.question(&one, now_s), Some(identifier("AIdlQyE")), "{what}");
            let said = again_s.map(|again_s| answer(1, 2, Duration::from_secs(again_s)));
            advice.heard(identifier("AIdlQyE"), said.as_ref(), now_s);
            for (at_s, asks) in [
                (now_s, false),
                (now_s + pause_s - 1, false),
                (now_s + pause_s, true),
                (now_s - 2 * DAY, true),
            ] {
                assert_eq!(advice.question(&one, at_s).is_some(), asks, "{what} at {at_s}");
            }
            let next = advice.question(&facts(Some("other")), now_s);
            assert_eq!(next, Some(identifier("other")), "{what}");
            assert_eq!(advice.question(&facts(None), now_s + DAY), None, "{what}");
        }
    }

    #[test]
    fn advice_is_for_the_certificate_that_it_was_given_for_until_the_next_answer() {
        let mut advice = Advice::new(1 << 31);
        let (one, other) = (facts(Some("AIdlQyE")), facts(Some("other")));
        assert_eq!((advice.moment_s(&one), advice.replaced(&one)), (None, None));
        let said = answer(1000, 2000, SHORTEST_PAUSE);
        advice.heard(identifier("AIdlQyE"), Some(&said), 500);
        assert_eq!(advice.moment_s(&one), Some(1500));
        assert_eq!(advice.replaced(&one), Some(identifier("AIdlQyE")));
        assert_eq!((advice.moment_s(&other), advice.replaced(&other)), (None, None));
        assert_eq!(advice.moment_s(&facts(None)), None);
        advice.heard(identifier("AIdlQyE"), None, 500);
        assert_eq!((advice.moment_s(&one), advice.replaced(&one)), (None, None));
    }

    /// An authority with this directory and this answer, with its time to ask again.
    struct Fake {
        directory: &'static str,
        again: Option<&'static str>,
        info: &'static str,
    }

    impl HttpClient for Fake {
        fn request(
            &self,
            request: Request<BodyWrapper<Bytes>>,
        ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
            let mut response = Response::builder();
            let text = match request.uri().path() {
                "/dir" => self.directory,
                "/ari/aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE" => {
                    if let Some(again) = self.again {
                        response = response.header("retry-after", again);
                    }
                    self.info
                }
                path => panic!("{path}"),
            };
            let response = response.body(Full::new(Bytes::from_static(text.as_bytes())));
            Box::pin(async move { Ok(response?.into()) })
        }
    }

    #[tokio::test]
    async fn what_an_authority_says_is_read_and_all_else_is_an_error() {
        let with = r#"{"newNonce":"https://ca/n","newAccount":"https://ca/a",
            "newOrder":"https://ca/o","renewalInfo":"https://ca/ari"}"#;
        let without = r#"{"newNonce":"https://ca/n","newAccount":"https://ca/a",
            "newOrder":"https://ca/o"}"#;
        let info = r#"{"suggestedWindow":{"start":"2021-01-03T00:00:00Z",
            "end":"2021-01-07T00:00:00Z"},"explanationURL":"https://ca/why"}"#;
        let backwards = r#"{"suggestedWindow":{"start":"2021-01-07T00:00:00Z",
            "end":"2021-01-03T00:00:00Z"}}"#;
        for (what, directory, again, info, is_answer) in [
            ("an answer", with, Some("21600"), info, true),
            ("no such service", without, Some("21600"), info, false),
            ("no time to ask again", with, None, info, false),
            ("a window that is none", with, Some("21600"), backwards, false),
            ("nonsense", with, Some("21600"), "nonsense", false),
        ] {
            let key = KeyPair::generate().unwrap().serialize_der();
            let key =
                base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, key);
            let credentials =
                format!(r#"{{"id":"1","key_pkcs8":"{key}","directory":"https://ca/dir"}}"#);
            let credentials = serde_json::from_str(&credentials).unwrap();
            let http = Box::new(Fake { directory, again, info });
            let account = Account::builder_with_http(http).from_credentials(credentials).await;
            let found = ask(&account.unwrap(), &identifier("AIdlQyE")).await;
            assert_eq!(found.is_ok(), is_answer, "{what}: {found:?}");
            let Ok(found) = found else { continue };
            // date -u -d 2021-01-03 +%s
            let window = Window { start_s: 1_609_632_000, end_s: 1_609_977_600 };
            assert_eq!(found.window, window);
            assert_eq!(found.explanation.as_deref(), Some("https://ca/why"));
            // It was counted from a moment ago.
            assert!((21_590..=21_600).contains(&found.again.as_secs()), "{:?}", found.again);
        }
    }
}
