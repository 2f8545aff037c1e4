//! The effective configuration, each value with the place that it came from.

use std::fmt::Write as _;

use toml::{Table, Value};

use super::{Config, Origins};

/// Returns the configuration as TOML without secrets. Behind each value stands where it came from.
pub fn shown(config: &Config, origins: &Origins) -> anyhow::Result<String> {
    let mut out = String::new();
    write_table(&Table::try_from(config)?, &mut Vec::new(), origins, &mut out);
    Ok(out)
}

fn write_table(table: &Table, path: &mut Vec<String>, origins: &Origins, out: &mut String) {
    let is_table = |value: &Value| matches!(value, Value::Table(_));
    let (tables, values): (Vec<_>, Vec<_>) = table.iter().partition(|(_, value)| is_table(value));
    if !path.is_empty() && (!values.is_empty() || tables.is_empty()) {
        let keys: Vec<_> = path.iter().map(|key| written(key)).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "\n[{}]", keys.join("."));
    }
    for (key, value) in values {
        path.push(key.clone());
        let origin = origins.of(path).map_or_else(|| "default".to_owned(), ToString::to_string);
        let _ = writeln!(out, "{} = {value} # {origin}", written(key));
        path.pop();
    }
    for (key, value) in tables {
        let Value::Table(inner) = value else { continue };
        path.push(key.clone());
        write_table(inner, path, origins, out);
        path.pop();
    }
}

/// Writes a key as TOML has it.
pub(super) fn written(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match !key.is_empty() && key.chars().all(is_bare) {
        true => key.to_owned(),
        false => Value::from(key).to_string(),
    }
}
