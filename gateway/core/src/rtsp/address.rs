//! Addresses of cameras, and where their tracks are.

use std::fmt;

use super::{Credentials, mask};
use crate::url_parts::UrlParts;

/// Default port of RTSP (RFC 2326 §3.2).
const PORT: u16 = 554;

/// Default port of RTSP over TLS (RFC 7826 §4.2).
const TLS_PORT: u16 = 322;

/// The address of a camera, without user and password. `Display` and `Debug` show no password that
/// the path or query may have; [`Self::url`] is the text for the camera.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    is_tls: bool,
    host: String,
    port: Option<u16>,
    target: String,
}

impl Address {
    /// Creates an address. `host` may be a name or an IP address; `target` is path and query.
    #[must_use]
    pub fn new(is_tls: bool, host: &str, port: Option<u16>, target: &str) -> Self {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let slash = if target.is_empty() || target.starts_with('/') { "" } else { "/" };
        Self { is_tls, host, port, target: escape(&format!("{slash}{target}")) }
    }

    /// Parses `rtsp://host:port/path?query` or `rtsps://…`. User and password are left out.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parts = UrlParts::split(text.trim())?;
        let is_tls = match parts.scheme.as_str() {
            "rtsp" | "rtspt" | "rtspu" => false,
            "rtsps" => true,
            _ => return None,
        };
        let is_valid = !parts.host.is_empty();
        is_valid.then(|| Self::new(is_tls, parts.host, parts.port, parts.target))
    }

    /// Returns true if the connection is encrypted with TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Returns the host without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the same address at another host.
    #[must_use]
    pub fn at_host(&self, host: &str) -> Self {
        Self { host: host.to_owned(), ..self.clone() }
    }

    /// Returns the port, which is 554 by default, 322 with TLS.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.is_tls { TLS_PORT } else { PORT })
    }

    /// Returns path and query, with every password masked.
    #[must_use]
    pub fn masked_target(&self) -> String {
        mask::passwords(&self.target)
    }

    /// Returns path and query as the camera knows them.
    pub(super) fn target(&self) -> &str {
        if self.target.is_empty() { "/" } else { &self.target }
    }

    /// Returns host and port, for error messages.
    #[must_use]
    pub fn host_and_port(&self) -> String {
        format!("{}:{}", self.bracketed_host(), self.port())
    }

    /// Returns the text that requests carry.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}{}", self.origin(), self.target)
    }

    /// Returns scheme, host and port.
    fn origin(&self) -> String {
        let scheme = if self.is_tls { "rtsps" } else { "rtsp" };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{}{port}", self.bracketed_host())
    }

    fn bracketed_host(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }

    /// Resolves the `Location` of a redirect, which may be a path.
    pub(super) fn redirected(&self, location: &str) -> Option<Self> {
        let location = location.trim().trim_matches(['<', '>', '"']);
        if location.starts_with('/') && !location.starts_with("//") {
            let target = escape(location);
            return Some(Self { target, ..self.clone() });
        }
        Self::parse(location)
    }

    /// Returns true if both addresses name the same host, in any case.
    pub(super) fn has_host_of(&self, other: &Self) -> bool {
        let name = |address: &Self| address.host.trim_end_matches('.').to_ascii_lowercase();
        name(self) == name(other)
    }

    /// Returns the base to which `a=control` is relative, from the headers of the description.
    pub(super) fn base(&self, content_base: Option<&str>) -> String {
        let given = content_base.map(|value| value.trim_matches(['<', '>', '"', ' ', '\t']));
        match given {
            Some(url) if url.contains("://") => escape(url),
            Some(path) if path.starts_with('/') => format!("{}{}", self.origin(), escape(path)),
            _ => self.url(),
        }
    }

    /// Returns the addresses under which a track may be, the likeliest first.
    ///
    /// Cameras and servers append `control` to the base after a slash, whether or not the base has
    /// a query; RFC 2326 §C.1.1 has it resolved like a link. Some send a base that only they know.
    pub(super) fn controls(&self, base: &str, control: Option<&str>) -> Vec<String> {
        let control = control.map(str::trim).filter(|control| !matches!(*control, "" | "*"));
        let base = &*escape(base);
        let Some(control) = control.map(escape) else {
            return distinct([base.to_owned(), self.url()]);
        };
        let control = &*control;
        if control.contains("://") {
            let path = control
                .split_once("://")
                .and_then(|(_, rest)| rest.find('/').and_then(|slash| rest.get(slash..)));
            let here = format!("{}{}", self.origin(), path.unwrap_or_default());
            return distinct([control.to_owned(), here]);
        }
        let append = |base: &str| {
            let slash =
                if base.ends_with('/') || control.starts_with(['/', '?']) { "" } else { "/" };
            format!("{base}{slash}{control}")
        };
        let own = self.url();
        let before_query = base.split('?').next().unwrap_or(base);
        let resolved = match (control.starts_with('/'), before_query.rsplit_once('/')) {
            (true, _) => format!("{}{control}", self.origin()),
            (false, Some((folder, _))) if !folder.ends_with('/') => format!("{folder}/{control}"),
            (false, _) => append(before_query),
        };
        distinct([append(base), append(before_query), resolved, append(&own)])
    }

    /// Returns the addresses of the whole stream, the likeliest first: for PLAY and keepalives.
    pub(super) fn aggregates(&self, base: &str, control: Option<&str>) -> Vec<String> {
        let mut urls = self.controls(base, control);
        let toggled = urls.first().map(|first| match first.strip_suffix('/') {
            Some(without) => without.to_owned(),
            None => format!("{first}/"),
        });
        urls.extend(toggled);
        urls.push(self.url());
        distinct(urls)
    }
}

/// Returns user and password of an address, if it has both.
pub(super) fn credentials(text: &str) -> Option<Credentials> {
    let (user, password) = UrlParts::split(text)?.user_info?.split_once(':')?;
    Some(Credentials { user: percent_decode(user), password: percent_decode(password) })
}

/// Decodes percent escapes. Invalid ones are kept unchanged.
#[must_use]
pub fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = tail.get(..2).filter(|_| byte == b'%').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok()
        });
        bytes.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Removes what appears twice.
fn distinct(urls: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for url in urls {
        if !kept.contains(&url) {
            kept.push(url);
        }
    }
    kept
}

/// Escapes what would end a request line: blanks, control characters, and other scripts.
fn escape(target: &str) -> String {
    let mut text = String::with_capacity(target.len());
    for byte in target.bytes() {
        if byte.is_ascii_graphic() {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.masked_target())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_without_user_and_password() {
        for (text, expected) in [
            ("rtsp://cam/live", Some(("rtsp://cam/live", 554))),
            ("rtsps://cam", Some(("rtsps://cam", 322))),
            ("RTSP://u:p@ss@cam:8554/a b?c=ü", Some(("rtsp://cam:8554/a%20b?c=%C3%BC", 8554))),
            ("rtsp://[fd00::1]:99/x#y", Some(("rtsp://[fd00::1]:99/x", 99))),
            ("rtsp://[fd00::1]/x", Some(("rtsp://[fd00::1]/x", 554))),
            ("rtsp://cam:/x", Some(("rtsp://cam/x", 554))),
            ("rtsp://cam?x=1", Some(("rtsp://cam/?x=1", 554))),
            ("rtsp://cam:99999/", None),
            ("rtsp:///x", None),
            ("http://cam/", None),
            ("/x", None),
        ] {
            let parsed = Address::parse(text);
            let found = parsed.as_ref().map(|address| (address.url(), address.port()));
            let expected = expected.map(|(url, port)| (url.to_owned(), port));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn tracks_are_found_whatever_base_and_control_are() {
        let camera = Address::parse("rtsp://cam/live?x=1").unwrap();
        let table = [
            (Some("rtsp://cam/live/"), Some("trackID=0"), "rtsp://cam/live/trackID=0"),
            (Some("rtsp://cam/live"), Some("trackID=0"), "rtsp://cam/live/trackID=0"),
            (Some("/base/"), Some("trackID=0"), "rtsp://cam/base/trackID=0"),
            (Some(""), Some("trackID=0"), "rtsp://cam/live?x=1/trackID=0"),
            (None, Some("trackID=0"), "rtsp://cam/live?x=1/trackID=0"),
            (None, Some("rtsp://10.0.0.1/t"), "rtsp://10.0.0.1/t"),
            (None, Some("*"), "rtsp://cam/live?x=1"),
            (None, None, "rtsp://cam/live?x=1"),
            (Some("rtsp://cam/a/"), Some("?ctype=video"), "rtsp://cam/a/?ctype=video"),
            (Some("<rtsp://cam/my cam/> "), Some("t"), "rtsp://cam/my%20cam/t"),
            (Some("/my cam/"), Some("track 1"), "rtsp://cam/my%20cam/track%201"),
            (None, Some("rtsp://cam/my\tcam"), "rtsp://cam/my%09cam"),
        ];
        for (base, control, expected) in table {
            let base = camera.base(base);
            let first = camera.controls(&base, control).remove(0);
            assert_eq!(first, expected, "{base} {control:?}");
        }
        let all = camera.controls("rtsp://cam/a/b?x=1", Some("t"));
        let expected = ["rtsp://cam/a/b?x=1/t", "rtsp://cam/a/b/t", "rtsp://cam/a/t"];
        assert_eq!(all[..3], expected.map(str::to_owned));
        let play = camera.aggregates("rtsp://cam/a", Some("*"));
        assert_eq!(play, ["rtsp://cam/a", "rtsp://cam/live?x=1", "rtsp://cam/a/"]);
    }

    #[test]
    fn user_and_password_of_an_address_are_decoded() {
        for (text, expected) in [
            ("rtsp://ada:secret@cam/x", Some(("ada", "secret"))),
            (" <rtsp://ada:a:b@c%2F%zz@cam>", Some(("ada", "a:b@c/%zz"))),
            ("rtsp://ada:@cam", Some(("ada", ""))),
            ("rtsp://ada@cam", None),
            ("rtsp://cam/x:y@z", None),
            ("/x", None),
        ] {
            let found = credentials(text);
            let found = found.as_ref().map(|found| (&*found.user, &*found.password));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn redirects_are_resolved() {
        let camera = Address::parse("rtsp://cam:99/live").unwrap();
        for (location, expected, same_host) in [
            ("rtsp://CAM:1/x", Some("rtsp://CAM:1/x"), true),
            ("rtsps://cam./x", Some("rtsps://cam./x"), true),
            ("/x", Some("rtsp://cam:99/x"), true),
            (" <rtsp://u:p@cam/x> ", Some("rtsp://cam/x"), true),
            ("rtsp://other/x", Some("rtsp://other/x"), false),
            ("http://cam/x", None, false),
            ("", None, false),
        ] {
            let found = camera.redirected(location);
            assert_eq!(found.as_ref().map(Address::url).as_deref(), expected, "{location}");
            assert_eq!(found.is_some_and(|to| to.has_host_of(&camera)), same_host, "{location}");
        }
    }
}
