//! A lenient reader of XML: a tree of elements by their local names, without namespaces.
//!
//! Cameras use any prefix, forget to declare it, send stray `&` and claim encodings that they do
//! not use. Document types and entities of one's own are not read.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Maximum length of a document in bytes; the profiles of a recorder with 64 sources have 200 kB.
pub(crate) const MAX_LEN: usize = 256 * 1024;

/// Maximum depth of the tree; answers of cameras have 12.
const MAX_DEPTH: usize = 48;

/// Maximum number of elements that are kept; further ones are ignored.
const MAX_ELEMENTS: usize = 20_000;

/// Maximum number of attributes that are kept of one element.
const MAX_ATTRIBUTES: usize = 16;

/// An element with everything in it. Its name is without its prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Self>,
}

impl Element {
    /// Reads a document as far as it can be understood. The element that is returned has no name
    /// and contains the document; it is empty if the document is too long.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        if bytes.len() > MAX_LEN {
            return Self::default();
        }
        let text = decode(bytes);
        let mut reader = Reader::from_str(&text);
        let config = reader.config_mut();
        config.allow_dangling_amp = true;
        config.allow_unmatched_ends = true;
        config.check_end_names = false;
        let mut builder = Builder::default();
        // The reader ends at the first thing that is no XML; what came before is kept.
        while let Ok(event) = reader.read_event() {
            match event {
                Event::Start(start) => builder.open(&start),
                Event::Empty(start) => {
                    builder.open(&start);
                    builder.close();
                }
                Event::End(_) => builder.close(),
                Event::Text(text) => builder.push(&text),
                Event::CData(text) => builder.push(&text),
                Event::GeneralRef(reference) => builder.push(&resolve(&reference)),
                Event::Eof => break,
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
        builder.finish()
    }

    /// Returns the text between the tags, without blanks around it.
    pub(crate) fn text(&self) -> &str {
        self.text.trim()
    }

    /// Returns the value of an attribute, whatever its prefix.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        let named = self.attributes.iter().find(|(known, _)| known == name);
        named.map(|(_, value)| value.trim())
    }

    /// Returns the elements directly below this one.
    pub(crate) fn children(&self) -> impl Iterator<Item = &Self> {
        self.children.iter()
    }

    /// Returns the elements of this name directly below this one.
    pub(crate) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// Returns the elements of this name at any depth, in the order of the document. What is
    /// inside one of them is not searched.
    pub(crate) fn all(&self, name: &str) -> Vec<&Self> {
        let mut found = Vec::new();
        self.collect(name, &mut found);
        found
    }

    fn collect<'a>(&'a self, name: &str, found: &mut Vec<&'a Self>) {
        for child in &self.children {
            if child.name == name {
                found.push(child);
            } else {
                child.collect(name, found);
            }
        }
    }

    /// Returns the first element of this name at any depth.
    pub(crate) fn find(&self, name: &str) -> Option<&Self> {
        self.children
            .iter()
            .find_map(|child| if child.name == name { Some(child) } else { child.find(name) })
    }

    /// Returns the text of the first element of this name that has some.
    pub(crate) fn text_of(&self, name: &str) -> Option<&str> {
        self.all(name).into_iter().map(Self::text).find(|text| !text.is_empty())
    }

    /// Returns the number in the first element of this name.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        self.find(name)?.text().parse().ok()
    }
}

/// The elements that are open, the outermost first.
struct Builder {
    open: Vec<Element>,
    count: usize,
    /// Depth of what is ignored below the innermost open element.
    ignored: usize,
}

impl Default for Builder {
    fn default() -> Self {
        Self { open: vec![Element::default()], count: 0, ignored: 0 }
    }
}

impl Builder {
    fn open(&mut self, start: &BytesStart<'_>) {
        if self.ignored > 0 || self.open.len() > MAX_DEPTH || self.count >= MAX_ELEMENTS {
            self.ignored += 1;
            return;
        }
        self.count += 1;
        let mut element =
            Element { name: local(start.name().as_ref()).to_owned(), ..Element::default() };
        let mut attributes = start.attributes();
        let attributes = attributes.with_checks(false);
        for attribute in attributes.flatten().take(MAX_ATTRIBUTES) {
            let name = local(attribute.key.as_ref()).to_owned();
            element.attributes.push((name, unescape(&attribute.value)));
        }
        self.open.push(element);
    }

    fn close(&mut self) {
        if self.ignored > 0 {
            self.ignored -= 1;
            return;
        }
        // An end without a beginning closes nothing.
        if self.open.len() > 1
            && let Some(element) = self.open.pop()
            && let Some(parent) = self.open.last_mut()
        {
            parent.children.push(element);
        }
    }

    fn push(&mut self, text: &str) {
        if self.ignored == 0
            && let Some(element) = self.open.last_mut()
        {
            element.text.push_str(text);
        }
    }

    fn finish(mut self) -> Element {
        self.ignored = 0;
        while self.open.len() > 1 {
            self.close();
        }
        self.open.pop().unwrap_or_default()
    }
}

/// Returns a name without its prefix.
pub(crate) fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// Returns the text of a document: UTF-8, UTF-16 with its mark, else Latin-1, whatever it claims.
pub(crate) fn decode(bytes: &[u8]) -> String {
    let utf16 = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, _) = rest.as_chunks::<2>();
        String::from_utf16_lossy(&pairs.iter().map(|pair| unit(*pair)).collect::<Vec<_>>())
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => match str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
        },
    }
}

/// Returns the character that a reference means. An unknown one stays as it is, because it is a
/// stray `&` in an address.
fn resolve(reference: &str) -> String {
    let number =
        reference.strip_prefix('#').and_then(|number| match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => number.parse().ok(),
        });
    let character = match reference {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => number.and_then(char::from_u32),
    };
    character.map_or_else(|| format!("&{reference};"), String::from)
}

/// Returns a text with its references resolved.
pub(crate) fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, after) = rest.split_at(at);
        plain.push_str(before);
        match after.get(1..).and_then(|after| after.split_once(';')) {
            Some((name, after)) if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '#') => {
                plain.push_str(&resolve(name));
                rest = after;
            }
            _ => {
                plain.push('&');
                rest = after.get(1..).unwrap_or_default();
            }
        }
    }
    plain + rest
}

/// Returns a text as the content of an element or attribute.
pub(crate) fn escape(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_an_element_is_found_whatever_is_odd_about_the_document() {
        let cases: &[(&str, &[u8], &str)] = &[
            ("plain", b"<a><b>x</b></a>", "x"),
            ("prefixes that nobody declared", b"<q:a><z:b> x </z:b></q:a>", "x"),
            ("a stray ampersand", b"<a><b>rtsp://c/?a=1&b=2&c=3</b></a>", "rtsp://c/?a=1&b=2&c=3"),
            ("an escaped ampersand", b"<a><b>?a=1&amp;b=2</b></a>", "?a=1&b=2"),
            ("an unknown entity", b"<a><b>?a=1&b;c</b></a>", "?a=1&b;c"),
            ("an entity of its own", b"<!DOCTYPE a [<!ENTITY e \"y\">]><a><b>&e;</b></a>", "&e;"),
            ("numbers", b"<a><b>&#x41;&#66;</b></a>", "AB"),
            ("a section of plain text", b"<a><b><![CDATA[x<y]]></b></a>", "x<y"),
            ("no end", b"<a><b>x", "x"),
            ("another end", b"<a><b>x</c></a>", "x"),
            ("Latin-1 that claims to be UTF-8", b"<a><b>T\xFCr</b></a>", "T\u{fc}r"),
            ("a byte order mark", b"\xEF\xBB\xBF<a><b>x</b></a>", "x"),
            ("UTF-16", b"\xFF\xFE<\0b\0>\0x\0<\0/\0b\0>\0", "x"),
            ("text around it", b"HTTP junk <a><b>x</b></a> more", "x"),
            ("an element that is empty first", b"<a><b/><b>x</b></a>", "x"),
        ];
        for (name, document, expected) in cases {
            let root = Element::read(document);
            assert_eq!(root.text_of("b"), Some(*expected), "{name}: {root:?}");
        }
    }

    #[test]
    fn a_document_costs_no_more_than_its_bounds() {
        let deep = "<a>".repeat(50_000);
        let wide = "<a/>".repeat(60_000);
        let long = " ".repeat(MAX_LEN + 1);
        let attributes = format!("<a {}/>", "b='' ".repeat(1000));
        for (name, document) in
            [("deep", &deep), ("wide", &wide), ("long", &long), ("attributes", &attributes)]
        {
            let root = Element::read(document.as_bytes());
            assert!(root.all("a").len() <= MAX_ELEMENTS, "{name}");
            let attributes = root.find("a").map_or(0, |a| a.attributes.len());
            assert!(attributes <= MAX_ATTRIBUTES, "{name}");
            let (mut depth, mut at) = (0, &root);
            while let Some(below) = at.find("a") {
                (depth, at) = (depth + 1, below);
            }
            assert!(depth <= MAX_DEPTH, "{name}: {depth}");
        }
    }
}
