//! HTTP/1.1 as cameras speak it: a strict writer of requests and a lenient reader of replies.

use thiserror::Error;

use super::xml::MAX_LEN;

/// Maximum length of the head of a reply in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Maximum number of headers that are read of one reply.
const MAX_HEADERS: usize = 100;

/// Maximum length of the body of a reply in bytes.
const MAX_BODY: usize = MAX_LEN;

/// Maximum length of a line with the size of a chunk in bytes.
const MAX_CHUNK_LINE: usize = 256;

/// A reply without the parts that are not needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// Status code, such as 200.
    pub status: u16,
    /// Values of `WWW-Authenticate`.
    pub challenges: Vec<String>,
    /// Value of `Location`.
    pub location: Option<String>,
    /// Content of the reply.
    pub body: Vec<u8>,
}

/// Reasons for giving up a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReplyError {
    /// The reply is no HTTP.
    #[error("it does not answer with HTTP")]
    NotHttp,
    /// The reply is larger than its bounds.
    #[error("its answer has no end")]
    TooLong,
    /// The connection ended in the middle of the reply.
    #[error("it closes the connection in the middle of its answer")]
    Cut,
}

/// The way in which the end of a body is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Length(usize),
    Chunks,
    Close,
}

/// Reads one reply from the pieces in which it arrives.
#[derive(Debug, Default)]
pub struct ReplyReader {
    buffer: Vec<u8>,
    /// The reply without its body, once its head is complete.
    head: Option<(Reply, Ending)>,
    /// Content of the chunks so far.
    chunks: Vec<u8>,
}

impl ReplyReader {
    /// Handles bytes; returns the reply once it is complete. What follows it is ignored.
    ///
    /// # Errors
    /// If it is no reply, or larger than its bounds.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<Reply>, ReplyError> {
        self.buffer.extend_from_slice(bytes);
        loop {
            let Some((reply, ending)) = &mut self.head else {
                if !self.read_head()? {
                    return Ok(None);
                }
                continue;
            };
            match *ending {
                Ending::Length(length) if self.buffer.len() < length => return Ok(None),
                Ending::Length(length) => {
                    self.buffer.truncate(length);
                    let body = std::mem::take(&mut self.buffer);
                    return Ok(Some(Reply { body, ..std::mem::take(reply) }));
                }
                Ending::Close if self.buffer.len() > MAX_BODY => return Err(ReplyError::TooLong),
                Ending::Close => return Ok(None),
                Ending::Chunks => {
                    let reply = std::mem::take(reply);
                    return match self.read_chunks() {
                        Ok(true) => {
                            Ok(Some(Reply { body: std::mem::take(&mut self.chunks), ..reply }))
                        }
                        Ok(false) => {
                            self.head = Some((reply, Ending::Chunks));
                            Ok(None)
                        }
                        Err(error) => Err(error),
                    };
                }
            }
        }
    }

    /// Handles the end of the connection; returns the reply if it may end there.
    ///
    /// # Errors
    /// If the reply is not complete.
    pub fn finish(self) -> Result<Reply, ReplyError> {
        match self.head {
            Some((reply, Ending::Close)) => Ok(Reply { body: self.buffer, ..reply }),
            // Some cameras count wrongly; the document tells what is there.
            Some((reply, Ending::Length(_))) if !self.buffer.is_empty() => {
                Ok(Reply { body: self.buffer, ..reply })
            }
            Some((reply, Ending::Chunks)) if !self.chunks.is_empty() => {
                Ok(Reply { body: self.chunks, ..reply })
            }
            Some(_) => Err(ReplyError::Cut),
            None if self.buffer.is_empty() => Err(ReplyError::Cut),
            None => Err(ReplyError::NotHttp),
        }
    }

    /// Reads the head; returns false if it is not complete.
    fn read_head(&mut self) -> Result<bool, ReplyError> {
        let is_http = self.buffer.iter().zip(b"HTTP/").all(|(byte, expected)| byte == expected);
        if !is_http {
            return Err(ReplyError::NotHttp);
        }
        let Some((head, rest)) = split_head(&self.buffer) else {
            let is_too_long = self.buffer.len() > MAX_HEAD;
            return if is_too_long { Err(ReplyError::TooLong) } else { Ok(false) };
        };
        if head.len() > MAX_HEAD {
            return Err(ReplyError::TooLong);
        }
        let head = String::from_utf8_lossy(head);
        let mut lines = head.lines();
        let status = lines.next().unwrap_or_default().split_whitespace().nth(1);
        let status = status.and_then(|status| status.parse().ok()).ok_or(ReplyError::NotHttp)?;
        let rest = rest.to_vec();
        if status < 200 && status != 101 {
            // 100 Continue; the reply follows.
            self.buffer = rest;
            return Ok(!self.buffer.is_empty());
        }
        let (reply, ending) = read_headers(status, lines);
        if matches!(ending, Ending::Length(length) if length > MAX_BODY) {
            return Err(ReplyError::TooLong);
        }
        self.head = Some((reply, ending));
        self.buffer = rest;
        Ok(true)
    }

    /// Reads the chunks that are complete (RFC 9112 §7.1); returns true after the last one.
    fn read_chunks(&mut self) -> Result<bool, ReplyError> {
        let mut at = 0;
        let is_complete = loop {
            let rest = self.buffer.get(at..).unwrap_or_default();
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                if rest.len() > MAX_CHUNK_LINE {
                    return Err(ReplyError::TooLong);
                }
                break false;
            };
            if end > MAX_CHUNK_LINE {
                return Err(ReplyError::TooLong);
            }
            let line = String::from_utf8_lossy(rest.get(..end).unwrap_or_default());
            let size = line.split(';').next().unwrap_or_default().trim();
            if size.is_empty() {
                // The line end after a chunk.
                at += end + 1;
                continue;
            }
            let size = usize::from_str_radix(size, 16).map_err(|_| ReplyError::NotHttp)?;
            if size == 0 {
                break true;
            }
            if size > MAX_BODY || self.chunks.len() + size > MAX_BODY {
                return Err(ReplyError::TooLong);
            }
            let Some(chunk) = rest.get(end + 1..end + 1 + size) else { break false };
            self.chunks.extend_from_slice(chunk);
            at += end + 1 + size;
        };
        self.buffer.drain(..at.min(self.buffer.len()));
        Ok(is_complete)
    }
}

/// Splits off the head at the first empty line, with any line ends.
fn split_head(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut line_start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte != b'\n' {
            continue;
        }
        let line = bytes.get(line_start..at)?;
        if matches!(line, b"" | b"\r") && line_start > 0 {
            return Some((bytes.get(..line_start)?, bytes.get(at + 1..)?));
        }
        line_start = at + 1;
    }
    None
}

fn read_headers<'a>(status: u16, lines: impl Iterator<Item = &'a str>) -> (Reply, Ending) {
    let mut reply = Reply { status, ..Reply::default() };
    let mut ending = if matches!(status, 204 | 304) { Ending::Length(0) } else { Ending::Close };
    for (name, value) in lines.take(MAX_HEADERS).filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "www-authenticate" => reply.challenges.push(value.to_owned()),
            "location" => reply.location = Some(value.to_owned()),
            "transfer-encoding" if value.to_ascii_lowercase().contains("chunked") => {
                ending = Ending::Chunks;
            }
            "content-length" if ending != Ending::Chunks => {
                ending = value.parse().map_or(ending, Ending::Length);
            }
            _ => {}
        }
    }
    (reply, ending)
}

/// Writes a request with a SOAP document. `authorization` is the value of that header, or empty.
pub(super) fn post(
    authority: &str,
    target: &str,
    action: &str,
    authorization: &str,
    body: &str,
) -> Vec<u8> {
    let authorization = if authorization.is_empty() {
        String::new()
    } else {
        format!("Authorization: {authorization}\r\n")
    };
    format!(
        "POST {target} HTTP/1.1\r\nHost: {authority}\r\n{authorization}\
         User-Agent: Porthole\r\nAccept: application/soap+xml\r\nConnection: close\r\n\
         Content-Type: application/soap+xml; charset=utf-8; action=\"{action}\"\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], step: usize) -> Result<Reply, ReplyError> {
        let mut reader = ReplyReader::default();
        for piece in bytes.chunks(step) {
            if let Some(reply) = reader.push(piece)? {
                return Ok(reply);
            }
        }
        reader.finish()
    }

    type Case = (&'static str, &'static str, Result<(u16, &'static str), ReplyError>);

    #[test]
    fn a_reply_is_read_however_it_is_cut_and_whatever_is_odd_about_it() {
        let cases: &[Case] = &[
            ("a length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd", Ok((200, "abc"))),
            ("no length", "HTTP/1.1 200 OK\r\n\r\nabc", Ok((200, "abc"))),
            ("line feeds only", "HTTP/1.0 400 x\ncontent-length:3\n\nabc", Ok((400, "abc"))),
            (
                "chunks",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                 2;x=y\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
                Ok((200, "abc")),
            ),
            (
                "chunks that end early",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
                Ok((200, "ab")),
            ),
            ("a wrong length", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", Ok((200, "abc"))),
            (
                "100 before it",
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
                Ok((200, "a")),
            ),
            ("no content", "HTTP/1.1 204 No\r\n\r\n", Ok((204, ""))),
            ("another protocol", "RTSP/1.0 200 OK\r\n\r\n", Err(ReplyError::NotHttp)),
            ("noise", "\x16\x03\x01", Err(ReplyError::NotHttp)),
            ("nothing", "", Err(ReplyError::Cut)),
            ("no body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Err(ReplyError::Cut)),
            ("half a head", "HTTP/1.1 200 OK\r\nContent-", Err(ReplyError::NotHttp)),
            (
                "a bad chunk",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxy\r\n",
                Err(ReplyError::NotHttp),
            ),
        ];
        for (name, text, expected) in cases {
            for step in [1, 2, 7, 4096] {
                let found = read(text.as_bytes(), step);
                let found = found.map(|reply| (reply.status, String::from_utf8(reply.body)));
                let expected = expected.map(|(status, body)| (status, Ok(body.to_owned())));
                assert_eq!(found, expected, "{name} in pieces of {step}");
            }
        }
    }

    #[test]
    fn a_reply_without_an_end_is_given_up() {
        let long = "x".repeat(MAX_BODY + 1);
        for (name, text) in [
            ("a head", format!("HTTP/1.1 200 OK\r\n{long}")),
            ("a length", format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", usize::MAX)),
            ("a body", format!("HTTP/1.1 200 OK\r\n\r\n{long}")),
            (
                "a chunk",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n".to_owned(),
            ),
            (
                "many chunks",
                format!(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}",
                    format!("ff\r\n{}\r\n", "x".repeat(255)).repeat(2000)
                ),
            ),
            (
                "the size of a chunk",
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", "1".repeat(999)),
            ),
        ] {
            assert_eq!(read(text.as_bytes(), 4096), Err(ReplyError::TooLong), "{name}");
        }
    }

    #[test]
    fn a_request_has_one_line_for_each_header() {
        let text = post("10.0.0.1:80", "/onvif", "urn:a", "Digest x", "<a/>");
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("POST /onvif HTTP/1.1\r\nHost: 10.0.0.1:80\r\n"), "{text}");
        assert!(text.contains("\r\nAuthorization: Digest x\r\n"), "{text}");
        assert!(text.ends_with("Content-Length: 4\r\n\r\n<a/>"), "{text}");
    }
}
