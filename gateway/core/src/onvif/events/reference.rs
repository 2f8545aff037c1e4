//! The reference parameters of a subscription, which are sent back as headers with their
//! namespaces (WS-Addressing 1.0 SOAP Binding §3.3).

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::ADDRESSING;
use crate::onvif::xml::{self, escape};

/// Maximum length of all parameters as headers in bytes; those of cameras have 200.
const MAX_HEADERS: usize = 4096;

/// Maximum number of elements that are looked at, and of declarations that are kept.
const MAX_STEPS: usize = 2000;

/// The declarations of namespaces that are in force, each with the depth of its element.
#[derive(Debug, Default)]
struct Scope {
    depth: usize,
    known: Vec<(usize, String, String)>,
}

impl Scope {
    fn open(&mut self, start: &BytesStart<'_>) {
        self.depth += 1;
        for attribute in start.attributes().with_checks(false).flatten() {
            let key = attribute.key.as_ref();
            let prefix = if key == "xmlns" { Some("") } else { key.strip_prefix("xmlns:") };
            if let Some(prefix) = prefix.filter(|_| self.known.len() < MAX_STEPS) {
                let namespace = xml::unescape(&attribute.value);
                self.known.push((self.depth, prefix.to_owned(), namespace));
            }
        }
    }

    fn close(&mut self) {
        let depth = self.depth;
        self.known.retain(|(at, _, _)| *at < depth);
        self.depth = depth.saturating_sub(1);
    }

    fn namespace(&self, name: &str) -> &str {
        let prefix = name.rsplit_once(':').map_or("", |(prefix, _)| prefix);
        let mut known = self.known.iter().rev();
        known.find(|(_, it, _)| it == prefix).map_or("", |(_, _, namespace)| namespace)
    }
}

/// Returns the reference parameters in the answer to a subscription as headers. Empty if there are
/// none, or if they cannot be sent back.
pub(super) fn parameters(bytes: &[u8]) -> String {
    if bytes.len() > xml::MAX_LEN {
        return String::new();
    }
    let text = xml::decode(bytes);
    let mut reader = Reader::from_str(&text);
    let config = reader.config_mut();
    config.allow_dangling_amp = true;
    config.allow_unmatched_ends = true;
    config.check_end_names = false;
    let (mut scope, mut headers) = (Scope::default(), String::new());
    // Depth of the element that contains the parameters, and the names of those that are open.
    let (mut inside, mut open): (Option<usize>, Vec<String>) = (None, Vec::new());
    for _ in 0..MAX_STEPS {
        let Ok(event) = reader.read_event() else { break };
        match event {
            Event::Start(start) => {
                scope.open(&start);
                let is_list = xml::local(start.name().as_ref()) == "ReferenceParameters";
                if inside.is_some() {
                    open.push(write_start(&mut headers, &scope, &start, open.is_empty()));
                } else if is_list {
                    inside = Some(scope.depth);
                }
            }
            Event::Empty(start) => {
                scope.open(&start);
                if inside.is_some() {
                    let name = write_start(&mut headers, &scope, &start, open.is_empty());
                    headers += &format!("</{name}>");
                }
                scope.close();
            }
            Event::End(_) => {
                if let Some(name) = open.pop() {
                    headers += &format!("</{name}>");
                } else if inside == Some(scope.depth) {
                    return if is_sendable(&headers) { headers } else { String::new() };
                }
                scope.close();
            }
            Event::Text(text) if !open.is_empty() => headers += &escape(text.trim()),
            Event::GeneralRef(name) if !open.is_empty() => {
                headers += &escape(&xml::unescape(&format!("&{};", &*name)));
            }
            Event::Eof => break,
            Event::Text(_)
            | Event::GeneralRef(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_) => {}
        }
    }
    String::new()
}

/// Writes the start of an element, and returns its name as it was written.
fn write_start(
    headers: &mut String,
    scope: &Scope,
    start: &BytesStart<'_>,
    is_header: bool,
) -> String {
    let full = start.name();
    let namespace = scope.namespace(full.as_ref());
    let local = xml::local(full.as_ref());
    let name = if namespace.is_empty() { local.to_owned() } else { format!("p:{local}") };
    *headers += &format!("<{name}");
    if !namespace.is_empty() {
        *headers += &format!(" xmlns:p=\"{}\"", escape(namespace));
    }
    if is_header {
        *headers += &format!(" xmlns:a=\"{ADDRESSING}\" a:IsReferenceParameter=\"true\"");
    }
    for attribute in start.attributes().with_checks(false).flatten().take(16) {
        let key = attribute.key.as_ref();
        if is_name(key) && key != "xmlns" {
            *headers += &format!(" {key}=\"{}\"", escape(&xml::unescape(&attribute.value)));
        }
    }
    *headers += ">";
    if !is_name(local) {
        // Nothing of it is sent.
        *headers += &" ".repeat(MAX_HEADERS + 1);
    }
    name
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    let is_start = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    is_start && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

fn is_sendable(headers: &str) -> bool {
    headers.len() <= MAX_HEADERS && !headers.chars().any(|c| c.is_control() && c != '\n')
}
