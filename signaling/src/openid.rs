//! Signing in with an account at a provider of OpenID Connect (Core 1.0, Discovery 1.0), by the
//! authorization code flow with PKCE (RFC 7636) and the advice of RFC 9700.
//!
//! A browser that begins gets a sealed cookie (`flow`) and goes to the provider, which sends it
//! back to a page of the dashboard with a code. The page posts the code, and `provider` exchanges
//! it for an ID token, which `id_token` checks with the keys of `jwks`.

mod discovery;
mod fetch;
mod flow;
mod id_token;
mod jwks;
mod provider;
mod rules;

use std::sync::Arc;

use url::{Host, Url};

pub(crate) use fetch::FetchError;
pub(crate) use flow::{Flow, LIFETIME as FLOW_LIFETIME, Purpose};
pub(crate) use provider::{Provider, Response};
pub(crate) use rules::{Account, Forbidden};

/// A reason why an account of the provider does not count.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Trouble {
    /// The provider is not there, or answers what cannot be used.
    #[error(
        "the sign-in service does not answer as it should; try again later, or sign in with a \
         password"
    )]
    Provider(Flaw),
    /// A request to the provider has failed.
    #[error("the sign-in service cannot be reached; try again later, or sign in with a password")]
    Unreachable(Arc<FetchError>),
    /// So many people are signing in that this one has to wait.
    #[error("too many people are signing in at the moment; try again")]
    Busy,
    /// The browser has not begun here, or long ago.
    #[error("this took too long, or was begun in another tab or browser; try again")]
    NotBegun,
    /// The provider says that it has signed nobody in.
    #[error("the sign-in service signed nobody in ({0})")]
    Refused(String),
    /// The answer is none of this provider to this browser.
    #[error("the answer of the sign-in service does not count: {0}")]
    Answer(Flaw),
    /// The account is right, and may not sign in here.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
}

/// A fault in what the provider has sent, or in what claims to be from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    /// A document or token cannot be read.
    #[error("it cannot be read")]
    Malformed,
    /// The document or answer names another issuer than the configured one.
    #[error("it is from another issuer")]
    Issuer,
    /// An address in the document is not one with TLS.
    #[error("it names an address without TLS")]
    Plain,
    /// The token is signed with an algorithm that does not count.
    #[error("it is signed with an algorithm that does not count")]
    Algorithm,
    /// The provider has no key with which the token could be signed.
    #[error("it is signed with a key that the issuer does not have")]
    UnknownKey,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// The token is for another client.
    #[error("it is for another program")]
    Audience,
    /// The token has expired, or is not valid yet: a clock may be wrong.
    #[error("it is not of this time; is the clock of this server right?")]
    Time,
    /// The token answers another request.
    #[error("it is the answer to another request")]
    Nonce,
    /// The account has no usable id, or the details are those of another one.
    #[error("it names no account")]
    Subject,
}

/// Returns true for a URL of this machine, which needs no TLS.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests;
