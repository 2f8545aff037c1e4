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
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}:{line}: {message}")]
pub struct SyntaxError {
    path: String,
    line: usize,
    message: String,
}

impl Tree {
    /// Adds the configuration file, replacing everything added before.
    pub fn add_file(&mut self, path: &Path, text: &str) -> Result<(), SyntaxError> {
        let name = path.display().to_string();
        let table = DeTable::parse(text).map_err(|error| SyntaxError {
            path: name.clone(),
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            message: one_line(error.message()),
        })?;
        let file = SourceFile { name: name.into(), text };
        self.root = file.table(table.get_ref())?;
        Ok(())
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

/// The text of a configuration file, with its name for [`Origin`].
struct SourceFile<'a> {
    name: Arc<str>,
    text: &'a str,
}

impl SourceFile<'_> {
    fn table(&self, table: &DeTable<'_>) -> Result<BTreeMap<String, Node>, SyntaxError> {
        let node = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
            let key: &toml::Spanned<std::borrow::Cow<'_, str>> = key;
            let line = line_of(self.text, key.span().start);
            Ok((key.get_ref().to_string(), self.node(value.get_ref(), line)?))
        };
        table.iter().map(node).collect()
    }

    fn node(&self, value: &DeValue<'_>, line: usize) -> Result<Node, SyntaxError> {
        let value = match value {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Integer(number) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix());
                Value::Integer(parsed.map_err(|_| self.error_at(line, "the number is too large"))?)
            }
            DeValue::Float(number) => {
                let parsed = number.as_str().parse();
                Value::Float(parsed.map_err(|_| self.error_at(line, "this is not a number"))?)
            }
            DeValue::Boolean(truth) => Value::Boolean(*truth),
            DeValue::Datetime(time) => Value::String(time.to_string()),
            DeValue::Array(list) => {
                let node = |item: &toml::Spanned<DeValue<'_>>| {
                    self.node(item.get_ref(), line_of(self.text, item.span().start))
                };
                Value::List(list.iter().map(node).collect::<Result<_, _>>()?)
            }
            DeValue::Table(table) => Value::Table(self.table(table)?),
        };
        Ok(Node { origin: Origin::File(self.name.clone(), line), value })
    }

    fn error_at(&self, line: usize, message: &str) -> SyntaxError {
        SyntaxError { path: self.name.to_string(), line, message: message.to_owned() }
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
