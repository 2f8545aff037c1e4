//! Tracks that are set up only because the camera does not play without them. What arrives on them
//! is dropped.

use std::time::Instant;

use super::{Client, Phase};
use crate::rtsp::message::Message;
use crate::rtsp::transport::{self, Reply};

/// Maximum number of other tracks that are set up: sound, metadata and smaller pictures.
const MAX_OTHERS: usize = 7;

/// Statuses of PLAY that may mean that tracks are missing: bad request, not valid in this state,
/// only aggregate allowed, and errors of the camera.
const INCOMPLETE: &[u16] = &[400, 455, 460, 500, 503];

/// The other tracks of the description.
#[derive(Debug, Default)]
pub(super) struct OtherTracks {
    /// Addresses to try in SETUP, by track.
    urls: Vec<Vec<String>>,
    /// Number of tracks for which SETUP was sent.
    asked: usize,
    /// Ports of ours for the current track.
    pub(super) ports: (u16, u16),
    /// Channels that the camera may send on.
    channels: Vec<(u8, u8)>,
}

impl OtherTracks {
    /// Keeps the addresses of the tracks, which are needed only if the camera refuses PLAY.
    pub(super) fn new(urls: impl Iterator<Item = Vec<String>>) -> Self {
        Self { urls: urls.take(MAX_OTHERS).collect(), ..Self::default() }
    }

    /// Returns true if frames on this channel belong to one of the tracks.
    pub(super) fn has_channel(&self, channel: u8) -> bool {
        self.channels.iter().any(|(rtp, rtcp)| [*rtp, *rtcp].contains(&channel))
    }

    /// Returns the address of the current track; `variant` is that of the first track's address
    /// which the camera took.
    pub(super) fn url(&self, variant: usize) -> Option<String> {
        let urls = self.urls.get(self.asked.checked_sub(1)?)?;
        urls.get(variant).or(urls.last()).cloned()
    }
}

impl Client {
    /// Sets all other tracks up, once, after the camera refused to play without them. Returns false
    /// if that is no way out.
    pub(super) fn set_up_others(&mut self, now: Instant, status: u16) -> bool {
        let is_new = self.others.asked == 0 && !self.others.urls.is_empty();
        let is_reason = is_new && INCOMPLETE.contains(&status);
        if is_reason {
            self.set_up_next_other(now);
        }
        is_reason
    }

    /// Returns true if a track of this number is one of the others.
    pub(super) fn is_other(&self, track: u8) -> bool {
        usize::from(track) >= self.tracks.len()
    }

    /// Handles the reply to SETUP of another track. A refusal is no reason not to play.
    pub(super) fn handle_other(&mut self, now: Instant, track: u8, reply: Option<&Message>) {
        if let Some(message) = reply {
            let value = message.headers.get("Transport").unwrap_or_default();
            let channels = Reply::read(value, self.lower).interleaved;
            let channels = channels.unwrap_or_else(|| transport::channels(track));
            // The first track's own channels stay its own.
            if !self.tracks.iter().any(|track| track.channels.0 == channels.0) {
                self.decoder.add_channel(channels.0);
                self.decoder.add_channel(channels.1);
                self.others.channels.push(channels);
            }
        }
        self.set_up_next_other(now);
    }

    fn set_up_next_other(&mut self, now: Instant) {
        if self.others.asked == self.others.urls.len() {
            self.play(now);
            return;
        }
        self.others.asked += 1;
        let number = self.tracks.len() - 1 + self.others.asked;
        let number = u8::try_from(number).unwrap_or(u8::MAX);
        self.phase = Phase::Setup(number);
        self.set_up(now, number);
    }
}
