//! The values of flags, written into a configuration file as a person would do it.

use std::path::{Path, PathBuf};

use toml::{Table, Value as Toml};

use super::shown::written;
use super::tree::{Node, Value};
use super::{Config, Error, Tree};

/// The keys of flags whose values may be secrets.
const SECRET_KEYS: [&str; 2] = ["claim", "source"];

/// The reason why flags cannot be written into a file.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Config(#[from] Error),
    #[error(
        "{} is written in a way that this command does not change by itself: put these settings \
         there, then leave the flags out: {settings}",
        path.display()
    )]
    ByHand { path: PathBuf, settings: String },
}

/// A value of a flag, with its key as the file has it.
struct Setting {
    /// The name of the table; empty for a key outside of one.
    table: String,
    key: String,
    value: String,
}

impl Setting {
    /// Returns it for a message, without a value that may be a secret.
    fn shown(&self) -> String {
        let Self { table, key, value } = self;
        let value = if SECRET_KEYS.contains(&key.as_str()) { "…" } else { value };
        if table.is_empty() {
            format!("{key} = {value}")
        } else {
            format!("{table}.{key} = {value}")
        }
    }
}

/// Returns the configuration of a file with this text and these flags, without the environment.
///
/// # Errors
///
/// Fails if the text is not TOML, or a key is unknown or a value invalid.
pub fn of_text(path: &Path, text: &str, flags: impl Fn(&mut Tree)) -> Result<Config, Error> {
    let mut tree = Tree::default();
    if let Some(error) = tree.add_file(path, text).into_iter().next() {
        return Err(error.into());
    }
    flags(&mut tree);
    Ok(tree.deserialize()?)
}

/// Returns the text with the values of the flags in it: in the line of the key, also if that is
/// commented out, else in a new one. All other lines stay.
///
/// # Errors
///
/// Fails as [`of_text`] does, and if the result would not mean what text and flags mean together.
pub fn with_flags(
    path: &Path,
    text: &str,
    flags: impl Fn(&mut Tree),
) -> Result<String, WriteError> {
    let wanted = of_text(path, text, &flags)?;
    let settings = settings(&wanted, flags);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for setting in &settings {
        put(&mut lines, setting);
    }
    let written = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    if of_text(path, &written, |_| {}).is_ok_and(|found| found == wanted) {
        return Ok(written);
    }
    let settings: Vec<_> = settings.iter().map(Setting::shown).collect();
    Err(WriteError::ByHand { path: path.to_owned(), settings: settings.join("; ") })
}

fn settings(config: &Config, flags: impl Fn(&mut Tree)) -> Vec<Setting> {
    let mut tree = Tree::default();
    flags(&mut tree);
    // It has no secrets, but it knows which values are numbers.
    let typed = Table::try_from(config).unwrap_or_default();
    let mut settings = Vec::new();
    for (key, node) in &tree.root {
        collect(&mut vec![key], node, typed.get(key), &mut settings);
    }
    settings
}

fn collect<'a>(
    path: &mut Vec<&'a str>,
    node: &'a Node,
    typed: Option<&Toml>,
    settings: &mut Vec<Setting>,
) {
    let value = match &node.value {
        Value::Table(inner) => {
            for (key, node) in inner {
                path.push(key);
                collect(path, node, typed.and_then(|table| table.get(key)), settings);
                path.pop();
            }
            return;
        }
        Value::Untyped(text) if matches!(typed, Some(Toml::Integer(_) | Toml::Boolean(_))) => {
            text.clone()
        }
        Value::Untyped(text) | Value::String(text) => Toml::from(text.as_str()).to_string(),
        Value::List(list) => {
            let texts = list.iter().filter_map(|node| match &node.value {
                Value::Untyped(text) | Value::String(text) => Some(Toml::from(text.as_str())),
                Value::Integer(_)
                | Value::Float(_)
                | Value::Boolean(_)
                | Value::List(_)
                | Value::Table(_) => None,
            });
            Toml::Array(texts.collect()).to_string()
        }
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
    };
    let Some((key, above)) = path.split_last() else { return };
    let table: Vec<_> = above.iter().map(|key| written(key)).collect();
    settings.push(Setting { table: table.join("."), key: written(key), value });
}

/// Puts a setting into the lines of its table.
fn put(lines: &mut Vec<String>, Setting { table, key, value }: &Setting) {
    let line = format!("{key} = {value}");
    let header = format!("[{table}]");
    let begin = match lines.iter().position(|line| line.trim() == header) {
        _ if table.is_empty() => 0,
        Some(at) => at + 1,
        None => return lines.extend([String::new(), header, line]),
    };
    let own = lines.get(begin..).unwrap_or_default();
    let own: Vec<_> = own.iter().take_while(|line| !is_header(line)).collect();
    let find = |mark: &str| {
        let is_here = |line: &&String| {
            let rest = line.trim_start().strip_prefix(mark);
            let rest = rest.and_then(|rest| rest.strip_prefix(key.as_str()));
            rest.is_some_and(|rest| rest.trim_start().starts_with('='))
        };
        own.iter().position(is_here)
    };
    match find("").or_else(|| find("#")).and_then(|at| lines.get_mut(begin + at)) {
        Some(there) => *there = line,
        None => lines.insert(begin, line),
    }
}

/// Returns true for the first line of a table, also of one that is commented out.
fn is_header(line: &str) -> bool {
    line.trim_start().trim_start_matches('#').starts_with('[')
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    const EXAMPLE: &str = include_str!("../../deploy/porthole.example.toml");

    fn write(text: &str, command: &str) -> anyhow::Result<String> {
        let cli = Cli::try_parse_from(command.split(' '))?;
        Ok(with_flags(Path::new("porthole.toml"), text, |tree| cli.configure(tree))?)
    }

    /// Returns the lines of `new` that `old` lacks, and how many lines of `old` have gone.
    fn changes<'a>(old: &str, new: &'a str) -> (Vec<&'a str>, usize) {
        let added: Vec<_> = new.lines().filter(|line| !old.lines().any(|it| it == *line)).collect();
        let gone = old.lines().filter(|line| !new.lines().any(|it| it == *line)).count();
        (added, gone)
    }

    #[test]
    fn flags_come_into_the_lines_of_their_keys_and_nothing_else_changes() {
        let listen = "listen = [\"0.0.0.0:443\", \"[::]:443\"]";
        for (command, added) in [
            ("porthole up", &[][..]),
            ("porthole up --public", &[listen]),
            ("porthole up --public a.example", &[listen, "names = [\"a.example\"]"]),
            (
                "porthole up --http 192.168.1.7:80 --workers 2 --relay-ports 5000-5100",
                &["http = \"192.168.1.7:80\"", "relay_ports = \"5000-5100\"", "workers = 2"],
            ),
            (
                "porthole gateway --server https://a.example --claim CODE --turn-only",
                &["server = \"https://a.example/\"", "claim = \"CODE\"", "turn_only = true"],
            ),
        ] {
            let text = write(EXAMPLE, command).unwrap();
            let (found, gone) = changes(EXAMPLE, &text);
            assert_eq!(found, added, "{command}");
            assert_eq!(gone, added.len(), "each takes the place of one line: {command}");
            assert_eq!(write(&text, command).unwrap(), text, "a second time: {command}");
        }
    }

    #[test]
    fn keys_that_have_no_line_get_one_in_their_table() {
        for (text, command, expected) in [
            ("", "porthole up --public", "\n[public]\nlisten = [\"0.0.0.0:443\", \"[::]:443\"]\n"),
            (
                "data = '/d'\n[turn]\nworkers = 1",
                "porthole up --public-address 203.0.113.7 --workers 3",
                "public_address = \"203.0.113.7\"\ndata = '/d'\n[turn]\nworkers = 3\n",
            ),
            (
                "[camera.door]\nsource = 'test:'\n",
                "porthole gateway --camera yard=rtsp://anna:s3@10.0.0.2/",
                "[camera.door]\nsource = 'test:'\n\n[camera.yard]\n\
                 source = \"rtsp://anna:s3@10.0.0.2/\"\n",
            ),
            // A key of another table is left alone.
            (
                "[gateway]\n#[signaling]\n#server = 'x'\n[admin]\n",
                "porthole gateway --server https://a.example",
                "[gateway]\nserver = \"https://a.example/\"\n\
                 #[signaling]\n#server = 'x'\n[admin]\n",
            ),
        ] {
            assert_eq!(write(text, command).unwrap(), expected);
        }
    }

    #[test]
    fn a_file_that_would_mean_something_else_is_not_changed() {
        for text in [
            "public.listen = ['127.0.0.1:1']\n",
            "public = { listen = [] }\n",
            "[public] # mine\nlisten = []\n",
            "[public]\nlisten = [\n  '127.0.0.1:1',\n]\n",
        ] {
            let error = write(text, "porthole up --public").unwrap_err().to_string();
            assert!(error.contains("put these settings there"), "{text}: {error}");
            assert!(error.ends_with("public.listen = [\"0.0.0.0:443\", \"[::]:443\"]"), "{error}");
        }
        let text = "gateway.claim = 'old'\n";
        let error = write(text, "porthole gateway --claim GEHEIM").unwrap_err().to_string();
        assert!(!error.contains("GEHEIM"), "{error}");
        let error = write("nonsense", "porthole up --public").unwrap_err().to_string();
        assert!(error.starts_with("porthole.toml:1:"), "{error}");
    }
}
