//! Messages of RTSP (RFC 2326 §4 to §7): a lenient reader and a strict writer.

use bytes::Bytes;

/// Maximum number of headers that are kept of one message; further ones are ignored. Cameras send
/// about ten.
const MAX_HEADERS: usize = 100;

/// Headers that are recognized even if a blank stands before them, where a folded line would be.
const KNOWN_HEADERS: &[&str] = &[
    "cseq",
    "content-base",
    "content-length",
    "content-type",
    "location",
    "public",
    "range",
    "rtp-info",
    "session",
    "transport",
    "www-authenticate",
];

/// Methods of the requests that a camera may send (RFC 2326 §10).
const METHODS: &[&str] = &[
    "ANNOUNCE",
    "DESCRIBE",
    "GET_PARAMETER",
    "OPTIONS",
    "PAUSE",
    "PLAY",
    "PLAY_NOTIFY",
    "RECORD",
    "REDIRECT",
    "SET_PARAMETER",
    "SETUP",
    "TEARDOWN",
];

/// The headers of a message, in order, each with its value on one line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Headers(Vec<(String, String)>);

impl Headers {
    /// Reads the lines after the first one.
    pub(super) fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut headers = Self::default();
        for line in lines {
            let is_indented = line.starts_with([' ', '\t']);
            let named = line.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
            let is_known = |name: &str| KNOWN_HEADERS.iter().any(|k| k.eq_ignore_ascii_case(name));
            match named {
                Some((name, value)) if !is_indented || is_known(name) => headers.push(name, value),
                _ if is_indented => headers.fold(line.trim()),
                // A line without a colon is noise.
                _ => {}
            }
        }
        headers
    }

    /// Returns the first value of a header that is not empty. The case of the name is ignored.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).find(|value| !value.is_empty())
    }

    /// Returns every value of a header. The case of the name is ignored.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    fn push(&mut self, name: &str, value: &str) {
        if self.0.len() < MAX_HEADERS {
            self.0.push((name.to_owned(), value.to_owned()));
        }
    }

    /// Continues the last header (RFC 2616 §2.2).
    fn fold(&mut self, more: &str) {
        let Some((_, value)) = self.0.last_mut().filter(|_| !more.is_empty()) else { return };
        if !value.is_empty() {
            value.push(' ');
        }
        value.push_str(more);
    }
}

/// The first line of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    /// A reply with its status code.
    Reply(u16),
    /// A request with its method, in upper case.
    Request(String),
}

impl Start {
    /// Reads a first line. Returns `None` if it begins no message.
    pub(super) fn read(line: &str) -> Option<Self> {
        let line = line.trim();
        let is_protocol = |word: &str| {
            let name = word.get(..4).unwrap_or_default();
            name.eq_ignore_ascii_case("RTSP") || name.eq_ignore_ascii_case("HTTP")
        };
        if is_protocol(line) {
            // The first number of three digits, so that the version may be written in any way.
            let mut words = line.split_whitespace().skip(1);
            return words.find_map(status).map(Self::Reply);
        }
        let mut words = line.split_whitespace();
        let method = words.next()?.to_ascii_uppercase();
        let is_request =
            METHODS.contains(&method.as_str()) || words.last().is_some_and(is_protocol);
        let is_word = method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        (is_request && is_word).then_some(Self::Request(method))
    }
}

/// Returns the status code with which a word begins; its text may follow without a blank.
fn status(word: &str) -> Option<u16> {
    let digits = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let number = word.get(..digits).filter(|_| digits == 3)?;
    number.parse().ok().filter(|status| *status >= 100)
}

/// A reply or request of the camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) start: Start,
    pub(super) headers: Headers,
    pub(super) body: Bytes,
    /// The message names HTTP as its protocol, as the reply to a tunnel's request does.
    pub(super) is_http: bool,
}

impl Message {
    /// Reads the head of a message, up to the empty line. The character set does not matter.
    pub(super) fn read_head(head: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
        let first = lines.next()?;
        let start = Start::read(first)?;
        let is_http =
            first.trim_start().get(..4).is_some_and(|name| name.eq_ignore_ascii_case("HTTP"));
        let headers = Headers::read(lines);
        Some(Self { start, headers, body: Bytes::new(), is_http })
    }

    /// Returns the length of the body that the headers announce.
    pub(super) fn content_length(&self) -> Option<usize> {
        let value = self.headers.get("Content-Length")?;
        let digits = value.split(|c: char| !c.is_ascii_digit()).find(|word| !word.is_empty())?;
        Some(digits.parse().unwrap_or(usize::MAX))
    }
}

/// Returns a request or a reply in bytes. A header whose value is empty is left out.
pub(super) fn write(first_line: &str, headers: &[(&str, &str)], body: &[u8]) -> Bytes {
    let mut text = format!("{first_line}\r\n");
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        // A value that came from the camera must not begin a header of its own.
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        text.push_str(name);
        text.push_str(": ");
        text.push_str(&value);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn first_lines_are_read_however_they_are_spelled() {
        let reply = |status| Some(Start::Reply(status));
        let request = |method: &str| Some(Start::Request(method.to_owned()));
        for (line, expected) in [
            ("RTSP/1.0 200 OK", reply(200)),
            ("rtsp/1.0 200", reply(200)),
            ("RTSP/1.00 401 Unauthorized", reply(401)),
            ("RTSP /1.0  200  OK", reply(200)),
            ("RTSP1.0 404 Not Found", reply(404)),
            ("HTTP/1.1 302 Moved", reply(302)),
            ("RTSP/1.0 OK", None),
            ("RTSP/1.0 200OK", reply(200)),
            ("RTSP/1.0 20 OK", None),
            ("RTSP/1.0 2000K", None),
            ("RTSP/1.0 099 OK", None),
            ("OPTIONS * RTSP/1.0", request("OPTIONS")),
            ("options rtsp://x/ RTSP/1.0", request("OPTIONS")),
            ("ANNOUNCE rtsp://x/", request("ANNOUNCE")),
            ("FANCY rtsp://x/ RTSP/2.0", request("FANCY")),
            ("v=0", None),
            ("hello world", None),
            ("", None),
        ] {
            assert_eq!(Start::read(line), expected, "{line}");
        }
    }

    #[test]
    fn headers_are_read_however_they_are_spelled() {
        let head = "RTSP/1.0 200 OK\r\nCSEQ : 3\nSession:12345678\r\n \r\nRTP-Info: url=a,\r\n\
            \turl=b\r\nnoise\r\n Content-Length: 9 bytes\r\nempty:\r\nEmpty: no\r\n: nameless";
        let message = Message::read_head(head.as_bytes()).unwrap();
        for (name, expected) in [
            ("CSeq", Some("3")),
            ("session", Some("12345678")),
            ("RTP-Info", Some("url=a, url=b")),
            ("Empty", Some("no")),
            ("Missing", None),
        ] {
            assert_eq!(message.headers.get(name), expected, "{name}");
        }
        assert_eq!(message.content_length(), Some(9));
    }

    #[test]
    fn a_value_of_the_camera_begins_no_header_of_its_own() {
        let bytes = write("OPTIONS * RTSP/1.0", &[("Session", "1\r\nX: y"), ("None", "")], b"z");
        assert_eq!(&bytes[..], b"OPTIONS * RTSP/1.0\r\nSession: 1X: y\r\n\r\nz");
    }

    proptest! {
        #[test]
        fn any_head_is_read_or_refused(head in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(message) = Message::read_head(&head) {
                prop_assert!(message.headers.0.len() <= MAX_HEADERS);
            }
        }
    }
}
