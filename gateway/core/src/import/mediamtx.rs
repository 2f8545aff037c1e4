//! Files of MediaMTX: the section `paths`, each with one source, and `pathDefaults`.

use super::note::Note;
use super::source::{Found, Variables};
use super::streams::Streams;
use super::yaml::Node;
use super::{Entry, MAX_ENTRIES};

/// The source of a path if the file has none.
const PUBLISHER: &str = "publisher";

/// The source that sends viewers to another path.
const REDIRECT: &str = "redirect";

/// The commands by which something is sent to a path.
const SENDERS: &[&str] = &["runOnInit", "runOnDemand"];

/// Settings that change nothing here, and that people should know about.
const IGNORED: &[&str] = &[
    "sourceFingerprint",
    "runOnInit",
    "runOnDemand",
    "runOnUnDemand",
    "runOnReady",
    "runOnNotReady",
    "runOnRead",
    "runOnUnread",
    "runOnRecordSegmentCreate",
    "runOnRecordSegmentComplete",
];

/// Returns the cameras of a file, and the number of those that are left out.
pub(super) fn read(root: &Node) -> (Vec<Entry>, usize) {
    let defaults = root.get("pathDefaults");
    let port = root.text_of("rtspAddress").and_then(|text| text.rsplit(':').next()?.parse().ok());
    let pairs: Vec<_> = root.get("paths").and_then(Node::map).into_iter().flatten().collect();
    let mut streams = Streams::new(port, Variables::default());
    for (name, node) in &pairs {
        let path = Path { node, defaults };
        let (source, line) = path.source();
        if !matches!(source, PUBLISHER | REDIRECT) && !is_pattern(name) {
            streams.add(name, vec![(source, line)]);
        }
    }
    let entry = |(name, node): &(&str, &Node)| Path { node, defaults }.entry(name, &streams);
    let entries = pairs.iter().take(MAX_ENTRIES).map(entry).collect();
    (entries, pairs.len().saturating_sub(MAX_ENTRIES))
}

/// A path, with the settings of all of them.
struct Path<'a> {
    node: &'a Node,
    defaults: Option<&'a Node>,
}

impl<'a> Path<'a> {
    fn get(&self, key: &str) -> Option<&'a Node> {
        self.node.get(key).or_else(|| self.defaults?.get(key))
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.get(key).and_then(Node::text)
    }

    fn source(&self) -> (&'a str, usize) {
        let source = self.get("source");
        let text = source.and_then(Node::text).unwrap_or(PUBLISHER);
        (text, source.unwrap_or(self.node).line)
    }

    fn entry(&self, name: &str, streams: &Streams<'_>) -> Entry {
        let mut entry = Entry::new(name, self.found(name, streams));
        let flag = |node: &Node| node.flag_of("sourceOnDemand");
        entry.on_demand = flag(self.node).or_else(|| flag(self.defaults?)).unwrap_or(false);
        let ignored = IGNORED.iter().filter(|key| self.text(key).is_some());
        let ignored: Vec<&str> = ignored.copied().collect();
        if entry.place.is_some() && !ignored.is_empty() {
            entry.notes.push(Note::Ignored(ignored.join(", ")));
        }
        entry
    }

    fn found(&self, name: &str, streams: &Streams<'_>) -> Result<Found, Note> {
        if is_pattern(name) {
            return Err(Note::Pattern);
        }
        match self.source() {
            (PUBLISHER, _) => {
                let sender = SENDERS.iter().find(|key| self.text(key).is_some());
                Err(sender.map_or(Note::Pushed, |key| Note::Command((*key).to_owned())))
            }
            (REDIRECT, line) => match self.text("sourceRedirect") {
                Some(to) if to.contains("://") => streams.follow((to, line)),
                Some(to) => streams.named(to.trim_start_matches('/')),
                None => Err(Note::Pushed),
            },
            source => streams.follow(source),
        }
    }
}

/// Returns true if a name stands for any number of paths.
fn is_pattern(name: &str) -> bool {
    name.starts_with('~') || matches!(name, "all" | "all_others")
}
