//! A YAML document as a tree, within bounds (YAML 1.2, and the merge keys of 1.1).

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use saphyr_parser::{Event, Parser};
use zeroize::Zeroizing;

use super::ImportError;

/// Maximum depth of lists and mappings in each other; configurations have about eight.
const MAX_DEPTH: usize = 32;

/// Maximum number of values, those that merge keys copy included. The longest file that is taken
/// has about 40 000 lines.
const MAX_NODES: usize = 50_000;

/// The key that merges mappings into another one.
const MERGE: &str = "<<";

/// A value of a document. Aliases share it, so that they cost nothing.
#[derive(Debug)]
pub(super) struct Node {
    /// The line that it begins in, from one.
    pub(super) line: usize,
    value: Value,
}

#[derive(Debug)]
enum Value {
    /// A scalar, which may be a password.
    Text(Zeroizing<String>),
    List(Vec<Rc<Node>>),
    Map(Vec<(String, Rc<Node>)>),
}

impl Node {
    /// Returns the text of a scalar that is not null.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => {
                Some(text.trim()).filter(|text| !matches!(*text, "" | "~" | "null"))
            }
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Returns the values of a list; those of a scalar are the scalar itself, as programs take it.
    pub(super) fn list(&self) -> Vec<&Self> {
        match &self.value {
            Value::Text(_) => self.text().map(|_| self).into_iter().collect(),
            Value::List(items) => items.iter().map(Rc::as_ref).collect(),
            Value::Map(_) => Vec::new(),
        }
    }

    /// Returns the keys and values of a mapping, and `None` if it is none.
    pub(super) fn map(&self) -> Option<impl Iterator<Item = (&str, &Self)>> {
        match &self.value {
            Value::Map(pairs) => {
                Some(pairs.iter().map(|(key, node)| (key.as_str(), node.as_ref())))
            }
            Value::Text(_) | Value::List(_) => None,
        }
    }

    /// Returns the value of a key; the first one if there are several.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.map()?.find_map(|(name, node)| (name == key).then_some(node))
    }

    /// Returns the text of a key.
    pub(super) fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key)?.text()
    }

    /// Returns the truth value of a key, as YAML 1.1 and 1.2 write it.
    pub(super) fn flag_of(&self, key: &str) -> Option<bool> {
        match self.text_of(key)?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        }
    }
}

/// Reads the first document of a text.
///
/// # Errors
/// With the line if it is no YAML, or if a bound is exceeded.
pub(super) fn read(text: &str) -> Result<Rc<Node>, ImportError> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let line = error.marker().line();
            let is_tab = text.lines().nth(line.saturating_sub(1)).is_some_and(has_leading_tab);
            if is_tab { ImportError::Tab(line) } else { ImportError::Syntax(line) }
        })?;
        if builder.handle(event, span.start.line())? {
            break;
        }
    }
    builder.root.ok_or(ImportError::Unknown)
}

fn has_leading_tab(line: &str) -> bool {
    line.trim_start_matches(' ').starts_with('\t')
}

/// The key of the next value of a mapping.
enum Key {
    Awaited,
    Text(String),
    /// A key that is no scalar; its value is left out.
    Other,
}

/// A list or mapping that is not complete.
struct Open {
    anchor: usize,
    line: usize,
    content: Content,
}

enum Content {
    List(Vec<Rc<Node>>),
    Map(Vec<(String, Rc<Node>)>, Key),
}

/// The tree as it grows.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    nodes: usize,
    root: Option<Rc<Node>>,
}

impl Builder {
    /// Handles an event; returns true at the end of the first document.
    fn handle(&mut self, event: Event<'_>, line: usize) -> Result<bool, ImportError> {
        match event {
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) => {}
            Event::StreamEnd | Event::DocumentEnd => return Ok(true),
            Event::Alias(anchor) => {
                self.count(1)?;
                // An alias to what it is part of has no value.
                let known = self.anchors.get(&anchor).cloned();
                self.put(known.unwrap_or_else(|| text_node(line, String::new())));
            }
            Event::Scalar(text, _, anchor, tag) => {
                self.count(1)?;
                // The value of a secret is in another file, as that of a variable.
                let is_secret = tag.is_some_and(|tag| tag.suffix == "secret");
                let text = text.into_owned();
                let text = if is_secret { format!("${{{text}}}") } else { text };
                self.finish(anchor, text_node(line, text));
            }
            Event::SequenceStart(anchor, _) => {
                self.begin(anchor, line, Content::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, _) => {
                self.begin(anchor, line, Content::Map(Vec::new(), Key::Awaited))?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end()?,
        }
        Ok(false)
    }

    fn begin(&mut self, anchor: usize, line: usize, content: Content) -> Result<(), ImportError> {
        self.count(1)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(ImportError::TooDeep(line));
        }
        self.open.push(Open { anchor, line, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), ImportError> {
        let Some(Open { anchor, line, content }) = self.open.pop() else { return Ok(()) };
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Map(pairs, _) => Value::Map(self.merged(pairs)?),
        };
        self.finish(anchor, Rc::new(Node { line, value }));
        Ok(())
    }

    fn finish(&mut self, anchor: usize, node: Rc<Node>) {
        // Zero stands for no anchor.
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.put(node);
    }

    /// Puts a complete value where it belongs.
    fn put(&mut self, node: Rc<Node>) {
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map(pairs, key)) => match std::mem::replace(key, Key::Awaited) {
                Key::Awaited => {
                    *key = match &node.value {
                        Value::Text(text) => Key::Text(text.to_string()),
                        Value::List(_) | Value::Map(_) => Key::Other,
                    }
                }
                Key::Text(name) => pairs.push((name, node)),
                Key::Other => {}
            },
        }
    }

    /// Adds the pairs of merged mappings that are not there yet.
    fn merged(
        &mut self,
        mut pairs: Vec<(String, Rc<Node>)>,
    ) -> Result<Vec<(String, Rc<Node>)>, ImportError> {
        let merges = pairs.extract_if(.., |(key, _)| key == MERGE).map(|(_, node)| node);
        let merges: Vec<Rc<Node>> = merges.collect();
        if merges.is_empty() {
            return Ok(pairs);
        }
        let mut keys: BTreeSet<String> = pairs.iter().map(|(key, _)| key.clone()).collect();
        for merge in &merges {
            let several = match &merge.value {
                Value::List(items) => items.as_slice(),
                Value::Map(_) | Value::Text(_) => std::slice::from_ref(merge),
            };
            for node in several {
                self.count(1)?;
                let Value::Map(added) = &node.value else { continue };
                self.count(added.len())?;
                for (key, node) in added {
                    if keys.insert(key.clone()) {
                        pairs.push((key.clone(), Rc::clone(node)));
                    }
                }
            }
        }
        Ok(pairs)
    }

    fn count(&mut self, nodes: usize) -> Result<(), ImportError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES { Err(ImportError::TooMany) } else { Ok(()) }
    }
}

fn text_node(line: usize, text: String) -> Rc<Node> {
    Rc::new(Node { line, value: Value::Text(Zeroizing::new(text)) })
}

#[cfg(test)]
mod tests;
