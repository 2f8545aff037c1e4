//! Small: a function fits a screen, a file is one idea.

use porthole_tidy::{File, files, report};

const MAX_COLUMNS: usize = 100;
const MAX_FUNCTION_LINES: usize = 70;
const MAX_FILE_LINES: usize = 600;
const MAX_COMPONENT_LINES: usize = 150;

/// Files that may be longer, with the reason.
const LONGER_FILES: &[(&str, &str)] = &[];

/// Files whose lines may be longer, with the reason.
const LONGER_LINES: &[(&str, &str)] =
    &[("web/src/components/Icon.svelte", "the outlines of the icons are one word each")];

/// Functions that may be longer, with the reason.
const LONGER_FUNCTIONS: &[(&str, &str)] = &[];

/// Tables of cases are as long as there are cases.
fn is_unit_test(file: &File) -> bool {
    file.path.ends_with("/tests.rs")
        || !file.path.starts_with("tests/") && file.path.contains("/tests/")
}

#[test]
fn a_line_has_at_most_100_columns() {
    let mut complaints = Vec::new();
    for file in files().unwrap() {
        let code = file.has_extension(&["rs", "ts", "mjs", "js", "svelte", "css", "sh"]);
        let excepted = LONGER_LINES.iter().any(|(path, _)| *path == file.path);
        if !code || file.is_generated() || excepted {
            continue;
        }
        // A table in a comment cannot be broken.
        let is_table =
            |line: &str| line.trim_start().trim_start_matches(['/', '!']).starts_with(" |");
        let lines = file.text.lines().enumerate();
        let long = lines.filter(|(_, line)| line.chars().count() > MAX_COLUMNS && !is_table(line));
        complaints.extend(long.map(|(index, _)| format!("{}:{}", file.path, index + 1)));
    }
    report("A line is at most 100 columns wide.", &complaints);
}

#[test]
fn a_file_is_one_idea() {
    let mut complaints = Vec::new();
    for file in files().unwrap() {
        let code = file.has_extension(&["rs", "ts", "mjs", "js"]);
        let excepted = LONGER_FILES.iter().any(|(path, _)| *path == file.path);
        if !code || file.is_generated() || excepted || is_unit_test(&file) {
            continue;
        }
        let lines = file.lines_without_tests().count();
        if lines > MAX_FILE_LINES {
            complaints.push(format!("{} has {lines} lines", file.path));
        }
    }
    report("A file has at most 600 lines, its tests not counted.", &complaints);
}

#[test]
fn a_function_fits_a_screen() {
    let mut complaints = Vec::new();
    for file in files().unwrap() {
        if !file.has_extension(&["rs"]) || is_unit_test(&file) {
            continue;
        }
        for (number, name, lines) in functions(&file) {
            let place = format!("{}:{name}", file.path);
            let excepted = LONGER_FUNCTIONS.iter().any(|(function, _)| *function == place);
            if lines > MAX_FUNCTION_LINES && !excepted {
                complaints.push(format!("{}:{number} {name} has {lines} lines", file.path));
            }
        }
    }
    report("A function has at most 70 lines.", &complaints);
}

/// Each function of a file that rustfmt has formatted: where it starts, its name and its length.
fn functions(file: &File) -> Vec<(usize, String, usize)> {
    let mut found = Vec::new();
    let lines: Vec<_> = file.lines_without_tests().collect();
    for (index, (number, line)) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let end = format!("{}}}", " ".repeat(indent));
        let is_end = |(_, line): &&(usize, &str)| **line == end || line.ends_with(';');
        // One that is a single line, or a declaration, ends where it starts.
        if line.ends_with('}') || line.ends_with(';') {
            continue;
        }
        let rest = lines.iter().skip(index + 1);
        let body = rest.take_while(|line| !(is_end(line) && line.1.starts_with(&end)));
        found.push((*number, name.to_owned(), body.count() + 2));
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let mut words = line.trim_start();
    for prefix in ["pub ", "pub(crate) ", "pub(super) ", "const ", "async ", "unsafe "] {
        words = words.strip_prefix(prefix).unwrap_or(words);
    }
    words.strip_prefix("fn ")?.split(['(', '<']).next()
}

#[test]
fn a_component_is_small_and_typed() {
    let mut complaints = Vec::new();
    for file in files().unwrap().iter().filter(|file| file.path.starts_with("web/src/")) {
        let lines = file.text.lines().count();
        if file.has_extension(&["svelte"]) && lines > MAX_COMPONENT_LINES {
            complaints.push(format!("{} has {lines} lines, more than 150", file.path));
        }
        if !file.has_extension(&["svelte", "ts"]) {
            continue;
        }
        for (number, line) in file.code() {
            let is_typed = |before: &str| {
                let mut after = line.split(before).skip(1);
                after.any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-'))
            };
            if [": any", "as any", "<any", "any[]"].iter().any(|any| is_typed(any)) {
                complaints.push(format!("{}:{number} says `any`", file.path));
            }
        }
    }
    report(
        "A Svelte component has at most 150 lines, and nothing has the type `any`.",
        &complaints,
    );
}

#[test]
fn a_function_is_measured_from_its_name_to_its_brace() {
    let text = "fn a() {\n    let x = {\n    };\n}\n\n\
                impl B {\n    pub async fn c<T>(\n    ) {\n    }\n}\n";
    let file = File { path: "x.rs".into(), text: text.into() };
    assert_eq!(functions(&file), [(1, "a".to_owned(), 4), (7, "c".to_owned(), 3)]);
}
