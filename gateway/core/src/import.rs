//! The cameras in a configuration file of go2rtc, Frigate or MediaMTX.
//!
//! [`read`] is a pure function from the bytes of a file to a list of cameras. Nothing of a file is
//! executed, looked up or contacted: commands, variables of the environment and other files are
//! named and left out. Each camera says what cannot be taken over, and why.

mod frigate;
mod go2rtc;
mod kept;
mod mediamtx;
mod note;
mod source;
mod streams;
mod text;
mod yaml;

use std::fmt;

use thiserror::Error;

use crate::question::MAX_NAME_CHARS;
use crate::rtsp::{Address, Credentials};
use source::{Found, Place as FoundPlace};

pub use kept::{BrokenUpload, Imports};
pub use note::Note;

/// Maximum length of a file in bytes; the configuration of 100 cameras has about 50 KiB.
pub const MAX_BYTES: usize = 256 * 1024;

/// Maximum number of cameras that are taken from one file, as many as a gateway keeps.
pub const MAX_ENTRIES: usize = 256;

/// The program that a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// go2rtc: a section `streams`.
    Go2rtc,
    /// Frigate: a section `cameras`.
    Frigate,
    /// MediaMTX: a section `paths`.
    MediaMtx,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Go2rtc => "go2rtc",
            Self::Frigate => "Frigate",
            Self::MediaMtx => "MediaMTX",
        })
    }
}

/// The contents of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The program that the file is for.
    pub program: Program,
    /// The cameras, in the order of the file.
    pub entries: Vec<Entry>,
    /// Number of further cameras, which are left out because there are too many.
    pub left_out: usize,
}

/// A camera of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name in the file.
    pub name: String,
    /// The place of the camera; absent if it cannot be taken.
    pub place: Option<Place>,
    /// User and password.
    pub login: Login,
    /// True if the camera is to be added unless a person decides otherwise.
    pub wanted: bool,
    /// True if its stream is fetched only while somebody watches.
    pub on_demand: bool,
    /// Notes about what cannot be taken over, and why.
    pub notes: Vec<Note>,
}

/// The place of a camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Streams whose addresses are known.
    Streams {
        /// The main stream.
        main: Address,
        /// The sub stream.
        sub: Option<Address>,
        /// The address of the ONVIF service, as it is typed for a probe.
        onvif: Option<String>,
    },
    /// A device to be asked for its streams: its address, as it is typed for a probe.
    Device(String),
}

impl Place {
    /// Returns the address as it is typed for a probe. Passwords in it are masked.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::Streams { main, .. } => main.to_string(),
            Self::Device(address) => address.clone(),
        }
    }
}

/// The user and password of a camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// The file has none.
    Open,
    /// The file has both.
    Known(Credentials),
    /// The file names a variable; a person must type them.
    Missing,
}

/// Reasons for not reading a file. `Display` is the sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ImportError {
    /// The file is longer than [`MAX_BYTES`].
    #[error("the file has more than {} KiB: leave out what is not about cameras", MAX_BYTES / 1024)]
    TooLong,
    /// The file is no text.
    #[error("this file is no text: choose the configuration file itself (.yaml or .yml)")]
    Binary,
    /// The file is no YAML; the line of the error.
    #[error("line {0} cannot be understood: check its indentation, quotes and colons")]
    Syntax(usize),
    /// A line is indented with a tab; the line.
    #[error("line {0} begins with a tab, which YAML does not allow: use spaces")]
    Tab(usize),
    /// Lists and mappings are nested too deeply; the line.
    #[error("line {0} is nested too deeply: this is no configuration of cameras")]
    TooDeep(usize),
    /// The file has too many values.
    #[error("the file has too many values: leave out what is not about cameras")]
    TooMany,
    /// The file is for no program that is known.
    #[error(
        "this is no configuration of go2rtc, Frigate or MediaMTX: there is no section “streams”, \
         “cameras” or “paths” in it"
    )]
    Unknown,
    /// The file is for a program that is known, and has no cameras.
    #[error("there are no cameras in this file: choose the one that has them")]
    NoCameras,
}

/// Reads a file.
///
/// # Errors
/// With the reason if there is nothing to show.
pub fn read(bytes: &[u8]) -> Result<Import, ImportError> {
    if bytes.len() > MAX_BYTES {
        return Err(ImportError::TooLong);
    }
    let root = yaml::read(&text::decode(bytes)?)?;
    let has = |key: &str| root.get(key).is_some_and(|node| node.map().is_some());
    // Part of the configuration of another program.
    let section = root.get("go2rtc").filter(|section| section.get("streams").is_some());
    let (program, (entries, left_out)) = if has("cameras") {
        (Program::Frigate, frigate::read(&root))
    } else if has("streams") {
        (Program::Go2rtc, go2rtc::read(&root))
    } else if has("paths") {
        (Program::MediaMtx, mediamtx::read(&root))
    } else if let Some(section) = section {
        (Program::Go2rtc, go2rtc::read(section))
    } else {
        let is_empty = ["cameras", "streams", "paths"].iter().any(|key| root.get(key).is_some());
        return Err(if is_empty { ImportError::NoCameras } else { ImportError::Unknown });
    };
    if entries.is_empty() {
        return Err(ImportError::NoCameras);
    }
    Ok(Import { program, entries: with_duplicates(entries), left_out })
}

/// Marks the cameras that are at the place of an earlier one.
fn with_duplicates(mut entries: Vec<Entry>) -> Vec<Entry> {
    let mut rest = entries.as_mut_slice();
    while let Some((first, after)) = rest.split_first_mut() {
        for entry in after.iter_mut().filter(|entry| is_same(first, entry)) {
            let is_marked = entry.notes.iter().any(|note| matches!(note, Note::Duplicate(_)));
            if !is_marked {
                entry.notes.push(Note::Duplicate(first.name.clone()));
                entry.wanted = false;
            }
        }
        rest = after;
    }
    entries
}

fn is_same(a: &Entry, b: &Entry) -> bool {
    let main = |entry: &Entry| match &entry.place {
        Some(Place::Streams { main, .. }) => Some(main.url()),
        Some(Place::Device(address)) => Some(address.clone()),
        None => None,
    };
    main(a).is_some() && main(a) == main(b)
}

impl Entry {
    /// Creates the entry of what was found, with one stream.
    fn new(name: &str, found: Result<Found, Note>) -> Self {
        let name = shown_name(name);
        match found {
            Ok(Found { place, login, notes }) => {
                let place = Some(match place {
                    FoundPlace::Stream(main) => Place::Streams { main, sub: None, onvif: None },
                    FoundPlace::Device(address) => Place::Device(address),
                });
                Self { name, place, login, wanted: true, on_demand: false, notes }
            }
            Err(note) => {
                let (place, login, notes) = (None, Login::Open, vec![note]);
                Self { name, place, login, wanted: false, on_demand: false, notes }
            }
        }
    }

    /// Adds a second stream, if it is at the same machine and has the same password; otherwise
    /// returns false.
    fn add_sub(&mut self, found: &Found) -> bool {
        let Some(Place::Streams { main, sub: sub @ None, .. }) = &mut self.place else {
            return false;
        };
        let FoundPlace::Stream(address) = &found.place else { return false };
        let is_here = address.host() == main.host() && self.login == found.login;
        if is_here && address != main {
            *sub = Some(address.clone());
        }
        is_here
    }
}

/// Returns the name of a camera as it is shown. A name that is an address could have a password.
fn shown_name(name: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect();
    let name = name.trim();
    let is_name = !name.is_empty() && !name.contains("://") && !name.contains('@');
    if is_name { name.to_owned() } else { "Camera".to_owned() }
}

#[cfg(test)]
mod tests;
