//! One import style: what rustfmt's `StdExternalCrate` and `Module` would do, if they were stable.

use porthole_tidy::{File, files, report};

#[test]
fn imports_stand_in_three_groups_one_line_a_module() {
    let mut complaints = Vec::new();
    for file in files().unwrap().iter().filter(|file| file.has_extension(&["rs"])) {
        complaints
            .extend(mistakes(file).map(|(line, what)| format!("{}:{line} {what}", file.path)));
    }
    report(
        "Imports come in three groups (std, other crates, this crate), parted by an empty line, \
         and name one module each.",
        &complaints,
    );
}

#[test]
fn a_mistake_is_found() {
    for (text, expected) in [
        ("use std::io;\n\nuse bytes::Bytes;\n\nuse crate::a;\n", None),
        ("mod a;\n\nuse std::io;\n\nuse a::b;\n\npub use a::c;\n", None),
        ("use std::{io, collections::{BTreeMap, HashMap}};\n", Some((1, NESTED))),
        ("use std::{\n    io,\n    net::{IpAddr},\n};\n", Some((1, NESTED))),
        ("use crate::a;\n\nuse std::io;\n", Some((3, ORDER))),
        ("use std::io;\nuse bytes::Bytes;\n", Some((2, PARTED))),
        ("use std::io;\n\nuse std::fmt;\n", Some((3, SCATTERED))),
    ] {
        let file = File { path: "x.rs".into(), text: text.into() };
        assert_eq!(mistakes(&file).next(), expected, "{text}");
    }
}

const NESTED: &str = "nests braces";
const ORDER: &str = "comes too late: std, then other crates, then this crate";
const PARTED: &str = "begins a group without an empty line before it";
const SCATTERED: &str = "continues the group above the empty line";

/// An import at the beginning of a line.
struct Import {
    line: usize,
    /// Its place in the order of groups.
    group: usize,
    nested: bool,
    /// An empty line stands before it.
    parted: bool,
    /// Another import stands before it, with nothing but empty lines in between.
    follows: bool,
}

fn mistakes(file: &File) -> impl Iterator<Item = (usize, &'static str)> {
    let imports = imports(file);
    let mut found = Vec::new();
    for (index, import) in imports.iter().enumerate() {
        if import.nested {
            found.push((import.line, NESTED));
        }
        let before = index.checked_sub(1).and_then(|before| imports.get(before));
        let Some(before) = before.filter(|_| import.follows) else { continue };
        if import.group < before.group {
            found.push((import.line, ORDER));
        } else if import.group > before.group && !import.parted {
            found.push((import.line, PARTED));
        } else if import.group == before.group && import.parted {
            found.push((import.line, SCATTERED));
        }
    }
    found.into_iter()
}

fn imports(file: &File) -> Vec<Import> {
    let modules: Vec<&str> = file.text.lines().filter_map(module).collect();
    let mut found: Vec<Import> = Vec::new();
    let (mut parted, mut follows) = (false, false);
    let mut lines = file.text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let Some(path) = imported(line) else {
            parted |= line.is_empty();
            // An attribute or a comment belongs to what comes next.
            follows &= line.is_empty() || line.starts_with("#[") || line.starts_with("//");
            continue;
        };
        let mut statement = line.to_owned();
        while !statement.ends_with(';') {
            let Some((_, more)) = lines.next() else { break };
            statement.push_str(more);
        }
        let root = path.split("::").next().unwrap_or_default().trim_end_matches(';');
        let group = match root {
            _ if !line.starts_with("use ") => 3,
            "std" | "core" | "alloc" => 0,
            "crate" | "self" | "super" => 2,
            local if modules.contains(&local) => 2,
            _ => 1,
        };
        let nested = statement.matches('{').count() > 1;
        found.push(Import { line: index + 1, group, nested, parted, follows });
        (parted, follows) = (false, true);
    }
    found
}

/// Returns what an import at the beginning of a line names.
fn imported(line: &str) -> Option<&str> {
    let line = match line.strip_prefix("pub") {
        Some(rest) => rest.split_once("use ").map(|(before, rest)| (before.trim(), rest)),
        None => line.strip_prefix("use ").map(|rest| ("", rest)),
    };
    let (visibility, path) = line?;
    (visibility.is_empty() || visibility.starts_with('(') && visibility.ends_with(')'))
        .then_some(path)
}

fn module(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let rest = line.strip_prefix("pub").map_or(line, |rest| {
        rest.trim_start().split_once(") ").map_or(rest.trim_start(), |(_, rest)| rest)
    });
    rest.strip_prefix("mod ")?.split([';', ' ']).next()
}
