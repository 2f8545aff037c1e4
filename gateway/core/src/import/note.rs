//! The notes about a camera of a file: why it cannot be taken, or what changes with it.

use std::collections::BTreeMap;
use std::fmt;

/// Maximum length of a value in a note, in characters.
const MAX_VALUE_CHARS: usize = 64;

/// A note about a camera of a file. `Display` is the sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The source has another protocol than RTSP; its name.
    Protocol(String),
    /// The source is a stream over HTTP: MJPEG, HLS, FLV or MPEG-TS.
    Http,
    /// The source is the service of a vendor in the Internet; its name.
    Cloud(String),
    /// The source is the output of a command, which is never executed; the name of its kind.
    Command(String),
    /// The source is a device or file of the machine of the other program; the name of its kind.
    Attached(String),
    /// The source is RTSP inside of HTTP or a WebSocket.
    Tunnel,
    /// The source is a stream without video.
    NoVideo,
    /// The stream is sent by the camera or another program; nothing is fetched.
    Pushed,
    /// The name stands for any number of streams.
    Pattern,
    /// The source is another stream of the other program, which the file does not have; its name.
    Reference(String),
    /// The address has a variable whose value is not in the file; its name.
    Variable(String),
    /// The address cannot be understood; the line of the file.
    Address(usize),
    /// The user or password is a variable whose value is not in the file; its name.
    Password(String),
    /// The camera is switched off in the file.
    Disabled,
    /// The camera has the address of another one of the file; the name of that one.
    Duplicate(String),
    /// The file has two cameras of this name; the line of the second one.
    Twice(usize),
    /// The stream belongs to no camera of the file.
    Spare,
    /// The second stream is at another machine, or needs another password.
    OtherSub,
    /// The address for ONVIF is at another machine, or needs another password.
    OtherOnvif,
    /// The other program converts or turns the picture.
    Converted,
    /// Settings of the file are left out; their names.
    Ignored(String),
    /// A camera of the gateway has this address already; its name.
    Known(String),
}

impl Note {
    /// Returns the name of the note, which does not change.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Protocol(_) => "protocol",
            Self::Http => "http",
            Self::Cloud(_) => "cloud",
            Self::Command(_) => "command",
            Self::Attached(_) => "attached",
            Self::Tunnel => "tunnel",
            Self::NoVideo => "no-video",
            Self::Pushed => "pushed",
            Self::Pattern => "pattern",
            Self::Reference(_) => "reference",
            Self::Variable(_) => "variable",
            Self::Address(_) => "address",
            Self::Password(_) => "password",
            Self::Disabled => "disabled",
            Self::Duplicate(_) => "duplicate",
            Self::Twice(_) => "twice",
            Self::Spare => "spare",
            Self::OtherSub => "other-sub",
            Self::OtherOnvif => "other-onvif",
            Self::Converted => "converted",
            Self::Ignored(_) => "ignored",
            Self::Known(_) => "known",
        }
    }

    /// Returns true if the camera cannot be taken because of it.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Protocol(_)
            | Self::Http
            | Self::Cloud(_)
            | Self::Command(_)
            | Self::Attached(_)
            | Self::Tunnel
            | Self::NoVideo
            | Self::Pushed
            | Self::Pattern
            | Self::Reference(_)
            | Self::Variable(_)
            | Self::Address(_) => true,
            Self::Password(_)
            | Self::Disabled
            | Self::Duplicate(_)
            | Self::Twice(_)
            | Self::Spare
            | Self::OtherSub
            | Self::OtherOnvif
            | Self::Converted
            | Self::Ignored(_)
            | Self::Known(_) => false,
        }
    }

    /// Returns the sentence of a note that has no value.
    fn sentence(&self) -> &'static str {
        match self {
            Self::Http => {
                "it is fetched over HTTP, and only RTSP is taken: switch RTSP or ONVIF on in the \
                 camera, and add it by its address"
            }
            Self::Tunnel => {
                "it is RTSP inside of HTTP or a WebSocket: write it into the gateway's \
                 configuration with #transport=http, or add the camera by its RTSP address"
            }
            Self::NoVideo => "only its sound is used there: nothing is to be added",
            Self::Pushed => {
                "nothing is fetched for it, its picture is sent there: add the camera by its \
                 address"
            }
            Self::Pattern => {
                "its name stands for any number of streams: add the cameras behind it by their \
                 addresses"
            }
            Self::Disabled => "it is switched off in this file: tick it to add it",
            Self::Spare => "no camera of this file uses it: tick it to add it as a camera",
            Self::OtherSub => {
                "its second stream is at another machine or has another password, and is left \
                 out: add it as a camera of its own if you need it"
            }
            Self::OtherOnvif => {
                "its ONVIF address is at another machine or has another password, and is left \
                 out: without it the camera is shown, but not moved"
            }
            Self::Converted => {
                "its picture is converted or turned there, and is shown as the camera sends it \
                 here: set up what you need in the camera"
            }
            Self::Protocol(_)
            | Self::Cloud(_)
            | Self::Command(_)
            | Self::Attached(_)
            | Self::Reference(_)
            | Self::Variable(_)
            | Self::Address(_)
            | Self::Password(_)
            | Self::Duplicate(_)
            | Self::Twice(_)
            | Self::Ignored(_)
            | Self::Known(_) => "",
        }
    }

    /// Returns the values in the sentence, by name.
    #[must_use]
    pub fn values(&self) -> BTreeMap<String, String> {
        let value = match self {
            Self::Protocol(name)
            | Self::Cloud(name)
            | Self::Command(name)
            | Self::Attached(name)
            | Self::Reference(name)
            | Self::Variable(name)
            | Self::Password(name)
            | Self::Duplicate(name)
            | Self::Ignored(name)
            | Self::Known(name) => Some(("name", name.clone())),
            Self::Address(line) | Self::Twice(line) => Some(("line", line.to_string())),
            Self::Http
            | Self::Tunnel
            | Self::NoVideo
            | Self::Pushed
            | Self::Pattern
            | Self::Disabled
            | Self::Spare
            | Self::OtherSub
            | Self::OtherOnvif
            | Self::Converted => None,
        };
        value.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(name) => write!(
                f,
                "it is a “{name}” source, and only RTSP is taken: switch RTSP or ONVIF on in the \
                 camera, and add it by its address"
            ),
            Self::Cloud(name) => write!(
                f,
                "it comes through the service of its vendor (“{name}”): take it only if the camera \
                 has RTSP in your own network, by its address"
            ),
            Self::Command(name) => write!(
                f,
                "it is the output of a command (“{name}”), and no command of a file is executed: \
                 add the camera by its address"
            ),
            Self::Attached(name) => write!(
                f,
                "it is a device or file of that machine (“{name}”): serve it with RTSP, and add \
                 it by that address"
            ),
            Self::Reference(name) => write!(
                f,
                "it refers to the stream “{name}”, which is not in this file: add the camera by \
                 its address"
            ),
            Self::Variable(name) => write!(
                f,
                "its address has the variable {name}, whose value is not in this file: write the \
                 value into the file, or add the camera by its address"
            ),
            Self::Address(line) => write!(
                f,
                "the address in line {line} cannot be understood: check it, and write # / ? @ in \
                 a password as %23 %2F %3F %40"
            ),
            Self::Password(name) => write!(
                f,
                "its password is the variable {name}, whose value is not in this file: type the \
                 password"
            ),
            Self::Duplicate(name) => {
                write!(f, "it has the same address as “{name}”: tick it to add it twice")
            }
            Self::Twice(line) => {
                write!(f, "the name is used again in line {line}: check which one is right")
            }
            Self::Ignored(name) => write!(f, "not taken over: {name}"),
            Self::Known(name) => {
                write!(f, "the camera “{name}” has this address already: tick it to add it twice")
            }
            Self::Http
            | Self::Tunnel
            | Self::NoVideo
            | Self::Pushed
            | Self::Pattern
            | Self::Disabled
            | Self::Spare
            | Self::OtherSub
            | Self::OtherOnvif
            | Self::Converted => f.write_str(self.sentence()),
        }
    }
}

/// Returns a text of the file so that it can be shown: short, on one line, and no address, which
/// could have a password.
pub(super) fn shown(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).take(MAX_VALUE_CHARS).collect();
    if text.contains("://") || text.contains('@') { "…".to_owned() } else { text }
}
