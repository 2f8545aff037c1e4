//! Reasons why there is no certificate, each a sentence that says what to do.

use std::fmt;

use instant_acme::{Error, Problem};
use url::Url;

use super::order::Kind;

/// The beginning of the types of problems (RFC 8555 §6.7).
const TYPES: &str = "urn:ietf:params:acme:error:";
/// Longest part of an authority's own words that is repeated.
const MAX_DETAIL: usize = 300;

/// A reason why there is no certificate.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The authority cannot be reached, or does not speak ACME.
    Unreachable(String),
    /// The authority gives out no more for now.
    Limit(String),
    /// The authority has not found our answer to a challenge.
    Check { sentence: String, depends_on_challenge: bool },
    /// The authority has refused the order.
    Refused(String),
    /// The authority no longer knows our account.
    NoAccount(String),
    /// Failure of something on this machine.
    Local(String),
    /// A certificate was given out, and lost on the way or here. Authorities count it.
    Issued(String),
}

impl Trouble {
    /// Describes an authority that cannot be reached.
    pub(super) fn unreachable(directory: &Url, cause: &str) -> Self {
        let cause = cleaned(cause);
        Self::Unreachable(format!(
            "cannot reach the authority at {directory}: {cause}; check that this machine may \
             connect to it (public.acme_directory)"
        ))
    }

    /// Describes an error while an account is made or used.
    pub(super) fn of(directory: &Url, error: Error) -> Self {
        if matches!(error, Error::Api(_)) {
            return Self::from(error);
        }
        Self::unreachable(directory, &error.to_string())
    }

    /// Describes a name for which the authority has no challenge that we can answer.
    pub(super) fn no_challenge(name: &str) -> Self {
        Self::Check {
            sentence: format!(
                "the authority checks {} by none of the ways that Porthole has",
                cleaned(name)
            ),
            depends_on_challenge: true,
        }
    }

    /// Notes that a certificate was given out before this went wrong.
    pub(super) fn after_issue(self) -> Self {
        if matches!(self, Self::Limit(_)) { self } else { Self::Issued(self.to_string()) }
    }

    /// Describes an order that was refused without a reason.
    pub(super) fn refused() -> Self {
        Self::Refused("the authority has refused the order and says no reason".to_owned())
    }

    /// Describes why the authority has not found our answer for a name.
    pub(super) fn at(name: &str, kind: Kind, problem: &Problem) -> Self {
        let (name, detail) = (cleaned(name), detail(problem));
        let port = match kind {
            Kind::TlsAlpn => "443",
            Kind::Http => "80",
        };
        let (what, depends_on_challenge) = match type_of(problem) {
            "connection" => (
                format!(
                    "the authority cannot connect to {name} at port {port}: let {port}/tcp \
                     through the firewall, forward it to this machine, and check that {name} has \
                     the address of this machine"
                ),
                true,
            ),
            "tls" | "unauthorized" | "incorrectResponse" => (
                format!(
                    "the authority did not find this program at {name}, port {port}: let {name} \
                     have the address of this machine, let {port}/tcp reach it, and end whatever \
                     else listens there"
                ),
                true,
            ),
            "dns" => (
                format!(
                    "the authority finds no address for {name}: make a record (A or AAAA) with \
                     the address of this machine"
                ),
                false,
            ),
            "caa" => (
                format!(
                    "the CAA record of {name} allows another authority only: change it, or \
                     public.acme_directory"
                ),
                false,
            ),
            _ => (
                format!(
                    "the authority could not check {name}: see that it has the address of this \
                     machine, and that {port}/tcp reaches it"
                ),
                true,
            ),
        };
        Self::Check { sentence: format!("{what}{detail}"), depends_on_challenge }
    }

    /// Returns true if another kind of challenge may succeed.
    pub(super) fn depends_on_challenge(&self) -> bool {
        matches!(self, Self::Check { depends_on_challenge: true, .. })
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let Error::Api(problem) = error else {
            return Self::Unreachable(format!(
                "the authority has not answered as expected: {}",
                cleaned(&error.to_string())
            ));
        };
        let detail = detail(&problem);
        match type_of(&problem) {
            "rateLimited" => Self::Limit(format!(
                "the authority gives no more certificates for now: wait, or name another one in \
                 public.acme_directory{detail}"
            )),
            "rejectedIdentifier" | "unsupportedIdentifier" | "malformed" => Self::Refused(format!(
                "the authority gives no certificate for these names: set public.names to public \
                 domain names{detail}"
            )),
            "invalidContact" | "unsupportedContact" => Self::Refused(format!(
                "the authority does not accept the address in public.acme_contact{detail}"
            )),
            "accountDoesNotExist" => Self::NoAccount(format!(
                "the authority no longer knows the account; a new one is made with the next \
                 try{detail}"
            )),
            "externalAccountRequired" => Self::Refused(format!(
                "the authority wants an account that was made with it before, which Porthole does \
                 not support: name another one in public.acme_directory{detail}"
            )),
            _ => Self::Refused(format!("the authority has refused the order{detail}")),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(text)
            | Self::Limit(text)
            | Self::Refused(text)
            | Self::NoAccount(text)
            | Self::Issued(text)
            | Self::Local(text) => f.write_str(text),
            Self::Check { sentence, .. } => f.write_str(sentence),
        }
    }
}

fn type_of(problem: &Problem) -> &str {
    let name = problem.r#type.as_deref().unwrap_or_default();
    name.strip_prefix(TYPES).unwrap_or(name)
}

/// Returns the authority's own words, in brackets.
fn detail(problem: &Problem) -> String {
    let part = |text: &Option<String>| text.as_deref().map(cleaned).filter(|text| !text.is_empty());
    let own = part(&problem.detail);
    let first = problem.subproblems.iter().find_map(|problem| part(&problem.detail));
    own.or(first).map(|text| format!(" (it says: {text})")).unwrap_or_default()
}

/// Returns a text of others on one line, shortened.
pub(super) fn cleaned(text: &str) -> String {
    let is_shown = |letter: &char| !letter.is_control();
    text.chars().filter(is_shown).take(MAX_DETAIL).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str, detail: &str) -> Problem {
        let text = format!(r#"{{"type":"{TYPES}{kind}","detail":"{detail}"}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn each_failure_is_one_sentence_that_says_what_to_do() {
        for (kind, by, says, other_way) in [
            ("connection", Kind::TlsAlpn, "let 443/tcp through the firewall", true),
            ("connection", Kind::Http, "let 80/tcp through the firewall", true),
            ("tls", Kind::TlsAlpn, "end whatever else listens there", true),
            ("unauthorized", Kind::Http, "have the address of this machine", true),
            ("dns", Kind::TlsAlpn, "make a record (A or AAAA)", false),
            ("caa", Kind::TlsAlpn, "the CAA record of a.example", false),
            ("serverInternal", Kind::TlsAlpn, "could not check a.example", true),
        ] {
            let trouble = Trouble::at("a.example", by, &problem(kind, r"a\n\u001b[2Jdetail"));
            let text = trouble.to_string();
            assert!(text.contains(says) && text.ends_with("(it says: a[2Jdetail)"), "{text}");
            assert!(!text.contains('\n'), "{text}");
            assert_eq!(trouble.depends_on_challenge(), other_way, "{kind}");
        }
        for (kind, says) in [
            ("rateLimited", "gives no more certificates for now: wait"),
            ("rejectedIdentifier", "set public.names to public domain names"),
            ("invalidContact", "public.acme_contact"),
            ("externalAccountRequired", "public.acme_directory"),
            ("orderNotReady", "has refused the order"),
        ] {
            let trouble = Trouble::from(Error::Api(problem(kind, "d")));
            assert!(trouble.to_string().contains(says), "{trouble}");
            assert_eq!(matches!(trouble, Trouble::Limit(_)), kind == "rateLimited");
        }
        let long = Trouble::from(Error::Api(problem("rateLimited", &"x".repeat(5000))));
        assert!(long.to_string().len() < 500);
        let url = Url::parse("https://acme.example/dir").unwrap();
        let closed = Trouble::of(&url, Error::Other("refused".into())).to_string();
        assert!(closed.contains("cannot reach the authority at https://acme.example/dir: refused"));
    }
}
