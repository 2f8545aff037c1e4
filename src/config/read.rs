//! Deserializes the merged tree. The serde deserializer is our own because an error must name the
//! file and line, the variable or the flag, and the nearest known key.

use std::collections::btree_map;
use std::fmt;
use std::vec;

use serde::de;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};

use super::tree::{ENV_PREFIX, ENV_SEPARATOR, Node, Origin, Tree, Value};

/// An unknown or missing key, or an invalid value. Displayed as one sentence that names the place.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidSetting {
    problem: Problem,
    /// The keys from the root to the place; filled in from the innermost key outwards.
    path: Vec<String>,
    origin: Option<Origin>,
    /// The index of the item if the value is a list of which one item is invalid.
    item: Option<usize>,
}

#[derive(Debug, PartialEq, Eq)]
enum Problem {
    UnknownKey { key: String, known: &'static [&'static str] },
    MissingKey(&'static str),
    InvalidValue(String),
}

impl InvalidSetting {
    /// Returns the known keys of the table that has an unknown one.
    #[cfg(test)]
    pub(super) fn known_keys(&self) -> Option<&'static [&'static str]> {
        match &self.problem {
            Problem::UnknownKey { known, .. } => Some(known),
            Problem::MissingKey(_) | Problem::InvalidValue(_) => None,
        }
    }

    /// Returns the path of what has to go so that the rest can be read.
    pub(super) fn culprit(&self) -> Vec<String> {
        let last = match &self.problem {
            Problem::UnknownKey { key, .. } => Some(key.clone()),
            Problem::MissingKey(_) => None,
            Problem::InvalidValue(_) => self.item.map(|index| index.to_string()),
        };
        self.path.iter().cloned().chain(last).collect()
    }

    /// Returns the path of the key that is missing, if one is.
    pub(super) fn missing(&self) -> Option<Vec<String>> {
        match &self.problem {
            Problem::MissingKey(key) => Some(
                self.path.iter().map(String::as_str).chain([*key]).map(str::to_owned).collect(),
            ),
            Problem::UnknownKey { .. } | Problem::InvalidValue(_) => None,
        }
    }

    /// Returns the path of the key that was meant by an unknown one, if one is near.
    pub(super) fn meant(&self) -> Option<Vec<String>> {
        match &self.problem {
            Problem::UnknownKey { key, known } => {
                let meant = nearest(key, known)?.to_owned();
                Some(self.path.iter().cloned().chain([meant]).collect())
            }
            Problem::MissingKey(_) | Problem::InvalidValue(_) => None,
        }
    }

    /// Returns the place of the error, for sorting: the lines of the file come first.
    pub(super) fn place(&self) -> (u8, usize, Vec<String>) {
        match &self.origin {
            Some(Origin::File(_, line)) => (0, *line, self.culprit()),
            Some(Origin::Env(_)) => (1, 0, self.culprit()),
            Some(Origin::Flag(_)) => (2, 0, self.culprit()),
            None => (3, 0, self.culprit()),
        }
    }

    /// Returns true if the value is from the command line, not from a file or the environment.
    pub fn is_usage_error(&self) -> bool {
        matches!(self.origin, Some(Origin::Flag(_)))
    }

    /// Adds the next outer key to the path, and the origin unless a more precise one is known.
    fn with_parent(mut self, key: &str, origin: &Origin) -> Self {
        self.path.insert(0, key.to_owned());
        self.origin.get_or_insert_with(|| origin.clone());
        self
    }

    /// Writes a key as its origin spells it: as a variable, or as in a file.
    fn write_key(&self, f: &mut fmt::Formatter<'_>, key: Option<&str>) -> fmt::Result {
        let path = || self.path.iter().map(String::as_str).chain(key);
        if matches!(self.origin, Some(Origin::Env(_))) {
            let path: Vec<_> = path().map(str::to_ascii_uppercase).collect();
            return write!(f, "`{ENV_PREFIX}{}`", path.join(ENV_SEPARATOR));
        }
        write!(f, "`{}`", path().collect::<Vec<_>>().join("."))
    }
}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name of a variable or a flag tells the key.
        if let Some(origin @ Origin::File(..)) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        match (&self.problem, &self.origin) {
            (Problem::UnknownKey { key, known }, _) => {
                f.write_str("unknown key ")?;
                self.write_key(f, Some(key))?;
                let Some(nearest) = nearest(key, known) else { return Ok(()) };
                f.write_str("; the nearest known key is ")?;
                self.write_key(f, Some(nearest))
            }
            (Problem::MissingKey(key), _) => {
                f.write_str("the key ")?;
                self.write_key(f, Some(key))?;
                f.write_str(" is missing")
            }
            (Problem::InvalidValue(message), Some(origin @ (Origin::Env(_) | Origin::Flag(_)))) => {
                write!(f, "{origin}: {}", plain(message))
            }
            (Problem::InvalidValue(message), _) => {
                self.write_key(f, None)?;
                write!(f, ": {}", plain(message))
            }
        }
    }
}

/// Returns a message of a library in plain words, with the form that is right.
fn plain(message: &str) -> String {
    /// Ends of messages, and what they become.
    const ENDS: &[(&str, &str)] = &[
        ("expected u16", "expected a whole number from 0 to 65535"),
        ("expected u32", "expected a whole number from 0 to 4294967295"),
        ("expected a nonzero u32", "expected a whole number from 1 to 4294967295"),
        ("expected a boolean", "expected true or false"),
        ("expected path string", "expected a path in quotes"),
        ("expected a string", "expected text in quotes"),
        ("expected a sequence", "expected a list such as [\"a\", \"b\"]"),
        ("expected a map", "expected a table"),
        ("invalid socket address syntax", "expected an address and a port such as 127.0.0.1:8080"),
        ("invalid IP address syntax", "expected an address such as 203.0.113.7 or 2001:db8::7"),
        ("relative URL without a base", "expected a whole URL such as https://example.org"),
    ];
    let found = ENDS.iter().find_map(|(end, plain)| Some((message.strip_suffix(end)?, plain)));
    let Some((before, plain)) = found else { return message.to_owned() };
    format!("{before}{plain}")
}

/// Returns the known key that is most similar to an unknown one.
fn nearest(key: &str, known: &'static [&'static str]) -> Option<&'static str> {
    let similarity = |known: &str| strsim::jaro_winkler(key, known);
    known.iter().copied().max_by(|a, b| similarity(a).total_cmp(&similarity(b)))
}

/// Returns what kind of value was found.
fn kind(found: &de::Unexpected<'_>) -> &'static str {
    match found {
        de::Unexpected::Bool(_) => "true or false",
        de::Unexpected::Unsigned(_) | de::Unexpected::Signed(_) | de::Unexpected::Float(_) => {
            "a number"
        }
        de::Unexpected::Char(_) | de::Unexpected::Str(_) => "text",
        de::Unexpected::Seq => "a list",
        de::Unexpected::Map => "a table",
        de::Unexpected::Bytes(_)
        | de::Unexpected::Unit
        | de::Unexpected::Option
        | de::Unexpected::NewtypeStruct
        | de::Unexpected::Enum
        | de::Unexpected::UnitVariant
        | de::Unexpected::NewtypeVariant
        | de::Unexpected::TupleVariant
        | de::Unexpected::StructVariant
        | de::Unexpected::Other(_) => "something else",
    }
}

impl std::error::Error for InvalidSetting {}

impl de::Error for InvalidSetting {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let problem = Problem::InvalidValue(message.to_string());
        Self { problem, path: Vec::new(), origin: None, item: None }
    }

    /// Names the kind of the value only: it may be a secret without quotes, or at another place.
    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        de::Error::custom(format_args!("invalid type: {}, expected {expected}", kind(&found)))
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        let problem = Problem::UnknownKey { key: key.to_owned(), known };
        Self { problem, path: Vec::new(), origin: None, item: None }
    }

    fn missing_field(key: &'static str) -> Self {
        Self { problem: Problem::MissingKey(key), path: Vec::new(), origin: None, item: None }
    }
}

impl Tree {
    /// Deserializes the tree.
    ///
    /// # Errors
    ///
    /// Returns the first unknown key, missing key or invalid value.
    pub fn deserialize<T: DeserializeOwned>(self) -> Result<T, InvalidSetting> {
        T::deserialize(de::value::MapAccessDeserializer::new(Table::new(self.root.into_iter())))
    }
}

/// Iterates over the entries of a table.
struct Table {
    rest: btree_map::IntoIter<String, Node>,
    current: Option<(String, Node)>,
}

impl Table {
    fn new(rest: btree_map::IntoIter<String, Node>) -> Self {
        Self { rest, current: None }
    }
}

impl<'de> MapAccess<'de> for Table {
    type Error = InvalidSetting;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, InvalidSetting> {
        let Some((key, node)) = self.rest.next() else { return Ok(None) };
        let known = seed.deserialize(key.as_str().into_deserializer());
        let known = known.map_err(|mut error: InvalidSetting| {
            if let Problem::InvalidValue(_) = &error.problem {
                error.path.insert(0, key.clone());
            }
            InvalidSetting { origin: Some(node.origin.clone()), ..error }
        })?;
        self.current = Some((key, node));
        Ok(Some(known))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, InvalidSetting> {
        let (key, node) =
            self.current.take().ok_or_else(|| de::Error::custom("a value without a key"))?;
        let origin = node.origin.clone();
        seed.deserialize(node).map_err(|error| error.with_parent(&key, &origin))
    }
}

/// Iterates over the items of a list.
struct List {
    rest: vec::IntoIter<Node>,
    index: usize,
}

impl List {
    /// Splits a comma-separated list, as in the environment.
    fn split(origin: &Origin, text: &str) -> Self {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let node =
            |item: &str| Node { origin: origin.clone(), value: Value::Untyped(item.to_owned()) };
        Self::new(items.map(node).collect())
    }

    fn new(items: Vec<Node>) -> Self {
        Self { rest: items.into_iter(), index: 0 }
    }
}

impl<'de> SeqAccess<'de> for List {
    type Error = InvalidSetting;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, InvalidSetting> {
        let Some(node) = self.rest.next() else { return Ok(None) };
        let (origin, index) = (node.origin.clone(), self.index);
        self.index += 1;
        let item = seed.deserialize(node).map_err(|mut error: InvalidSetting| {
            error.origin.get_or_insert(origin);
            error.item = Some(index);
            error
        });
        item.map(Some)
    }
}

/// Parses untyped text as the type that its key has.
macro_rules! from_text {
    ($($method:ident $visit:ident $type:ty;)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidSetting> {
                let Value::Untyped(text) = &self.value else {
                    return self.deserialize_any(visitor);
                };
                match text.parse::<$type>() {
                    Ok(value) => visitor.$visit(value),
                    Err(_) => Err(de::Error::invalid_value(de::Unexpected::Str(text), &visitor)),
                }
            }
        )*
    };
}

impl<'de> Deserializer<'de> for Node {
    type Error = InvalidSetting;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidSetting> {
        match self.value {
            Value::Untyped(text) | Value::String(text) => visitor.visit_string(text),
            Value::Integer(number) => visitor.visit_i64(number),
            Value::Float(number) => visitor.visit_f64(number),
            Value::Boolean(truth) => visitor.visit_bool(truth),
            Value::List(list) => visitor.visit_seq(List::new(list)),
            Value::Table(table) => visitor.visit_map(Table::new(table.into_iter())),
        }
    }

    from_text! {
        deserialize_bool visit_bool bool;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
        deserialize_f64 visit_f64 f64;
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidSetting> {
        if let Value::Untyped(text) | Value::String(text) = &self.value {
            return visitor.visit_seq(List::split(&self.origin, text));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidSetting> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, InvalidSetting> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, InvalidSetting> {
        if let Value::Untyped(text) | Value::String(text) = self.value {
            return visitor.visit_enum(text.into_deserializer());
        }
        Err(de::Error::custom("expected a string"))
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u128 f32 char str string bytes byte_buf unit unit_struct tuple
        tuple_struct map struct identifier ignored_any
    }
}
