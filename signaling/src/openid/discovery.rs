//! The document in which a provider describes itself (OpenID Connect Discovery 1.0 §3, RFC 8414).

use serde::Deserialize;
use url::Url;

use super::jwks::Algorithm;
use super::{Flaw, is_loopback};

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    id_token_signing_alg_values_supported: Vec<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// The facts about a provider that signing in needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Discovery {
    pub(super) authorization: Url,
    pub(super) token: Url,
    pub(super) keys: Url,
    /// The address that tells more about the account.
    pub(super) userinfo: Option<Url>,
    /// The algorithms with which ID tokens may be signed.
    pub(super) algorithms: Vec<Algorithm>,
    /// True if the secret goes into the body of a request, not into its head.
    pub(super) posts_secret: bool,
    /// True if each answer names the issuer (RFC 9207).
    pub(super) names_issuer: bool,
}

impl Discovery {
    /// Returns the address of the document of an issuer.
    pub(super) fn address(issuer: &Url) -> Url {
        let mut address = issuer.clone();
        let path = issuer.path().trim_end_matches('/');
        address.set_path(&format!("{path}/.well-known/openid-configuration"));
        address
    }

    /// Reads the document of the issuer that is configured with this text.
    pub(super) fn read(issuer: &str, document: &[u8]) -> Result<Self, Flaw> {
        let document: Document = serde_json::from_slice(document).map_err(|_| Flaw::Malformed)?;
        if document.issuer != issuer {
            return Err(Flaw::Issuer);
        }
        let is_local = Url::parse(issuer).is_ok_and(|issuer| is_plain_and_local(&issuer));
        let endpoint = |text: &str| {
            let url = Url::parse(text).map_err(|_| Flaw::Malformed)?;
            let is_safe = url.scheme() == "https" || (is_local && is_plain_and_local(&url));
            if is_safe { Ok(url) } else { Err(Flaw::Plain) }
        };
        let announced = &document.id_token_signing_alg_values_supported;
        let is_announced = |one: &Algorithm| announced.iter().any(|name| one.has_name(name));
        let algorithms: Vec<_> = Algorithm::ALL.into_iter().filter(is_announced).collect();
        if algorithms.is_empty() {
            return Err(Flaw::Algorithm);
        }
        // Without this member, only the head of a request counts.
        let methods = document.token_endpoint_auth_methods_supported.unwrap_or_default();
        let takes = |name: &str| methods.iter().any(|method| method == name);
        Ok(Self {
            authorization: endpoint(&document.authorization_endpoint)?,
            token: endpoint(&document.token_endpoint)?,
            keys: endpoint(&document.jwks_uri)?,
            userinfo: document.userinfo_endpoint.as_deref().map(endpoint).transpose()?,
            algorithms,
            posts_secret: takes("client_secret_post") && !takes("client_secret_basic"),
            names_issuer: document.authorization_response_iss_parameter_supported,
        })
    }
}

/// Returns true for an address of this machine without TLS, as tests have it.
pub(super) fn is_plain_and_local(url: &Url) -> bool {
    url.scheme() == "http" && is_loopback(url)
}
