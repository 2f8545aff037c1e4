//! Headers that tell browsers what a page of this server may do, and what others may do to it.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use url::{Host, Url};

use crate::whep;

/// One year, which is what lists of such sites ask for.
const TRANSPORT_SECURITY: &str = "max-age=31536000";
/// Features of browsers that the dashboard never asks for.
const PERMISSIONS: &str = "accelerometer=(), bluetooth=(), camera=(), display-capture=(), \
    geolocation=(), gyroscope=(), hid=(), magnetometer=(), microphone=(), midi=(), payment=(), \
    serial=(), usb=()";
/// Top-level domains for which no public authority issues certificates: a browser that remembers
/// them as secure could not go back to a LAN without any.
const LOCAL_DOMAINS: [&str; 10] = [
    "arpa",
    "corp",
    "home",
    "internal",
    "intranet",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "test",
];
/// The longest host that is repeated in a header: a name, and a port.
const MAX_HOST: usize = 253 + 6;

/// Facts that the headers depend on.
#[derive(Debug, Clone)]
pub(crate) struct PageHeaders {
    /// The host and port in the public URL.
    public_host: Option<String>,
    /// True if browsers are told never to come without TLS.
    is_strict: bool,
}

impl PageHeaders {
    /// Creates them for this public URL. A server with an authority of its own is never pinned to
    /// TLS: after a change of the authority nobody could open the page that says how to trust it.
    pub(crate) fn new(public_url: Option<&Url>, has_own_authority: bool) -> Self {
        let host = |url: &Url| {
            let host = url.host_str()?;
            Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
        };
        let is_strict = !has_own_authority
            && public_url.is_some_and(|url| url.scheme() == "https" && is_public(url));
        Self { public_host: public_url.and_then(host), is_strict }
    }

    /// Returns the policy for scripts, styles, frames and connections. Some browsers do not count
    /// WebSockets of the page's own host as its own, so these hosts are named.
    fn content_policy(&self, host: Option<&str>) -> String {
        let hosts = [host.filter(|host| is_host(host)), self.public_host.as_deref()];
        let mut connect = "'self'".to_owned();
        for (index, host) in hosts.iter().enumerate() {
            if let Some(host) = host.filter(|_| !hosts[..index].contains(host)) {
                connect += &format!(" ws://{host} wss://{host}");
            }
        }
        format!(
            "default-src 'self'; connect-src {connect}; img-src 'self' data: blob:; \
             media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; \
             frame-ancestors 'none'"
        )
    }

    fn set(&self, host: Option<&str>, path: &str, headers: &mut HeaderMap) {
        let is_for_all = path.starts_with("/whep/");
        let resources = if is_for_all { "cross-origin" } else { "same-origin" };
        let fixed = [
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("permissions-policy"), PERMISSIONS),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-resource-policy"), resources),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Ok(policy) = HeaderValue::from_str(&self.content_policy(host)) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        if self.is_strict {
            let value = HeaderValue::from_static(TRANSPORT_SECURITY);
            headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
        }
        if path.starts_with("/api/") {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        if is_for_all {
            whep::allow_origins(headers);
        }
    }
}

/// Adds the headers to every response.
pub(crate) async fn add(State(page): State<PageHeaders>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let host = request.headers().get(header::HOST).cloned();
    let mut response = next.run(request).await;
    let host = host.as_ref().and_then(|host| host.to_str().ok());
    page.set(host, &path, response.headers_mut());
    response
}

/// Returns true if a public authority may have issued the certificate of this URL's host, so that
/// there is no reason ever to reach it without TLS.
fn is_public(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            let top = name.rsplit('.').next().unwrap_or_default();
            name.contains('.') && !LOCAL_DOMAINS.contains(&top)
        }
        Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => false,
    }
}

/// Returns true for a host, with or without a port, and nothing that could end a policy.
fn is_host(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
    (1..=MAX_HOST).contains(&text.len()) && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(public_url: Option<&str>, host: &str, path: &str) -> HeaderMap {
        let public_url = public_url.map(|url| Url::parse(url).unwrap());
        let mut headers = HeaderMap::new();
        PageHeaders::new(public_url.as_ref(), false).set(Some(host), path, &mut headers);
        headers
    }

    #[test]
    fn s15_only_names_that_authorities_vouch_for_are_pinned_to_tls() {
        for (url, strict) in [
            (None, false),
            (Some("https://cams.example.org"), true),
            (Some("https://cams.example.org:8443/cams"), true),
            (Some("https://cams.example.org."), true),
            (Some("http://cams.example.org"), false),
            (Some("https://203.0.113.7"), false),
            (Some("https://[2001:db8::7]"), false),
            (Some("https://cams"), false),
            (Some("https://localhost"), false),
            (Some("https://cams.local"), false),
            (Some("https://cams.internal"), false),
            (Some("https://cams.home.arpa"), false),
            (Some("https://cams.fritz.box"), true),
        ] {
            let found = headers(url, "cams.example.org", "/");
            let found = found.get(header::STRICT_TRANSPORT_SECURITY).is_some();
            assert_eq!(found, strict, "{url:?}");
        }
        let url = Url::parse("https://cams.example.org").unwrap();
        assert!(!PageHeaders::new(Some(&url), true).is_strict, "with an authority of its own");
    }

    #[test]
    fn s15_a_page_connects_to_its_own_host_only() {
        let public = Some("https://cams.example.org:8443/cams");
        for (url, host, expected) in [
            (None, "10.0.0.1:8080", "'self' ws://10.0.0.1:8080 wss://10.0.0.1:8080;"),
            (None, "[::1]:8080", "'self' ws://[::1]:8080 wss://[::1]:8080;"),
            (None, "evil; script-src *", "'self';"),
            (None, "*", "'self';"),
            (None, "", "'self';"),
            (
                public,
                "cams.example.org:8443",
                "'self' ws://cams.example.org:8443 wss://cams.example.org:8443;",
            ),
            (
                public,
                "10.0.0.1",
                "'self' ws://10.0.0.1 wss://10.0.0.1 ws://cams.example.org:8443 \
                 wss://cams.example.org:8443;",
            ),
        ] {
            let found = headers(url, host, "/");
            let policy = found[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            let (_, after) = policy.split_once("connect-src ").unwrap();
            assert!(after.starts_with(expected), "{host}: {policy}");
        }
    }

    #[test]
    fn s15_pages_of_others_get_nothing_but_players_do() {
        for (path, resources, origin, cached) in [
            ("/", "same-origin", None, None),
            ("/api/v1/session", "same-origin", None, Some("no-store")),
            ("/whep/cam", "cross-origin", Some("*"), None),
        ] {
            let headers = headers(None, "h", path);
            let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(text("cross-origin-resource-policy"), Some(resources), "{path}");
            assert_eq!(text("access-control-allow-origin"), origin, "{path}");
            assert_eq!(text("cache-control"), cached, "{path}");
            assert_eq!(text("cross-origin-opener-policy"), Some("same-origin"));
            assert!(text("permissions-policy").unwrap().contains("microphone=()"));
        }
    }
}
