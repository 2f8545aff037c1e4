//! The merged tree into the documented structs. A serde deserializer of our own, because an error
//! has to know which file and line, variable or flag it is about, and which keys there are.

use super::tree::{ENV_PREFIX, ENV_SEPARATOR, Node, Origin, Tree, Value};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};
use std::{collections::btree_map, fmt, vec};

/// Why the configuration cannot be used; one sentence that says where.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    what: What,
    /// The keys from the root to the place, filled in on the way up.
    path: Vec<String>,
    origin: Option<Origin>,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    Unknown { key: String, known: &'static [&'static str] },
    Missing(&'static str),
    Bad(String),
}

impl Refused {
    /// The keys that would have been known in place of an unknown one.
    #[cfg(test)]
    pub(super) fn known(&self) -> Option<&'static [&'static str]> {
        match &self.what {
            What::Unknown { known, .. } => Some(known),
            What::Missing(_) | What::Bad(_) => None,
        }
    }

    /// Whether the command line is to blame, not a file or the environment.
    pub fn is_usage(&self) -> bool {
        matches!(self.origin, Some(Origin::Flag(_)))
    }

    fn below(mut self, key: &str, origin: &Origin) -> Self {
        self.path.insert(0, key.to_owned());
        self.origin.get_or_insert_with(|| origin.clone());
        self
    }

    /// A key as it is written where this one was: in a file, or in the environment.
    fn write_key(&self, f: &mut fmt::Formatter<'_>, key: Option<&str>) -> fmt::Result {
        let path = || self.path.iter().map(String::as_str).chain(key);
        if matches!(self.origin, Some(Origin::Env(_))) {
            let path: Vec<_> = path().map(str::to_ascii_uppercase).collect();
            return write!(f, "`{ENV_PREFIX}{}`", path.join(ENV_SEPARATOR));
        }
        write!(f, "`{}`", path().collect::<Vec<_>>().join("."))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A variable or a flag says by itself which key is meant.
        if let Some(origin @ Origin::File(..)) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        match (&self.what, &self.origin) {
            (What::Unknown { key, known }, _) => {
                f.write_str("unknown key ")?;
                self.write_key(f, Some(key))?;
                let Some(nearest) = nearest(key, known) else { return Ok(()) };
                f.write_str("; the nearest known key is ")?;
                self.write_key(f, Some(nearest))
            }
            (What::Missing(key), _) => {
                f.write_str("the key ")?;
                self.write_key(f, Some(key))?;
                f.write_str(" is missing")
            }
            (What::Bad(message), Some(origin @ (Origin::Env(_) | Origin::Flag(_)))) => {
                write!(f, "{origin}: {message}")
            }
            (What::Bad(message), _) => {
                self.write_key(f, None)?;
                write!(f, ": {message}")
            }
        }
    }
}

fn nearest(key: &str, known: &'static [&'static str]) -> Option<&'static str> {
    let likeness = |known: &str| strsim::jaro_winkler(key, known);
    known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}

impl std::error::Error for Refused {}

impl de::Error for Refused {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let what = What::Bad(message.to_string());
        Self { what, path: Vec::new(), origin: None }
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        let what = What::Unknown { key: key.to_owned(), known };
        Self { what, path: Vec::new(), origin: None }
    }

    fn missing_field(key: &'static str) -> Self {
        Self { what: What::Missing(key), path: Vec::new(), origin: None }
    }
}

impl Tree {
    /// Reads the whole.
    pub fn read<T: DeserializeOwned>(self) -> Result<T, Refused> {
        T::deserialize(de::value::MapAccessDeserializer::new(Table::new(self.root.into_iter())))
    }
}

/// The entries of a table, one after the other.
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
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Refused> {
        let Some((key, node)) = self.rest.next() else { return Ok(None) };
        let known = seed.deserialize(key.as_str().into_deserializer());
        let known = known
            .map_err(|refused: Refused| Refused { origin: Some(node.origin.clone()), ..refused })?;
        self.current = Some((key, node));
        Ok(Some(known))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refused> {
        let (key, node) =
            self.current.take().ok_or_else(|| de::Error::custom("a value without its key"))?;
        let origin = node.origin.clone();
        seed.deserialize(node).map_err(|refused| refused.below(&key, &origin))
    }
}

/// The items of a list, one after the other.
struct List(vec::IntoIter<Node>);

impl List {
    /// A list in one text, as the environment has it: parted by commas.
    fn split(origin: &Origin, text: &str) -> Self {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let node =
            |item: &str| Node { origin: origin.clone(), value: Value::Text(item.to_owned()) };
        Self(items.map(node).collect::<Vec<_>>().into_iter())
    }
}

impl<'de> SeqAccess<'de> for List {
    type Error = Refused;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Refused> {
        let Some(node) = self.0.next() else { return Ok(None) };
        let origin = node.origin.clone();
        let item = seed.deserialize(node).map_err(|mut refused| {
            refused.origin.get_or_insert(origin);
            refused
        });
        item.map(Some)
    }
}

/// Text is read as the type that its key wants.
macro_rules! from_text {
    ($($method:ident $visit:ident $type:ty;)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
                let Value::Text(text) = &self.value else { return self.deserialize_any(visitor) };
                match text.parse::<$type>() {
                    Ok(value) => visitor.$visit(value),
                    Err(_) => Err(de::Error::invalid_value(de::Unexpected::Str(text), &visitor)),
                }
            }
        )*
    };
}

impl<'de> Deserializer<'de> for Node {
    type Error = Refused;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self.value {
            Value::Text(text) | Value::String(text) => visitor.visit_string(text),
            Value::Integer(number) => visitor.visit_i64(number),
            Value::Float(number) => visitor.visit_f64(number),
            Value::Boolean(truth) => visitor.visit_bool(truth),
            Value::List(list) => visitor.visit_seq(List(list.into_iter())),
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

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        if let Value::Text(text) | Value::String(text) = &self.value {
            return visitor.visit_seq(List::split(&self.origin, text));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        if let Value::Text(text) | Value::String(text) = self.value {
            return visitor.visit_enum(text.into_deserializer());
        }
        Err(de::Error::custom("a word is needed here"))
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u128 f32 char str string bytes byte_buf unit unit_struct tuple
        tuple_struct map struct identifier ignored_any
    }
}
