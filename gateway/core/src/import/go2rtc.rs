//! Files of go2rtc: the section `streams`, with one or more sources for each name.

use std::collections::BTreeSet;

use super::note::Note;
use super::source::{Found, Place as FoundPlace, Variables};
use super::streams::{Streams, source_lines};
use super::yaml::Node;
use super::{Entry, MAX_ENTRIES, Place};

/// Ends of the names of second streams, as people and guides give them.
const SUB: &[&str] = &[
    "_sub",
    "-sub",
    " sub",
    ".sub",
    "_substream",
    "-substream",
    "_sd",
    "-sd",
    "_low",
    "-low",
    "_lq",
    "-lq",
];

/// Ends of the names of main streams, if they are not just the name of the camera.
const MAIN: &[&str] = &["_main", "-main", " main", "_hd", "-hd", "_high", "-high", "_hq", "-hq"];

/// Returns the cameras of a file, and the number of those that are left out.
pub(super) fn read(root: &Node) -> (Vec<Entry>, usize) {
    let section = root.get("streams");
    let mut streams = Streams::new(port(root), Variables::default());
    streams.add_section(section);
    let pairs: Vec<_> = section.and_then(Node::map).into_iter().flatten().collect();
    let mut names = BTreeSet::new();
    let entry = |(name, node): &(&str, &Node)| {
        let mut entry = Entry::new(name, streams.first(&source_lines(node)));
        if !names.insert(name.to_string()) {
            entry.notes.push(Note::Twice(node.line));
        }
        entry
    };
    let entries = pairs.iter().take(MAX_ENTRIES).map(entry).collect();
    (paired(entries), pairs.len().saturating_sub(MAX_ENTRIES))
}

/// Returns the port of the RTSP server that a file sets up.
pub(super) fn port(root: &Node) -> Option<u16> {
    root.get("rtsp")?.text_of("listen")?.rsplit(':').next()?.parse().ok()
}

/// Makes one camera of a main and a second stream that are named alike.
fn paired(mut entries: Vec<Entry>) -> Vec<Entry> {
    for index in (0..entries.len()).rev() {
        let Some(entry) = entries.get(index) else { continue };
        let Some(stem) = stem(&entry.name, SUB).map(str::to_owned) else { continue };
        let Some(found) = found(entry) else { continue };
        let main = entries.iter_mut().find(|other| is_main(&other.name, &stem));
        let Some(main) = main.filter(|main| has_room(main)) else { continue };
        if main.add_sub(&found) {
            main.name = stem;
            entries.remove(index);
        }
    }
    entries
}

fn has_room(main: &Entry) -> bool {
    matches!(main.place, Some(Place::Streams { sub: None, .. }))
}

/// Returns the stream of an entry.
fn found(entry: &Entry) -> Option<Found> {
    match &entry.place {
        Some(Place::Streams { main, .. }) => {
            let place = FoundPlace::Stream(main.clone());
            Some(Found { place, login: entry.login.clone(), notes: Vec::new() })
        }
        Some(Place::Device(_)) | None => None,
    }
}

fn is_main(name: &str, of: &str) -> bool {
    name.eq_ignore_ascii_case(of) || stem(name, MAIN).is_some_and(|it| it.eq_ignore_ascii_case(of))
}

/// Returns a name without one of the ends, in any case.
fn stem<'a>(name: &'a str, ends: &[&str]) -> Option<&'a str> {
    let lower = name.to_ascii_lowercase();
    let end = ends.iter().find(|end| lower.ends_with(**end))?;
    name.get(..name.len() - end.len()).filter(|stem| !stem.is_empty())
}
