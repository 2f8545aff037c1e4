use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::*;

/// Keywords that say nothing about what is valid here. `format` is a remark in draft 2020-12.
const REMARKS: [&str; 6] = ["$schema", "$defs", "title", "description", "default", "format"];

/// Returns what is wrong with a value by a schema of the root. A keyword that is not known here is
/// an error, so that nothing passes because of it.
fn errors(root: &Value, schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let Some(schema) = schema.as_object() else {
        return if schema == &Value::Bool(true) { vec![] } else { vec![format!("{path}: never")] };
    };
    let check = |(keyword, of): (&String, &Value)| match keyword.as_str() {
        "$ref" => {
            let pointer = of.as_str().unwrap().trim_start_matches('#');
            errors(root, root.pointer(pointer).unwrap(), value, path)
        }
        "type" => type_error(of, value, path),
        "enum" if of.as_array().unwrap().contains(value) => vec![],
        "const" if of == value => vec![],
        "minimum" if value.as_f64().is_none_or(|it| it >= of.as_f64().unwrap()) => vec![],
        "maximum" if value.as_f64().is_none_or(|it| it <= of.as_f64().unwrap()) => vec![],
        "enum" | "const" | "minimum" | "maximum" => vec![format!("{path}: {keyword}")],
        "anyOf" | "oneOf" => {
            let mut all = of.as_array().unwrap().iter();
            let fits = all.any(|one| errors(root, one, value, path).is_empty());
            if fits { vec![] } else { vec![format!("{path}: {keyword}")] }
        }
        "items" => {
            let items = value.as_array().into_iter().flatten();
            items.flat_map(|item| errors(root, of, item, &format!("{path}[]"))).collect()
        }
        "required" => {
            let has = |key: &&Value| value.get(key.as_str().unwrap()).is_some();
            let lacking = of.as_array().unwrap().iter().filter(|key| !has(key));
            lacking.map(|key| format!("{path}: lacks {key}")).collect()
        }
        "properties" => {
            let known = of.as_object().unwrap();
            let of_known = |(key, schema): (&String, &Value)| {
                let value = value.get(key)?;
                Some(errors(root, schema, value, &format!("{path}.{key}")))
            };
            known.iter().filter_map(of_known).flatten().collect()
        }
        "additionalProperties" => {
            let known = schema.get("properties").and_then(Value::as_object);
            let is_other = |key: &str| !known.is_some_and(|known| known.contains_key(key));
            let others = value.as_object().into_iter().flatten().filter(|(key, _)| is_other(key));
            let errors =
                |(key, value): (&String, &Value)| errors(root, of, value, &format!("{path}.{key}"));
            others.flat_map(errors).collect()
        }
        remark if REMARKS.contains(&remark) => vec![],
        _ => vec![format!("{path}: the keyword {keyword} is not known to this test")],
    };
    schema.iter().flat_map(check).collect()
}

fn type_error(of: &Value, value: &Value, path: &str) -> Vec<String> {
    let name = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_one = of == name || of.as_array().is_some_and(|all| all.contains(&name.into()));
    if is_one { vec![] } else { vec![format!("{path}: {name} instead of {of}")] }
}

fn errors_of(toml: &str) -> Vec<String> {
    let root = serde_json::to_value(schema()).unwrap();
    let value: toml::Table = toml::from_str(toml).unwrap();
    errors(&root, &root, &serde_json::to_value(value).unwrap(), "")
}

#[test]
fn the_example_file_passes_with_and_without_what_is_commented_out() {
    let example = include_str!("../../../deploy/porthole.example.toml");
    let live: Vec<&str> = example
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .collect();
    for text in [example.to_owned(), live.join("\n"), String::new()] {
        assert_eq!(errors_of(&text), [""; 0]);
    }
}

#[test]
fn what_the_program_refuses_by_its_form_the_schema_refuses() {
    for (text, error) in [
        ("[turn]\nrelm = 'a'", ".turn.relm: never"),
        ("[sigaling]", ".sigaling: never"),
        ("[turn]\nworkers = 256", ".turn.workers: maximum"),
        ("[turn]\nlowest_peer_port = 0", ".turn.lowest_peer_port: minimum"),
        ("[turn]\nmobility = 'yes'", ".turn.mobility: string instead of \"boolean\""),
        ("[gateway]\nudp_port = 65536", ".gateway.udp_port: maximum"),
        ("log_format = 'xml'", ".log_format: oneOf"),
        ("[camera.door]\nname = 'Door'", ".camera.door: lacks \"source\""),
        ("[camera.door]\nsource = 'test:'\nrotation = 45", ".camera.door.rotation: enum"),
        ("[camera.door]\nsource = 'test:'\nsorce = 'a'", ".camera.door.sorce: never"),
        (
            "[signaling.turn_server.a]\nurls = ['turn:a']\nweight = 0",
            ".signaling.turn_server.a.weight: minimum",
        ),
        (
            "[signaling.openid_connect]\nissuer = 'a'\nclient_id = 'b'\njoin = 'owner'",
            ".signaling.openid_connect: anyOf",
        ),
    ] {
        assert_eq!(errors_of(text), [error], "{text}");
    }
}

/// Returns the keys in a schema, with `ID` for the id of a camera and `NAME` for that of a server.
fn keys(root: &Value, schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    let pointer = |schema: &Map<String, Value>| {
        let reference = schema.get("$ref")?.as_str()?.trim_start_matches('#').to_owned();
        root.pointer(&reference).cloned()
    };
    let Some(object) = schema.as_object() else { return };
    if let Some(target) = pointer(object) {
        return keys(root, &target, path, found);
    }
    for one in object.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
        keys(root, one, path, found);
    }
    for (key, schema) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        assert!(schema.get("description").is_some(), "{path} is not described");
        found.insert(path.clone());
        keys(root, schema, &path, found);
        for (table, entry) in
            [("camera", "camera.ID"), ("signaling.turn_server", "signaling.turn_server.NAME")]
        {
            if path == table {
                keys(root, &schema["additionalProperties"], entry, found);
            }
        }
    }
}

#[test]
fn the_schema_has_every_key_with_a_description() {
    let root = serde_json::to_value(schema()).unwrap();
    assert_eq!(root["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let mut found = BTreeSet::new();
    keys(&root, &root, "", &mut found);
    let known = crate::config::tests::known_keys();
    let lacking: Vec<_> = known.iter().filter(|key| !found.contains(*key)).collect();
    assert!(lacking.is_empty(), "{lacking:?} of {found:?}");
}
