//! The merged layers as a tree of values, each with its origin.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

/// The prefix of the environment variables, as in `PORTHOLE__SECTION__KEY`.
pub(super) const ENV_PREFIX: &str = "PORTHOLE__";
/// The separator between the parts of their names.
pub(super) const ENV_SEPARATOR: &str = "__";

/// The origin of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of the configuration file.
    File(Arc<str>, usize),
    /// An environment variable.
    Env(String),
    /// A flag on the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{path}:{line}"),
            Self::Env(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A value with its origin.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

/// A value whose final type is not known yet.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Text of a flag or the environment, parsed as the type that its key has.
    Untyped(String),
    /// A string in the file.
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

/// The merged layers. Later layers override earlier ones, key by key.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    pub(super) root: BTreeMap<String, Node>,
}

/// A file that is not TOML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}:{line}: {message}")]
pub struct SyntaxError {
    path: String,
    line: usize,
    message: String,
}

impl Tree {
    /// Adds what can be read of the configuration file, replacing everything added before. Returns
    /// what is wrong with it as TOML.
    pub fn add_file(&mut self, path: &Path, text: &str) -> Vec<SyntaxError> {
        let name = path.display().to_string();
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut errors: Vec<_> = errors
            .into_iter()
            .map(|error| SyntaxError {
                path: name.clone(),
                line: line_of(text, error.span().map_or(0, |span| span.start)),
                message: one_line(error.message()),
            })
            .collect();
        errors.sort_by_key(|error| error.line);
        // The parser goes on behind an error, and may complain about one line twice.
        errors.dedup_by_key(|error| error.line);
        let mut file = SourceFile { name: name.into(), text, errors };
        self.root = file.table(table.get_ref());
        file.errors
    }

    /// Adds the variables that begin with [`ENV_PREFIX`].
    pub fn add_env(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        for (name, text) in variables {
            let Some(path) = name.strip_prefix(ENV_PREFIX) else { continue };
            let path = path.to_ascii_lowercase();
            let path: Vec<&str> = path.split(ENV_SEPARATOR).collect();
            let origin = Origin::Env(name.clone());
            self.set(&path, Node { origin, value: Value::Untyped(text) });
        }
    }

    /// Adds the value of a flag, if it was given.
    pub fn add_flag(&mut self, flag: &'static str, path: &[&str], text: Option<impl fmt::Display>) {
        let Some(text) = text else { return };
        let value = Value::Untyped(text.to_string());
        self.set(path, Node { origin: Origin::Flag(flag), value });
    }

    /// Adds the values of a repeatable flag, if it was given.
    pub fn add_flags<T: fmt::Display>(&mut self, flag: &'static str, path: &[&str], all: &[T]) {
        if all.is_empty() {
            return;
        }
        let origin = Origin::Flag(flag);
        let node =
            |text: &T| Node { origin: origin.clone(), value: Value::Untyped(text.to_string()) };
        let value = Value::List(all.iter().map(node).collect());
        self.set(path, Node { origin: origin.clone(), value });
    }

    /// Returns the text of a top-level key.
    pub(super) fn top_level_text(&self, key: &str) -> Option<&str> {
        match &self.root.get(key)?.value {
            Value::Untyped(text) | Value::String(text) => Some(text),
            Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::List(_)
            | Value::Table(_) => None,
        }
    }

    /// Removes what is at a path, of which the last part may be the index in a list. Returns false
    /// if there is nothing.
    pub(super) fn remove(&mut self, path: &[String]) -> bool {
        remove(&mut self.root, path)
    }

    /// Returns where each value came from.
    pub(super) fn origins(&self) -> Origins {
        let mut origins = BTreeMap::new();
        collect_origins(&self.root, &mut Vec::new(), &mut origins);
        Origins(origins)
    }

    /// Puts a node at a path; a value that is not a table is replaced on the way.
    fn set(&mut self, path: &[&str], node: Node) {
        let Some((last, above)) = path.split_last() else { return };
        let mut table = &mut self.root;
        for key in above {
            let empty = || Value::Table(BTreeMap::new());
            let entry = table
                .entry((*key).to_owned())
                .or_insert_with(|| Node { origin: node.origin.clone(), value: empty() });
            if !matches!(entry.value, Value::Table(_)) {
                *entry = Node { origin: node.origin.clone(), value: empty() };
            }
            let Value::Table(next) = &mut entry.value else { return };
            table = next;
        }
        table.insert((*last).to_owned(), node);
    }
}

fn remove(table: &mut BTreeMap<String, Node>, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    let inside = match table.get_mut(first).map(|node| &mut node.value) {
        Some(Value::Table(inner)) if !rest.is_empty() => Some(remove(inner, rest)),
        Some(Value::List(list)) if !rest.is_empty() => {
            let index = rest.first().and_then(|index| index.parse().ok());
            let index = index.filter(|index| *index < list.len());
            Some(index.map(|index: usize| list.remove(index)).is_some())
        }
        // The item of a list that is written as text: all of it goes.
        Some(_) | None => None,
    };
    inside.unwrap_or_else(|| table.remove(first).is_some())
}

/// The places that the values of a configuration came from, by their keys.
#[derive(Debug, Clone, Default)]
pub struct Origins(BTreeMap<Vec<String>, Origin>);

impl Origins {
    /// Returns where the value of a key came from; `None` for a default.
    pub(super) fn of(&self, path: &[String]) -> Option<&Origin> {
        self.0.get(path)
    }
}

fn collect_origins(
    table: &BTreeMap<String, Node>,
    path: &mut Vec<String>,
    origins: &mut BTreeMap<Vec<String>, Origin>,
) {
    for (key, node) in table {
        path.push(key.clone());
        if let Value::Table(inner) = &node.value {
            collect_origins(inner, path, origins);
        } else {
            origins.insert(path.clone(), node.origin.clone());
        }
        path.pop();
    }
}

/// The text of a configuration file, with its name for [`Origin`], and what is wrong with it.
struct SourceFile<'a> {
    name: Arc<str>,
    text: &'a str,
    errors: Vec<SyntaxError>,
}

impl SourceFile<'_> {
    fn table(&mut self, table: &DeTable<'_>) -> BTreeMap<String, Node> {
        let mut nodes = BTreeMap::new();
        for (key, value) in table {
            let line = line_of(self.text, key.span().start);
            if let Some(node) = self.node(value.get_ref(), line) {
                nodes.insert(key.get_ref().to_string(), node);
            }
        }
        nodes
    }

    /// Returns a value, or notes why it is none.
    fn node(&mut self, value: &DeValue<'_>, line: usize) -> Option<Node> {
        let value = match value {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => Value::Integer(number),
                    Err(_) => return self.refuse(line, "the number is too large"),
                }
            }
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => Value::Float(number),
                Err(_) => return self.refuse(line, "this is not a number"),
            },
            DeValue::Boolean(truth) => Value::Boolean(*truth),
            DeValue::Datetime(time) => Value::String(time.to_string()),
            DeValue::Array(list) => {
                let mut nodes = Vec::with_capacity(list.len());
                for item in list {
                    let line = line_of(self.text, item.span().start);
                    nodes.extend(self.node(item.get_ref(), line));
                }
                Value::List(nodes)
            }
            DeValue::Table(table) => Value::Table(self.table(table)),
        };
        Some(Node { origin: Origin::File(self.name.clone(), line), value })
    }

    fn refuse(&mut self, line: usize, message: &str) -> Option<Node> {
        let (path, message) = (self.name.to_string(), message.to_owned());
        self.errors.push(SyntaxError { path, line, message });
        None
    }
}

/// Returns the line number, from 1, of a byte offset.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// Joins the lines of a message.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
