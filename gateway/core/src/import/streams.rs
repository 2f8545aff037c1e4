//! The streams of a file by name, and what is at the end of their references to each other.

use std::collections::BTreeMap;

use super::note::{Note, shown};
use super::source;
use super::source::{Found, Place, Source, Variables};
use super::yaml::Node;

/// Maximum number of sources of one stream that are looked at.
const MAX_SOURCES: usize = 16;

/// Maximum number of streams that are looked at for one.
const MAX_STEPS: usize = 16;

/// The port of the RTSP server of all three programs, if the file has no other one.
pub(super) const RTSP_PORT: u16 = 8554;

/// A text of the file, with its line.
pub(super) type Line<'a> = (&'a str, usize);

/// The streams of a file by name.
#[derive(Debug)]
pub(super) struct Streams<'a> {
    sources: BTreeMap<&'a str, Vec<Line<'a>>>,
    /// The port of the program's own RTSP server.
    port: u16,
    variables: Variables<'a>,
}

impl<'a> Streams<'a> {
    pub(super) fn new(port: Option<u16>, variables: Variables<'a>) -> Self {
        Self { sources: BTreeMap::new(), port: port.unwrap_or(RTSP_PORT), variables }
    }

    /// Adds a stream; one of the same name stays.
    pub(super) fn add(&mut self, name: &'a str, sources: Vec<Line<'a>>) {
        self.sources.entry(name).or_insert(sources);
    }

    /// Adds the streams of a `streams:` section of go2rtc.
    pub(super) fn add_section(&mut self, section: Option<&'a Node>) {
        for (name, node) in section.and_then(Node::map).into_iter().flatten() {
            self.add(name, source_lines(node));
        }
    }

    pub(super) fn variables(&self) -> &Variables<'a> {
        &self.variables
    }

    /// Returns what is at the end of one source.
    pub(super) fn follow(&self, source: Line<'_>) -> Result<Found, Note> {
        self.read(source, &mut Vec::new())
    }

    /// Returns what is at the end of a stream of the file.
    pub(super) fn named(&self, name: &str) -> Result<Found, Note> {
        match self.sources.get(name) {
            Some(sources) => self.first(sources),
            None => Err(Note::Reference(shown(name))),
        }
    }

    /// Returns the first usable source of several, or the note about the first one.
    pub(super) fn first(&self, sources: &[Line<'_>]) -> Result<Found, Note> {
        self.first_of(sources, &mut Vec::new())
    }

    /// Returns the stream that a source refers to, if it refers to one.
    pub(super) fn reference(&self, (text, line): Line<'_>) -> Option<String> {
        match self.own(source::read(text, line, &self.variables)) {
            Source::Stream(name, _) => Some(name),
            Source::Found(_) | Source::Refused(_) => None,
        }
    }

    fn first_of(&self, sources: &[Line<'_>], steps: &mut Vec<String>) -> Result<Found, Note> {
        let mut problem = None;
        for source in sources.iter().take(MAX_SOURCES) {
            match self.read(*source, steps) {
                Ok(found) => return Ok(found),
                // An audio track beside it is no reason.
                Err(Note::NoVideo) => {}
                Err(note) => problem = problem.or(Some(note)),
            }
        }
        let is_silent = problem.is_none() && !sources.is_empty();
        Err(problem.unwrap_or(if is_silent { Note::NoVideo } else { Note::Pushed }))
    }

    fn read(&self, (text, line): Line<'_>, steps: &mut Vec<String>) -> Result<Found, Note> {
        match self.own(source::read(text, line, &self.variables)) {
            Source::Found(found) => Ok(found),
            Source::Refused(note) => Err(note),
            Source::Stream(name, notes) => {
                let unknown = Note::Reference(shown(&name));
                let Some(sources) = self.sources.get(name.as_str()) else { return Err(unknown) };
                // Streams refer to themselves for another codec of their sound.
                if steps.contains(&name) || steps.len() >= MAX_STEPS {
                    return Err(unknown);
                }
                steps.push(name);
                let found = self.first_of(sources, steps)?;
                let is_new = |note: &Note| !found.notes.contains(note);
                let notes: Vec<Note> = notes.into_iter().filter(is_new).collect();
                Ok(Found { notes: [found.notes, notes].concat(), ..found })
            }
        }
    }

    /// Finds out that an address is that of the program's own server.
    fn own(&self, source: Source) -> Source {
        let Source::Found(Found { place: Place::Stream(address), notes, .. }) = &source else {
            return source;
        };
        let is_here = matches!(address.host(), "127.0.0.1" | "localhost" | "::1" | "0.0.0.0");
        if !is_here || address.port() != self.port {
            return source;
        }
        let url = address.url();
        let path = url.splitn(4, '/').nth(3).unwrap_or_default();
        let name = path.split('?').next().unwrap_or_default().trim_end_matches('/');
        // A password for the server itself is none of the camera's.
        let is_note = |note: &&Note| !matches!(note, Note::Password(_));
        Source::Stream(name.to_owned(), notes.iter().filter(is_note).cloned().collect())
    }
}

/// Returns the sources of a stream: a text, a list of texts, or a mapping with the key `url`.
pub(super) fn source_lines(node: &Node) -> Vec<Line<'_>> {
    let node = node.get("url").unwrap_or(node);
    let sources = node.list().into_iter().take(MAX_SOURCES);
    let sources = sources.map(|source| source.get("url").unwrap_or(source));
    sources.filter_map(|source| Some((source.text()?, source.line))).collect()
}
