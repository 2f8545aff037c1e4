//! The path below which people reach the server: `/cams` where a reverse proxy passes
//! `https://example.org/cams/` on to the server's `/`, with or without that part of the path.

use http::uri::PathAndQuery;
use http::{HeaderMap, Uri};
use url::Url;

/// The header in which reverse proxies name the part of the path that they have removed. It changes
/// addresses in the response to its sender, and nothing else.
const FORWARDED_PREFIX: &str = "x-forwarded-prefix";
/// The longest part of a path that is accepted as a prefix, in bytes.
const MAX_PREFIX_BYTES: usize = 128;

/// A part of a path that begins with a slash and does not end with one, or is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Prefix(String);

impl Prefix {
    /// Returns the prefix in the URL under which browsers reach the server; `None` if its path
    /// cannot be one.
    pub(crate) fn of_url(url: Option<&Url>) -> Option<Self> {
        url.map_or(Some(Self::default()), |url| Self::read(url.path()))
    }

    /// Returns the prefix that a reverse proxy has removed from a request.
    fn forwarded(headers: &HeaderMap) -> Option<Self> {
        Self::read(headers.get(FORWARDED_PREFIX)?.to_str().ok()?)
    }

    /// Reads a prefix; `None` if it is not a plain path.
    fn read(text: &str) -> Option<Self> {
        let text = text.trim().trim_end_matches('/');
        let is_plain = |part: &str| {
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
            !part.is_empty() && part != "." && part != ".." && part.bytes().all(is_name)
        };
        let parts = text.strip_prefix('/').map_or("", |parts| parts);
        let fits = text.len() <= MAX_PREFIX_BYTES && parts.split('/').all(is_plain);
        (text.is_empty() || fits).then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the address without this prefix, for a proxy that leaves it there. `None` if the
    /// address does not begin with it.
    fn strip(&self, uri: &Uri) -> Option<Uri> {
        let rest = uri.path().strip_prefix(self.as_str())?;
        if self.0.is_empty() || !rest.starts_with('/') {
            return None;
        }
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = format!("{rest}{query}").parse::<PathAndQuery>().ok()?;
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).ok()
    }
}

/// The prefix in the address that the sender of a request has used; empty if nothing tells of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UsedPrefix(pub(crate) Prefix);

impl UsedPrefix {
    /// Finds the prefix of a request, and removes the server's own one from its address.
    pub(crate) fn take<B>(own: &Prefix, request: &mut http::Request<B>) -> Self {
        let stripped = own.strip(request.uri());
        let was_there = stripped.is_some();
        if let Some(uri) = stripped {
            *request.uri_mut() = uri;
        }
        let forwarded = Prefix::forwarded(request.headers());
        Self(forwarded.unwrap_or_else(|| if was_there { own.clone() } else { Prefix::default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_found_wherever_the_proxy_leaves_it() {
        for (what, public_url, forwarded, path, used, left) in [
            ("none", "https://h", None, "/whep/cam?a=b", "", "/whep/cam?a=b"),
            ("stripped", "https://h/cams/", Some("/cams"), "/whep/cam", "/cams", "/whep/cam"),
            ("with a slash", "https://h", Some("/cams/"), "/ws", "/cams", "/ws"),
            ("in two parts", "https://h", Some("/a/b"), "/ws", "/a/b", "/ws"),
            ("left there", "https://h/cams", None, "/cams/ws?a=b", "/cams", "/ws?a=b"),
            ("left there, root", "https://h/cams", None, "/cams/", "/cams", "/"),
            ("without a header", "https://h/cams", None, "/ws", "", "/ws"),
            ("another path", "https://h/cams", None, "/camsx/ws", "", "/camsx/ws"),
            ("the bare prefix", "https://h/cams", None, "/cams", "", "/cams"),
            ("a removed root", "https://h/cams", Some("/"), "/ws", "", "/ws"),
            ("not a path", "https://h", Some("cams"), "/ws", "", "/ws"),
            ("an origin", "https://h", Some("//evil.example"), "/ws", "", "/ws"),
            ("dots", "https://h", Some("/a/../b"), "/ws", "", "/ws"),
            ("a line", "https://h", Some("/a;b=\"c"), "/ws", "", "/ws"),
        ] {
            let url: Url = public_url.parse().unwrap();
            let own = Prefix::of_url(Some(&url)).unwrap();
            let mut request = http::Request::builder().uri(path);
            if let Some(forwarded) = forwarded {
                request = request.header(FORWARDED_PREFIX, forwarded);
            }
            let mut request = request.body(()).unwrap();
            let found = UsedPrefix::take(&own, &mut request);
            assert_eq!((found.0.as_str(), &*request.uri().to_string()), (used, left), "{what}");
        }
        let long = format!("/{}", "a".repeat(MAX_PREFIX_BYTES));
        assert_eq!(Prefix::read(&long), None);
    }
}
