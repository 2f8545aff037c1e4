//! The parts of an address such as `rtsp://user:password@host:554/path?query`, read as leniently as
//! cameras write it.

/// The parts of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UrlParts<'a> {
    /// The scheme, in lower case.
    pub(crate) scheme: String,
    /// User and password, before they are decoded.
    pub(crate) user_info: Option<&'a str>,
    /// The host as it is written: an IPv6 address has brackets or not.
    pub(crate) host: &'a str,
    /// The port, if it is given.
    pub(crate) port: Option<u16>,
    /// Path and query, without the fragment.
    pub(crate) target: &'a str,
}

impl<'a> UrlParts<'a> {
    /// Splits an address; `None` without a scheme, or if the port is no number.
    pub(crate) fn split(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (user_info, authority) = match authority.rsplit_once('@') {
            Some((user_info, authority)) => (Some(user_info), authority),
            None => (None, authority),
        };
        let is_bare_v6 = authority.matches(':').count() > 1 && !authority.starts_with('[');
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !is_bare_v6 && !port.contains(']') => {
                (host, if port.is_empty() { None } else { Some(port.parse().ok()?) })
            }
            _ => (authority, None),
        };
        let target = target.split('#').next().unwrap_or_default();
        Some(Self { scheme: scheme.to_ascii_lowercase(), user_info, host, port, target })
    }
}
