//! The cameras of a device, and the addresses of their streams.

use super::places::Places;
use crate::onvif::ServiceAddress;
use crate::onvif::answers::{self, Choice, Encoding, Profile};
use crate::onvif::calls::{Call, Media};
use crate::onvif::finding::Finding;
use crate::onvif::xml::Element;
use crate::rtsp;

/// A stream of a camera, as it is set in the camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Address without user and password. Its host is the one that was asked, unless the stream is
    /// at another machine of the gateway's networks.
    pub address: rtsp::Address,
    /// Codec of the stream.
    pub encoding: Encoding,
    /// Width in pixels; 0 if the camera does not say.
    pub width: u32,
    /// Height in pixels; 0 if the camera does not say.
    pub height: u32,
    /// Frames per second, as they are set.
    pub frames_per_second: Option<u32>,
    /// Frames from one key frame to the next, as they are set.
    pub gov_length: Option<u32>,
}

/// A camera: one video source of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Camera {
    /// Number of the camera in the device, from one.
    pub number: usize,
    /// Name of its main profile.
    pub name: Option<String>,
    /// The stream with the most pixels.
    pub main: Stream,
    /// The small stream, if there is one.
    pub sub: Option<Stream>,
    /// The address of a still picture.
    pub snapshot: Option<ServiceAddress>,
    /// The address of the device service that has answered.
    pub service: Option<ServiceAddress>,
}

impl Camera {
    /// Returns true if one of the streams is H.264.
    pub(super) fn has_h264(&self) -> bool {
        let sub = self.sub.iter();
        [&self.main].into_iter().chain(sub).any(|stream| stream.encoding == Encoding::H264)
    }
}

/// The addresses of a camera that are known so far.
#[derive(Debug, Default)]
struct Found {
    main: Option<rtsp::Address>,
    sub: Option<rtsp::Address>,
    snapshot: Option<ServiceAddress>,
}

/// The cameras whose addresses are asked for, one after another.
#[derive(Debug, Default)]
pub(super) struct Streams {
    media: Option<Media>,
    choices: Vec<Choice>,
    /// Index of the camera that is being asked about.
    at: usize,
    found: Found,
    /// Hosts that were told already.
    told: Vec<Finding>,
}

impl Streams {
    pub(super) fn new(media: Media, choices: Vec<Choice>) -> Self {
        Self { media: Some(media), choices, ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.choices.is_empty()
    }

    /// Takes the address in an answer; returns what is to be told about it.
    pub(super) fn handle_uri(
        &mut self,
        call: &Call,
        root: &Element,
        places: &Places,
    ) -> Option<Finding> {
        let uri = answers::uri(root)?;
        let choice = self.choices.get(self.at)?;
        let Call::StreamUri(_, token) = call else {
            self.found.snapshot = places.snapshot(uri);
            return None;
        };
        let (address, finding) = places.stream(uri)?;
        let is_main = *token == choice.main.token;
        let slot = if is_main { &mut self.found.main } else { &mut self.found.sub };
        *slot = Some(address);
        let finding = finding.filter(|finding| !self.told.contains(finding))?;
        self.told.push(finding.clone());
        Some(finding)
    }

    /// Returns the cameras that are complete after a call, and the next call.
    pub(super) fn next(&mut self, after: &Call) -> (Option<Camera>, Option<Call>) {
        let Some(media) = self.media else { return (None, None) };
        let uri_of = |profile: &Profile| Call::StreamUri(media, profile.token.clone());
        let Some(choice) = self.choices.get(self.at) else { return (None, None) };
        let is_main = |token: &String| *token == choice.main.token;
        let next = match after {
            Call::StreamUri(_, token) if is_main(token) && choice.sub.is_some() => {
                choice.sub.as_ref().map(uri_of)
            }
            Call::StreamUri(..) => Some(Call::SnapshotUri(media, choice.main.token.clone())),
            Call::SnapshotUri(..) => None,
            Call::SystemTime
            | Call::Services
            | Call::Capabilities
            | Call::Information
            | Call::Interfaces
            | Call::Profiles(_) => Some(uri_of(&choice.main)),
        };
        if next.is_some() {
            return (None, next);
        }
        let camera = self.complete();
        self.at += 1;
        (camera, self.choices.get(self.at).map(|choice| uri_of(&choice.main)))
    }

    /// Returns the camera that was asked about, if it has an address for any stream.
    fn complete(&mut self) -> Option<Camera> {
        let found = std::mem::take(&mut self.found);
        let choice = self.choices.get(self.at)?;
        let stream = |profile: &Profile, address: Option<rtsp::Address>| {
            Some(Stream {
                address: address?,
                encoding: profile.encoding,
                width: profile.width,
                height: profile.height,
                frames_per_second: profile.frames_per_second,
                gov_length: profile.gov_length,
            })
        };
        let main = stream(&choice.main, found.main);
        let sub = choice.sub.as_ref().and_then(|profile| stream(profile, found.sub));
        let (main, sub) = match (main, sub) {
            (Some(main), sub) => (main, sub),
            (None, Some(sub)) => (sub, None),
            (None, None) => return None,
        };
        let (name, snapshot) = (choice.main.name.clone(), found.snapshot);
        Some(Camera { number: self.at + 1, name, main, sub, snapshot, service: None })
    }
}
