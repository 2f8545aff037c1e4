//! A part of a camera's answer with its source text, in which single values are replaced.
//!
//! Everything else stays as the camera has written it: a vendor's own elements, the order, the
//! prefixes. The declarations of namespaces above the part go with it.

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::onvif::xml::{Element, MAX_LEN, decode, escape, unescape};

/// Namespace of the types of all services (ONVIF Core §5.3).
const SCHEMA: &str = "http://www.onvif.org/ver10/schema";

/// Maximum depth of the tree; configurations have 4.
const MAX_DEPTH: usize = 48;

/// Maximum number of elements in an answer.
const MAX_ELEMENTS: usize = 20_000;

/// Maximum number of attributes that are read of one element.
const MAX_ATTRIBUTES: usize = 64;

/// Maximum number of declared namespaces that go with a part.
const MAX_NAMESPACES: usize = 64;

/// Positions of the first byte and of the byte after the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
}

impl Span {
    fn of(self, text: &str) -> &str {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// An element in a text.
#[derive(Debug, Clone)]
struct Node {
    /// Name without its prefix.
    name: String,
    /// Prefix with its colon, or empty.
    prefix: String,
    tag: Span,
    /// The content between the tags; `None` for `<a/>`.
    inner: Option<Span>,
    end: usize,
    children: Vec<Self>,
}

impl Node {
    fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    fn collect_prefixes(&self, found: &mut Vec<String>) {
        let prefix = self.prefix.trim_end_matches(':');
        if !prefix.is_empty() && !found.iter().any(|known| known == prefix) {
            found.push(prefix.to_owned());
        }
        for child in &self.children {
            child.collect_prefixes(found);
        }
    }
}

/// An attribute of a start tag.
struct Attribute {
    /// Name with its prefix.
    name: String,
    /// Value as it is written, within the tag.
    value: Span,
}

/// A declaration of a namespace: its prefix, or an empty one, and its name as it is written.
type Namespace = (String, String);

/// An element with its source text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Document {
    text: String,
    /// The namespaces that are declared above it.
    scope: Vec<Namespace>,
}

impl Document {
    /// Finds the element with one of these names and this token in an answer. Returns `None` if
    /// there is none, or if the answer is not well formed.
    pub(super) fn find(bytes: &[u8], names: &[&str], token: &str) -> Option<Self> {
        if bytes.len() > MAX_LEN {
            return None;
        }
        let text = decode(bytes);
        let text = text.trim_start_matches('\u{feff}');
        let root = parse(text)?;
        let mut scope = Vec::new();
        let node = search(text, &root, names, token, &mut scope)?;
        let span = Span { start: node.tag.start, end: node.end };
        Some(Self { text: span.of(text).to_owned(), scope })
    }

    /// Returns the source text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the element as it is read.
    pub(super) fn element(&self) -> Element {
        let root = Element::read(self.text.as_bytes());
        root.children().next().cloned().unwrap_or_default()
    }

    fn node(&self) -> Option<Node> {
        parse(&self.text)?.children.into_iter().next()
    }

    /// Replaces the text in an element below this one. Returns false if there is no such element
    /// with nothing but text in it.
    pub(super) fn set_text(&mut self, path: &[&str], value: &str) -> bool {
        let Some(root) = self.node() else { return false };
        let node = path.iter().try_fold(&root, |node, name| node.child(name));
        let inner = node.filter(|node| node.children.is_empty()).and_then(|node| node.inner);
        let Some(inner) = inner else { return false };
        self.text.replace_range(inner.start..inner.end, &escape(value));
        true
    }

    /// Replaces the value of an attribute, or adds it. Returns false if the text has no tag.
    pub(super) fn set_attribute(&mut self, name: &str, value: &str) -> bool {
        let Some(root) = self.node() else { return false };
        let tag = root.tag.of(&self.text);
        let known = attributes(tag).into_iter().find(|attribute| local(&attribute.name) == name);
        if let Some(Attribute { value: span, .. }) = known {
            let (start, end) = (root.tag.start + span.start, root.tag.start + span.end);
            self.text.replace_range(start..end, &escape(value));
            return true;
        }
        let at = root.tag.start + 1 + root.prefix.len() + root.name.len();
        self.text.insert_str(at, &format!(" {name}=\"{}\"", escape(value)));
        true
    }

    /// Adds an element with elements of text in it, in front of the first one of these names, else
    /// as the last one. Returns false if the text has no place for it.
    pub(super) fn add(&mut self, name: &str, values: &[(&str, &str)], before: &[&str]) -> bool {
        let Some(root) = self.node() else { return false };
        let next = root.children.iter().find(|child| before.contains(&child.name.as_str()));
        let Some(inner) = root.inner else { return false };
        let at = next.map_or(inner.end, |next| next.tag.start);
        let prefix = root.children.first().map_or("", |child| &child.prefix);
        let values: String = values
            .iter()
            .map(|(name, value)| format!("<{prefix}{name}>{}</{prefix}{name}>", escape(value)))
            .collect();
        self.text.insert_str(at, &format!("<{prefix}{name}>{values}</{prefix}{name}>"));
        true
    }

    /// Writes the element with another name of this namespace. Everything in it is as it was read.
    pub(super) fn written(&self, name: &str, namespace: &str) -> Option<String> {
        let root = self.node()?;
        let tag = root.tag.of(&self.text);
        let own = namespaces(tag);
        let mut declared = own.clone();
        let mut declarations = String::new();
        let mut declare = |prefix: &str, value: &str| {
            if declared.iter().any(|(known, _)| known == prefix) {
                return;
            }
            let colon = if prefix.is_empty() { "" } else { ":" };
            declarations.push_str(&format!(" xmlns{colon}{prefix}=\"{value}\""));
            declared.push((prefix.to_owned(), value.to_owned()));
        };
        for (prefix, value) in self.scope.iter().rev() {
            declare(prefix, value);
        }
        let mut used = Vec::new();
        root.children.iter().for_each(|child| child.collect_prefixes(&mut used));
        for prefix in used {
            // Some cameras forget it; everything in a configuration is of the schema.
            declare(&prefix, SCHEMA);
        }
        let numbers = (0..).map(|number| format!("c{number}"));
        let prefix =
            numbers.into_iter().find(|it| !declared.iter().any(|(known, _)| known == it))?;
        let after_name = tag.get(1 + root.prefix.len() + root.name.len()..)?;
        let attributes = after_name.trim_end_matches('>').trim_end_matches('/').trim_end();
        let inner = root.inner.map_or("", |inner| inner.of(&self.text));
        Some(format!(
            "<{prefix}:{name} xmlns:{prefix}=\"{namespace}\"{declarations}{attributes}>{inner}\
             </{prefix}:{name}>"
        ))
    }
}

/// Reads a text into a tree below a node without a name; `None` if it is not well formed.
fn parse(text: &str) -> Option<Node> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().allow_dangling_amp = true;
    let nowhere = Span { start: 0, end: 0 };
    let new = |name: &str, tag: Span| {
        let (prefix, name) = name.rsplit_once(':').map_or(("", name), |(prefix, name)| {
            // The colon belongs to the prefix.
            (prefix, name)
        });
        let colon = if prefix.is_empty() { "" } else { ":" };
        let prefix = format!("{prefix}{colon}");
        Node { name: name.to_owned(), prefix, tag, inner: None, end: tag.end, children: vec![] }
    };
    let mut open = vec![new("", nowhere)];
    let mut count = 0;
    loop {
        let start = usize::try_from(reader.buffer_position()).ok()?;
        let event = reader.read_event().ok()?;
        let end = usize::try_from(reader.buffer_position()).ok()?;
        let tag = Span { start, end };
        match event {
            Event::Start(tag_start) => {
                open.push(new(tag_start.name().as_ref(), tag));
                count += 1;
            }
            Event::Empty(tag_start) => {
                open.last_mut()?.children.push(new(tag_start.name().as_ref(), tag));
                count += 1;
            }
            Event::End(_) if open.len() > 1 => {
                let mut node = open.pop()?;
                node.inner = Some(Span { start: node.tag.end, end: start });
                node.end = end;
                open.last_mut()?.children.push(node);
            }
            Event::End(_) | Event::DocType(_) => return None,
            Event::Eof if open.len() == 1 => return open.pop(),
            Event::Eof => return None,
            Event::Text(_)
            | Event::CData(_)
            | Event::GeneralRef(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_) => {}
        }
        if open.len() > MAX_DEPTH || count > MAX_ELEMENTS {
            return None;
        }
    }
}

/// Finds an element at any depth, and the namespaces that are declared on the way to it.
fn search<'a>(
    text: &str,
    node: &'a Node,
    names: &[&str],
    token: &str,
    scope: &mut Vec<Namespace>,
) -> Option<&'a Node> {
    for child in &node.children {
        let tag = child.tag.of(text);
        let is_token = |attribute: &Attribute| {
            local(&attribute.name) == "token" && unescape(attribute.value.of(tag)).trim() == token
        };
        if names.contains(&child.name.as_str()) && attributes(tag).iter().any(is_token) {
            return Some(child);
        }
        let above = scope.len();
        scope.extend(namespaces(tag));
        scope.truncate(MAX_NAMESPACES);
        if let Some(found) = search(text, child, names, token, scope) {
            return Some(found);
        }
        scope.truncate(above);
    }
    None
}

/// Returns the namespaces that a start tag declares.
fn namespaces(tag: &str) -> Vec<Namespace> {
    let declared = attributes(tag).into_iter().filter_map(|attribute| {
        let prefix = match attribute.name.strip_prefix("xmlns")? {
            "" => "",
            rest => rest.strip_prefix(':')?,
        };
        let value = attribute.value.of(tag);
        // It is written between quotation marks again.
        (!value.contains('"')).then(|| (prefix.to_owned(), value.to_owned()))
    });
    declared.collect()
}

/// Returns the attributes of a start tag.
fn attributes(tag: &str) -> Vec<Attribute> {
    let mut found = Vec::new();
    let mut rest = tag.split_once(char::is_whitespace).map_or("", |(_, rest)| rest);
    while found.len() < MAX_ATTRIBUTES {
        let Some((name, after)) = rest.split_once('=') else { break };
        let after = after.trim_start();
        let Some(quote) = after.chars().next().filter(|c| matches!(c, '"' | '\'')) else { break };
        let quoted = after.get(1..).unwrap_or_default();
        let Some((value, after)) = quoted.split_once(quote) else { break };
        // What is left of a text is its end.
        let start = tag.len() - quoted.len();
        let value = Span { start, end: start + value.len() };
        found.push(Attribute { name: name.trim().to_owned(), value });
        rest = after;
    }
    found
}

/// Returns a name without its prefix.
fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "<?xml version=\"1.0\"?>\n<s:Envelope xmlns:s='urn:s' xmlns:tt=\"urn:tt\">\
        <s:Body><m:Get xmlns:m=\"urn:m\" xmlns:v=\"urn:vendor\">\
        <m:Configurations token=\"a\" GovLength=\"250\"\n v:Smart='on'><tt:Name>x &amp; y</tt:Name>\
        <tt:RateControl><tt:FrameRateLimit>25</tt:FrameRateLimit></tt:RateControl>\
        <v:Own a=\"1\"/><!-- kept --></m:Configurations>\
        <m:Configurations token=\"b\"/></m:Get></s:Body></s:Envelope>";

    fn document(token: &str) -> Document {
        Document::find(ANSWER.as_bytes(), &["Configurations"], token).unwrap()
    }

    #[test]
    fn nothing_but_the_value_that_is_set_changes() {
        let mut part = document("a");
        assert!(part.set_attribute("GovLength", "50"));
        assert!(part.set_text(&["RateControl", "FrameRateLimit"], "15"));
        assert!(part.set_attribute("Profile", "<"));
        assert!(part.add("H264", &[("GovLength", "30")], &["Own"]));
        for path in [&["RateControl"][..], &["Own"], &["Nothing"]] {
            assert!(!part.set_text(path, "1"), "{path:?}");
        }
        let written = part.written("Configuration", "urn:c").unwrap();
        assert_eq!(
            written,
            "<c0:Configuration xmlns:c0=\"urn:c\" xmlns:v=\"urn:vendor\" xmlns:m=\"urn:m\" \
             xmlns:tt=\"urn:tt\" xmlns:s=\"urn:s\" Profile=\"&lt;\" token=\"a\" GovLength=\"50\"\n \
             v:Smart='on'><tt:Name>x &amp; y</tt:Name><tt:RateControl><tt:FrameRateLimit>15\
             </tt:FrameRateLimit></tt:RateControl><tt:H264><tt:GovLength>30</tt:GovLength>\
             </tt:H264><v:Own a=\"1\"/><!-- kept --></c0:Configuration>"
        );
    }

    #[test]
    fn an_empty_element_is_written_with_its_token() {
        let mut part = document("b");
        assert!(!part.add("H264", &[], &[]));
        let written = part.written("Configuration", "urn:c").unwrap();
        assert!(written.ends_with(" token=\"b\"></c0:Configuration>"), "{written}");
    }

    #[test]
    fn a_prefix_that_nobody_declared_is_that_of_the_schema() {
        let answer = "<c0 xmlns:c0='urn:x'><C token='1' xmlns='urn:d'><tt:A>1</tt:A></C></c0>";
        let part = Document::find(answer.as_bytes(), &["C"], "1").unwrap();
        assert_eq!(
            part.written("D", "urn:c").unwrap(),
            "<c1:D xmlns:c1=\"urn:c\" xmlns:c0=\"urn:x\" \
             xmlns:tt=\"http://www.onvif.org/ver10/schema\" token='1' xmlns='urn:d'>\
             <tt:A>1</tt:A></c1:D>"
        );
    }

    #[test]
    fn what_is_not_well_formed_or_has_no_end_is_not_taken() {
        let deep = "<a>".repeat(1000) + "<C token=\"1\"/>" + &"</a>".repeat(1000);
        let wide = format!("<a>{}<C token=\"1\"/></a>", "<b/>".repeat(30_000));
        for (name, answer) in [
            ("no end", "<a><C token=\"1\">"),
            ("another end", "<a><C token=\"1\"></D></a>"),
            ("a document type", "<!DOCTYPE a [<!ENTITY e \"y\">]><a><C token=\"1\"/></a>"),
            ("no token", "<a><C/></a>"),
            ("another token", "<a><C token=\"2\"/></a>"),
            ("another name", "<a><D token=\"1\"/></a>"),
            ("deep", &deep),
            ("wide", &wide),
        ] {
            assert_eq!(Document::find(answer.as_bytes(), &["C"], "1"), None, "{name}");
        }
    }
}
