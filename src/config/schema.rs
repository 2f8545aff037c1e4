//! The JSON Schema of the configuration file (draft 2020-12), made from its structs.

use schemars::Schema;
use schemars::generate::SchemaSettings;

use super::Config;

/// Returns the schema. Text with a form of its own, such as addresses, is text in it.
pub fn schema() -> Schema {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Config>();
    schema.insert("title".to_owned(), "Porthole's configuration".into());
    schema
}

#[cfg(test)]
mod tests;
