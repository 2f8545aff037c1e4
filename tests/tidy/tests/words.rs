//! Statements about the repository that can be checked: the files, commands and links it names.

use porthole_tidy::{File, files, report, root};

/// Paths and hosts that nothing may name; put together here so that this file does not.
const NOWHERE_ELSE: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("registry.npmjs", ".org"),
    concat!("registry.yarnpkg", ".com"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("deb.debian", ".org"),
];

#[test]
fn no_file_names_a_place_on_one_machine_or_a_registry() {
    let mut complaints = Vec::new();
    for file in files().unwrap() {
        for (index, line) in file.text.lines().enumerate() {
            let named = NOWHERE_ELSE.iter().filter(|place| line.contains(**place));
            complaints.extend(named.map(|place| format!("{}:{} {place}", file.path, index + 1)));
        }
    }
    report("The repository works anywhere: no machine's paths, no registry's hosts.", &complaints);
}

fn document(path: &str) -> File {
    let text = std::fs::read_to_string(root().join(path)).unwrap_or_default();
    File { path: path.to_owned(), text }
}

/// Returns everything in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_scripts_that_the_readme_names_exist() {
    let readme = document("README.md");
    let scripts: Vec<&str> = readme
        .text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("./")?.split_whitespace().next())
        .collect();
    assert!(scripts.len() >= 2, "README.md names its two commands");
    let missing = scripts.iter().filter(|path| !root().join(path).is_file());
    let complaints: Vec<_> = missing.map(|path| format!("README.md names ./{path}")).collect();
    report("A command of the README exists.", &complaints);
}

#[test]
fn the_files_that_the_architecture_names_exist() {
    let mut complaints = Vec::new();
    let architecture = document("ARCHITECTURE.md");
    let names = quoted(&architecture.text)
        .filter(|name| name.contains('/') && !name.contains([' ', '{', '*', ':', '<', '$']))
        .filter(|name| !name.starts_with('/'));
    for name in names {
        if !root().join(name).exists() {
            complaints.push(format!("ARCHITECTURE.md names {name}"));
        }
    }
    report("A file or folder that ARCHITECTURE.md names exists.", &complaints);
}

#[test]
fn a_link_from_one_document_leads_to_another() {
    let mut complaints = Vec::new();
    for file in files().unwrap().iter().filter(|file| file.has_extension(&["md"])) {
        let folder = root().join(&file.path).parent().unwrap().to_owned();
        for link in file.text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if !link.is_empty() && !link.contains("://") && !folder.join(link).exists() {
                complaints.push(format!("{} links to {link}", file.path));
            }
        }
    }
    report("A relative link in a document leads somewhere.", &complaints);
}
