//! One source of a stream, as the three programs write it. Nothing of it is executed or contacted.

use std::collections::BTreeMap;

use super::Login;
use super::note::{Note, shown};
use crate::rtsp::{Address, Credentials, percent_decode};
use crate::url_parts::UrlParts;

/// Maximum length of an address in characters, as the dashboard takes it.
const MAX_ADDRESS_CHARS: usize = 512;

/// Maximum length of a user and a password in characters, as the dashboard takes them.
const MAX_USER_CHARS: usize = 128;
const MAX_PASSWORD_CHARS: usize = 256;

/// Maximum length of a host name (RFC 1035 §2.3.4).
const MAX_HOST_CHARS: usize = 253;

/// Maximum number of variables that are replaced in one text.
const MAX_VARIABLES: usize = 16;

/// Kinds of sources that are commands, or texts that are calculated.
const COMMANDS: &[&str] = &["exec", "echo", "expr"];

/// Kinds of sources that are devices of a machine.
const ATTACHED: &[&str] =
    &["v4l2", "alsa", "device", "virtual", "rpicamera", "unix", "unix+mpegts", "unix+rtp", "file"];

/// Kinds of sources that come from the Internet.
const CLOUDS: &[&str] =
    &["ring", "nest", "tuya", "wyze", "xiaomi", "roborock", "ivideon", "yandex"];

/// Kinds of sources over HTTP.
const HTTP: &[&str] = &["http", "https", "httpx"];

/// Kinds of sources that are RTSP inside of something else.
const TUNNELS: &[&str] =
    &["rtsp+http", "rtsps+http", "rtsp+https", "rtsps+https", "rtsp+ws", "rtsps+ws", "rtsp+wss"];

/// The place of a camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The address of a stream.
    Stream(Address),
    /// A device whose streams are asked for with ONVIF, as it is typed.
    Device(String),
}

/// A camera that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) place: Place,
    pub(super) login: Login,
    pub(super) notes: Vec<Note>,
}

impl Found {
    /// Returns the host of a stream.
    pub(super) fn host(&self) -> Option<&str> {
        match &self.place {
            Place::Stream(address) => Some(address.host()),
            Place::Device(_) => None,
        }
    }
}

/// A source of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Found(Found),
    /// Another stream of the same file, and the notes about the way to it.
    Stream(String, Vec<Note>),
    Refused(Note),
}

/// The variables whose values the file has.
#[derive(Debug, Default)]
pub(super) struct Variables<'a>(pub(super) BTreeMap<&'a str, &'a str>);

impl Variables<'_> {
    /// Replaces the variables whose values are known: `${NAME}`, `${NAME:default}`, and `{NAME}`
    /// with a name that begins with `FRIGATE_`. The others stay as they are.
    fn replace(&self, text: &str) -> String {
        let mut replaced = String::with_capacity(text.len());
        let mut rest = text;
        for _ in 0..MAX_VARIABLES {
            let Some(Variable { start, end, name, default }) = Variable::find(rest) else { break };
            replaced.push_str(rest.get(..start).unwrap_or_default());
            let as_written = rest.get(start..end).unwrap_or_default();
            let value = self.0.get(name).copied().or(default);
            replaced.push_str(value.unwrap_or(as_written));
            rest = rest.get(end..).unwrap_or_default();
        }
        replaced + rest
    }
}

/// A variable in a text.
struct Variable<'a> {
    start: usize,
    end: usize,
    name: &'a str,
    default: Option<&'a str>,
}

impl<'a> Variable<'a> {
    fn find(text: &'a str) -> Option<Self> {
        let starts = text.match_indices('{');
        starts.take(MAX_VARIABLES).find_map(|(brace, _)| Self::at(text, brace))
    }

    fn at(text: &'a str, brace: usize) -> Option<Self> {
        let (before, rest) = text.split_at(brace);
        let (inner, _) = rest.get(1..)?.split_once('}')?;
        let end = brace + 1 + inner.len() + 1;
        if before.ends_with('$') {
            let (name, default) = match inner.split_once(':') {
                Some((name, default)) => (name, Some(default)),
                None => (inner, None),
            };
            return Some(Self { start: brace - 1, end, name, default });
        }
        let is_variable = inner.starts_with("FRIGATE_");
        is_variable.then_some(Self { start: brace, end, name: inner, default: None })
    }
}

/// Returns the name of the first variable in a text, to be shown.
fn variable_in(text: &str) -> Option<String> {
    if let Some(Variable { name, .. }) = Variable::find(text) {
        return Some(shown(name));
    }
    text.contains("$MTX_QUERY").then(|| "MTX_QUERY".to_owned())
}

/// Reads a source.
pub(super) fn read(text: &str, line: usize, variables: &Variables<'_>) -> Source {
    let text = variables.replace(text.trim());
    read_plain(&text, line)
}

fn read_plain(text: &str, line: usize) -> Source {
    let Some((kind, rest)) = text.split_once(':') else { return refused_word(text, line) };
    match kind.to_ascii_lowercase().as_str() {
        "rtsp" | "rtspt" | "rtspu" => stream(text, line, false),
        "rtsps" | "rtspx" => stream(text, line, true),
        "onvif" => device(text, line),
        "ffmpeg" => ffmpeg(rest, line),
        _ => refused_kind(kind, line),
    }
}

/// Returns the note about a source that is one word. An unknown one may be anything, even a
/// password.
fn refused_word(text: &str, line: usize) -> Source {
    match refused_kind(text, line) {
        Source::Refused(Note::Protocol(_)) => Source::Refused(Note::Address(line)),
        source @ (Source::Found(_) | Source::Stream(..) | Source::Refused(_)) => source,
    }
}

/// Returns the note about a kind of source that is not taken.
fn refused_kind(kind: &str, line: usize) -> Source {
    let lower = kind.to_ascii_lowercase();
    let (is, name) = (|kinds: &[&str]| kinds.contains(&lower.as_str()), shown(kind));
    let is_name = !kind.is_empty()
        && kind.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_'));
    Source::Refused(if is(COMMANDS) {
        Note::Command(name)
    } else if is(ATTACHED) || kind.starts_with('/') {
        Note::Attached(if is_name { name } else { "file".to_owned() })
    } else if is(CLOUDS) {
        Note::Cloud(name)
    } else if is(HTTP) {
        Note::Http
    } else if is(TUNNELS) {
        Note::Tunnel
    } else if let Some(name) = variable_in(kind) {
        Note::Variable(name)
    } else if is_name && kind.len() <= 16 {
        Note::Protocol(name)
    } else {
        Note::Address(line)
    })
}

/// Reads a source that goes through FFmpeg: an address, another stream, a file or a device.
fn ffmpeg(text: &str, line: usize) -> Source {
    let (input, options) = text.split_once('#').unwrap_or((text, ""));
    let is_converting = |option: &str| match option.split_once('=').unwrap_or((option, "")) {
        ("video", codec) => codec != "copy",
        ("rotate" | "width" | "height" | "drawtext" | "raw", _) => true,
        _ => false,
    };
    let notes = match options.split('#').any(is_converting) {
        true => vec![Note::Converted],
        false => Vec::new(),
    };
    if input.contains("://") {
        let inner = if input.to_ascii_lowercase().starts_with("ffmpeg:") {
            // Not nested in each other without end.
            Source::Refused(Note::Address(line))
        } else {
            read_plain(input, line)
        };
        return match inner {
            Source::Found(found) => {
                let notes = found.notes.into_iter().chain(notes).collect();
                Source::Found(Found { notes, ..found })
            }
            Source::Stream(..) | Source::Refused(_) => inner,
        };
    }
    let name = input.split('?').next().unwrap_or_default();
    if name.is_empty() || matches!(name, "device" | "virtual" | "tts") || name.contains('/') {
        let kind = if name.contains('/') { "file" } else { "device" };
        return Source::Refused(Note::Attached(kind.to_owned()));
    }
    Source::Stream(name.to_owned(), notes)
}

/// Reads an address of RTSP.
fn stream(text: &str, line: usize, is_tls: bool) -> Source {
    let Some(parts) = checked_parts(text) else { return refused_address(text, line) };
    if let Some(name) = variable_in(parts.host).or_else(|| variable_in(parts.target)) {
        return Source::Refused(Note::Variable(name));
    }
    let options: Vec<&str> = text.split('#').skip(1).collect();
    if options.iter().any(|option| option.starts_with("transport=ws")) {
        return Source::Refused(Note::Tunnel);
    }
    if options.contains(&"media=audio") {
        return Source::Refused(Note::NoVideo);
    }
    let address = Address::new(is_tls, parts.host, parts.port, parts.target);
    let is_short = address.url().chars().count() <= MAX_ADDRESS_CHARS;
    match login(parts.user_info).filter(|_| is_short) {
        Some((login, notes)) => {
            Source::Found(Found { place: Place::Stream(address), login, notes })
        }
        None => Source::Refused(Note::Address(line)),
    }
}

/// Reads an address of ONVIF.
fn device(text: &str, line: usize) -> Source {
    let Some(parts) = checked_parts(text) else { return refused_address(text, line) };
    let path = parts.target.split('?').next().unwrap_or_default();
    if let Some(name) = variable_in(parts.host).or_else(|| variable_in(path)) {
        return Source::Refused(Note::Variable(name));
    }
    let host = bracketed(parts.host);
    let port = parts.port.map(|port| format!(":{port}")).unwrap_or_default();
    let address = match path {
        "" | "/" => format!("{host}{port}"),
        path => format!("http://{host}{port}{path}"),
    };
    let is_plain = address.chars().all(|c| c.is_ascii_graphic());
    let is_short = is_plain && address.len() <= MAX_ADDRESS_CHARS;
    match login(parts.user_info).filter(|_| is_short) {
        Some((login, notes)) => {
            Source::Found(Found { place: Place::Device(address), login, notes })
        }
        None => Source::Refused(Note::Address(line)),
    }
}

/// Splits an address. `None` if it cannot be one, or if a part of a password could be taken for a
/// part of the address.
fn checked_parts(text: &str) -> Option<UrlParts<'_>> {
    let parts = UrlParts::split(text)?;
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    let host = parts.host.trim_start_matches('[').trim_end_matches(']');
    let is_host = (1..=MAX_HOST_CHARS).contains(&host.len())
        && (host.chars().all(is_name) || variable_in(host).is_some());
    // The fragment may have an address of its own.
    let rest = text.split_once("#transport=").map_or(text, |(before, _)| before);
    let after = rest.split_once("://").map(|(_, rest)| rest)?;
    let ats = after.matches('@').count();
    let in_user_info = parts.user_info.map_or(0, |user_info| user_info.matches('@').count() + 1);
    (is_host && ats == in_user_info).then_some(parts)
}

/// Returns the note about an address that cannot be split, which may be because of a variable.
fn refused_address(text: &str, line: usize) -> Source {
    let authority = text.split_once("://").map_or("", |(_, rest)| rest);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    Source::Refused(variable_in(host).map_or(Note::Address(line), Note::Variable))
}

/// Reads user and password; `None` if they are too long.
fn login(user_info: Option<&str>) -> Option<(Login, Vec<Note>)> {
    let Some(user_info) = user_info.filter(|text| !matches!(*text, "" | ":")) else {
        return Some((Login::Open, Vec::new()));
    };
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    known_login(&percent_decode(user), &percent_decode(password))
}

/// Returns user and password as they are written in the file, decoded; `None` if they are too long.
pub(super) fn known_login(user: &str, password: &str) -> Option<(Login, Vec<Note>)> {
    if let Some(name) = variable_in(password).or_else(|| variable_in(user)) {
        return Some((Login::Missing, vec![Note::Password(name)]));
    }
    let is_short =
        user.chars().count() <= MAX_USER_CHARS && password.chars().count() <= MAX_PASSWORD_CHARS;
    let (user, password) = (user.to_owned(), password.to_owned());
    is_short.then(|| (Login::Known(Credentials { user, password }), Vec::new()))
}

/// Replaces the variables in a user or password that is not part of an address.
pub(super) fn replaced(text: &str, variables: &Variables<'_>) -> String {
    variables.replace(text)
}

/// Returns a host as addresses have it.
pub(super) fn bracketed(host: &str) -> String {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if bare.contains(':') { format!("[{bare}]") } else { bare.to_owned() }
}

#[cfg(test)]
mod tests;
