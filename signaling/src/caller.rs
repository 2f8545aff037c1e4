//! Authentication of HTTP requests by token or cookie, and protection against requests that pages
//! of other sites make (CSRF).

use http::{HeaderMap, Method, StatusCode, Uri, header};
use porthole_signaling_core::Principal;
use url::Url;

use crate::driver::Driver;
use crate::refusal::Refusal;

/// The name of the cookie of a browser that has signed in.
pub(crate) const COOKIE: &str = "porthole_session";
/// The name of the cookie of a browser that has signed in before.
pub(crate) const DEVICE_COOKIE: &str = "porthole_device";
/// The name of the cookie of a browser that is away, signing in at the provider.
pub(crate) const PROVIDER_COOKIE: &str = "porthole_provider";

/// The sender of an HTTP request.
#[derive(Debug)]
pub(crate) struct Caller {
    /// The owner of the request's credential; `None` without one.
    pub(crate) principal: Option<Principal>,
    /// True if the credential is a cookie, which browsers add to a request no matter which site's
    /// page causes it.
    pub(crate) by_cookie: bool,
}

impl Caller {
    /// Identifies the sender of a request. An invalid token is refused; an invalid cookie is
    /// ignored.
    pub(crate) async fn identify(
        driver: &Driver,
        headers: &HeaderMap,
        uri: &Uri,
        token_in_query: bool,
        cookie_name: &str,
    ) -> Result<Self, Refusal> {
        let token = match bearer(headers)? {
            None if token_in_query => access_token(uri),
            token => token,
        };
        if let Some(token) = token {
            let principal = driver.authenticate_token(&token).await.map_err(invalid_token)?;
            return Ok(Self { principal: Some(principal), by_cookie: false });
        }
        let takings = driver.takings();
        let principal = match cookies_named(headers, cookie_name).next() {
            Some(cookie) => driver.store.find_cookie(cookie).await?,
            None => None,
        };
        let principal = match (principal, cookies(headers, COOKIE).next()) {
            // Under a name that others can set as well, only one that an earlier version has set.
            (None, Some(cookie)) => driver.store.find_earlier_cookie(cookie).await?,
            (principal, _) => principal,
        };
        let principal = principal.map(|principal| principal.as_of(takings));
        Ok(Self { by_cookie: principal.is_some(), principal })
    }
}

/// Refuses an invalid token in the form of RFC 6750 §3.1.
fn invalid_token(fault: porthole_signaling_proto::rpc::Fault) -> Refusal {
    let mut refusal = Refusal::from(fault);
    if refusal.status() == StatusCode::UNAUTHORIZED {
        refusal
            .header(header::WWW_AUTHENTICATE, "Bearer realm=\"porthole\", error=\"invalid_token\"");
    }
    refusal
}

/// Returns the token in the `Authorization` header (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let words = value.to_str().ok().and_then(|value| value.split_once(' '));
    match words {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Ok(Some(token.trim().to_owned()))
        }
        _ => Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "`Authorization` must be `Bearer` and an access token",
        )),
    }
}

/// Returns the token in the query (RFC 6750 §2.3), for WebSockets of browsers, which cannot set
/// headers.
fn access_token(uri: &Uri) -> Option<String> {
    let pairs = url::form_urlencoded::parse(uri.query()?.as_bytes());
    pairs.into_iter().find(|(name, _)| name == "access_token").map(|(_, value)| value.into_owned())
}

/// Beginnings of the names of cookies. Browsers accept a cookie with such a name only over
/// TLS, and the first also only from this very host and for all paths (RFC 6265bis §4.1.3).
const COOKIE_PREFIXES: [&str; 3] = ["__Host-", "__Secure-", ""];

/// Returns the name under which a cookie is set.
pub(crate) fn cookie_to_set(name: &str, is_secure: bool, is_for_all_paths: bool) -> String {
    let [host, secure, plain] = COOKIE_PREFIXES;
    let prefix = match (is_secure, is_for_all_paths) {
        (true, true) => host,
        (true, false) => secure,
        (false, _) => plain,
    };
    format!("{prefix}{name}")
}

/// Returns the values of a cookie. What only this host can have set comes first; a cookie that an
/// earlier version has set comes last, and is good until it expires.
pub(crate) fn cookies<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    COOKIE_PREFIXES.into_iter().filter_map(move |prefix| {
        let mut pairs = pairs(headers);
        pairs.find_map(|pair| pair.strip_prefix(prefix)?.strip_prefix(name)?.strip_prefix('='))
    })
}

/// Returns the values of a cookie with exactly this name, of which a browser may have several.
pub(crate) fn cookies_named<'a>(
    headers: &'a HeaderMap,
    name: &str,
) -> impl Iterator<Item = &'a str> {
    pairs(headers).filter_map(move |pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// Returns the cookies of a request, each with its name.
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values =
        headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(';')).map(str::trim)
}

/// Refuses requests that a page of another site makes in the name of the user: those that change
/// something, and those that `works` is set for although they are safe: WebSockets, which browsers
/// do not restrict to the page's own site, and what takes the server's time.
pub(crate) fn check_same_site(
    method: &Method,
    headers: &HeaderMap,
    public_url: Option<&Url>,
    works: bool,
) -> Result<(), Refusal> {
    if method.is_safe() && !works {
        return Ok(());
    }
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    // Browsers send `Sec-Fetch-Site` where the page is trustworthy, and `Origin` with all of these.
    let fetch_site = text("sec-fetch-site");
    let is_same_site = match (text("origin"), fetch_site) {
        (Some(origin), _) => is_own_origin(origin, text("host"), public_url),
        (None, Some(site)) => site == "same-origin" || site == "none",
        // The client is not a browser.
        (None, None) => true,
    };
    let foreign = "the request comes from a page of another site; use an access token there";
    if is_same_site { Ok(()) } else { Err(Refusal::new(StatusCode::FORBIDDEN, foreign)) }
}

fn is_own_origin(origin: &str, host: Option<&str>, public_url: Option<&Url>) -> bool {
    let Ok(origin) = Url::parse(origin) else { return false };
    if public_url.is_some_and(|public| public.origin() == origin.origin()) {
        return true;
    }
    // Over plain http, anybody in the network can answer as this host.
    let same_host = |public: &Url| public.host() == origin.host();
    let is_secure = |public: &Url| public.scheme() == "https" && origin.scheme() != "https";
    if public_url.is_some_and(|public| is_secure(public) && same_host(public)) {
        return false;
    }
    // The scheme may differ behind a proxy that ends TLS; the host may not.
    let host = host.and_then(|host| Url::parse(&format!("{}://{host}", origin.scheme())).ok());
    host.is_some_and(|host| host.origin() == origin.origin() && origin.origin().is_tuple())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn pages_of_other_sites_change_nothing_and_open_no_socket() {
        let public = Url::parse("https://cams.example").unwrap();
        let host = ("host", "10.0.0.1:8080");
        for (list, allowed) in [
            (vec![host], true),
            (vec![host, ("origin", "http://10.0.0.1:8080")], true),
            (vec![host, ("origin", "http://10.0.0.1:8081")], false),
            (vec![host, ("origin", "http://10.0.0.1")], false),
            (vec![host, ("origin", "http://evil.example")], false),
            (vec![host, ("origin", "https://cams.example")], true),
            (vec![host, ("origin", "http://cams.example")], false),
            (vec![host, ("origin", "null")], false),
            (vec![("origin", "http://10.0.0.1:8080")], false),
            (vec![("host", "cams.example"), ("origin", "http://cams.example")], false),
            (vec![("host", "cams.example"), ("origin", "http://cams.example:80")], false),
            (vec![("host", "cams.example"), ("origin", "https://cams.example:8443")], false),
            (vec![("host", "cams.example:8443"), ("origin", "https://cams.example:8443")], true),
            (vec![("host", "cams.example:8080"), ("origin", "http://cams.example:8080")], false),
            (vec![host, ("sec-fetch-site", "cross-site")], false),
            (vec![host, ("sec-fetch-site", "same-site")], false),
            (vec![host, ("sec-fetch-site", "same-origin")], true),
        ] {
            let headers = headers(&list);
            for (method, socket, restricted) in [
                (Method::POST, false, true),
                (Method::DELETE, false, true),
                (Method::GET, true, true),
                (Method::GET, false, false),
            ] {
                let result = check_same_site(&method, &headers, Some(&public), socket);
                assert_eq!(result.is_ok(), allowed || !restricted, "{method} {list:?}");
            }
        }
    }

    #[test]
    fn a_token_comes_as_bearer_or_in_the_query() {
        for (value, token) in [("Bearer abc", "abc"), ("bearer  abc", "abc")] {
            let headers = headers(&[("authorization", value)]);
            assert_eq!(bearer(&headers).unwrap().as_deref(), Some(token));
        }
        assert!(bearer(&headers(&[("authorization", "Basic abc")])).is_err());
        assert_eq!(access_token(&"/ws?a=1&access_token=x%2By".parse().unwrap()).unwrap(), "x+y");
        assert_eq!(access_token(&"/ws".parse().unwrap()), None);
    }

    #[test]
    fn s15_a_cookie_that_only_this_host_can_set_counts_first() {
        type Case = (&'static str, &'static [&'static str]);
        let table: [Case; 5] = [
            ("a=b; porthole_session=xyz; c=d", &["xyz"]),
            ("porthole_session=old; __Host-porthole_session=new", &["new", "old"]),
            ("porthole_session=old; __Secure-porthole_session=new", &["new", "old"]),
            ("xporthole_session=a; porthole_session2=b", &[]),
            ("", &[]),
        ];
        for (text, expected) in table {
            let headers = headers(&[("cookie", text)]);
            assert_eq!(cookies(&headers, COOKIE).collect::<Vec<_>>(), expected, "{text}");
        }
        for (is_secure, is_for_all_paths, expected) in [
            (true, true, "__Host-porthole_session"),
            (true, false, "__Secure-porthole_session"),
            (false, true, "porthole_session"),
            (false, false, "porthole_session"),
        ] {
            assert_eq!(cookie_to_set(COOKIE, is_secure, is_for_all_paths), expected);
        }
    }
}
