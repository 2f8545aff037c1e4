//! A track that is set up, and the packets that belong to it.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

use super::playing::MARKER;
use crate::media::camera_sdp::{AudioSection, Place, VideoSection};
use crate::media::{AudioDescription, CLOCK_RATE, Delivery, MediaKind, TrackDescription};
use crate::rtsp::report::Reception;
use crate::rtsp::transport;

/// Numbers of the tracks.
pub(super) const VIDEO: u8 = 0;
pub(super) const AUDIO: u8 = 1;

/// Number of packets in a row that make another payload type than the described one the track's: a
/// camera whose description is wrong is wrong in every packet.
const MIN_OTHER_TYPE: u32 = 5;

/// Number of packets with neighbouring numbers from an address that the camera did not name, before
/// any of its own, after which they are the camera's: one with two addresses answers from either.
/// Somebody else would have to know a port that we have just chosen, and be first.
const MIN_FROM_ELSEWHERE: u32 = 16;

/// The media of a track, as the description tells it.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Video(TrackDescription),
    Audio(AudioDescription),
}

impl Content {
    pub(super) fn kind(&self) -> MediaKind {
        match self {
            Self::Video(_) => MediaKind::Video,
            Self::Audio(_) => MediaKind::Audio,
        }
    }

    fn clock_rate(&self) -> u32 {
        match self {
            Self::Video(_) => CLOCK_RATE,
            Self::Audio(audio) => audio.format.as_ref().map_or(CLOCK_RATE, |it| it.clock_rate),
        }
    }
}

/// A track and the way in which its packets arrive.
#[derive(Debug)]
pub(super) struct TrackState {
    /// Addresses to try in SETUP, the current one first.
    pub(super) urls: VecDeque<String>,
    all_urls: VecDeque<String>,
    pub(super) content: Content,
    pub(super) payload_type: u8,
    /// Address and port of the description, which a multicast group may have.
    pub(super) group: (Option<IpAddr>, u16),
    /// Channels of RTP and RTCP if interleaved.
    pub(super) channels: (u8, u8),
    /// The camera's ports of RTP and RTCP if over UDP.
    pub(super) server_ports: Option<(u16, u16)>,
    pub(super) local_ports: Option<(u16, u16)>,
    /// Address from which the camera says that it sends.
    pub(super) source: Option<IpAddr>,
    pub(super) is_multicast: bool,
    pub(super) reception: Reception,
    /// Packets of the described payload type arrive on its channels.
    pub(super) uses_channels: bool,
    /// A packet of the described payload type has arrived.
    has_described: bool,
    /// Another payload type, and the number of its packets in a row.
    other_type: (u8, u32),
    /// An address that the camera did not name, the number of its latest packet, and how many have
    /// followed each other.
    elsewhere: Option<(IpAddr, u16, u32)>,
}

impl TrackState {
    /// Creates the track of the picture.
    pub(super) fn video(urls: Vec<String>, section: VideoSection) -> Self {
        let content = Content::Video(TrackDescription {
            codec: section.codec,
            parameter_sets: section.parameter_sets,
            // Until the camera takes a transport.
            delivery: Delivery::Udp,
        });
        Self::new(VIDEO, urls, &section.place, content)
    }

    /// Creates the track of the sound.
    pub(super) fn audio(urls: Vec<String>, section: AudioSection) -> Self {
        Self::new(AUDIO, urls, &section.place, Content::Audio(section.description))
    }

    fn new(number: u8, urls: Vec<String>, place: &Place, content: Content) -> Self {
        let urls = VecDeque::from(urls);
        Self {
            all_urls: urls.clone(),
            urls,
            payload_type: place.payload_type,
            group: (place.address, place.port),
            reception: Reception::new(content.clock_rate()),
            content,
            channels: transport::channels(number),
            server_ports: None,
            local_ports: None,
            source: None,
            is_multicast: false,
            uses_channels: false,
            has_described: false,
            other_type: (0, 0),
            elsewhere: None,
        }
    }

    /// Begins with the first address again, for another transport.
    pub(super) fn reset_urls(&mut self) {
        self.urls.clone_from(&self.all_urls);
    }

    /// Returns the number of addresses that the camera has refused in SETUP.
    pub(super) fn variant(&self) -> usize {
        self.all_urls.len().saturating_sub(self.urls.len())
    }

    /// Returns true if datagrams from this address are the track's: the camera's own, and the one
    /// that it names, as cameras with two addresses do.
    pub(super) fn is_from(&self, peer: Option<IpAddr>, from: IpAddr) -> bool {
        let from = from.to_canonical();
        let peer = peer.map(|peer| peer.to_canonical());
        let is_local = peer.is_some_and(|peer| peer.is_loopback());
        let is_usable = |ip: &IpAddr| {
            let is_broadcast = *ip == IpAddr::V4(Ipv4Addr::BROADCAST);
            let is_nowhere = ip.is_unspecified() || ip.is_multicast() || is_broadcast;
            !is_nowhere && (is_local || !ip.is_loopback())
        };
        let source = self.source.map(|source| source.to_canonical()).filter(is_usable);
        peer == Some(from) || source == Some(from)
    }

    /// Notes a packet from an address that the camera did not name. It becomes the camera's if
    /// nothing else sends, and it sends the described stream.
    pub(super) fn note_elsewhere(&mut self, from: IpAddr, bytes: &[u8]) {
        let &[_, second, high, low, ..] = bytes else { return };
        let is_described = second & !MARKER == self.payload_type;
        if self.has_described || self.is_multicast || !is_described {
            return;
        }
        let (from, number) = (from.to_canonical(), u16::from_be_bytes([high, low]));
        let follows = |(address, before, _): &(IpAddr, u16, u32)| {
            *address == from && before.wrapping_add(1) == number
        };
        let count = self.elsewhere.filter(follows).map_or(1, |(.., count)| count + 1);
        self.elsewhere = Some((from, number, count));
        if count >= MIN_FROM_ELSEWHERE {
            self.source = Some(from);
        }
    }

    /// Returns true if packets of this payload type are the track's.
    pub(super) fn accepts(&mut self, payload_type: u8) -> bool {
        if payload_type == self.payload_type {
            self.has_described = true;
            return true;
        }
        if self.has_described {
            return false;
        }
        let (other, count) = self.other_type;
        let count = if other == payload_type { count.saturating_add(1) } else { 1 };
        self.other_type = (payload_type, count);
        count >= MIN_OTHER_TYPE
    }
}
