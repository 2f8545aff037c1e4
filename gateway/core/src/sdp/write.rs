//! Writer for session descriptions, with the order and spelling of RFC 9429 §5.2.1 and §5.3.1.

use std::fmt;
use std::fmt::Write as _;

use super::description::{Direction, Extension, RemoteCodec, Transport};
use super::{
    EXTENSION_MID, EXTENSION_PLAYOUT_DELAY, EXTENSION_TRANSPORT_CC, MediaKind, OfferedCodec,
};
use crate::ice::limits::TA;

/// The protocol of every WebRTC media section (RFC 8834 §4.2).
const PROTOCOL: &str = "UDP/TLS/RTP/SAVPF";

/// The kinds of feedback that are offered.
const FEEDBACK: [&str; 5] = ["nack", "nack pli", "ccm fir", "transport-cc", "goog-remb"];

/// Settings of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferConfig<'a> {
    /// Session id of the `o=` line: random, below 2⁶³, and the same for every description of a
    /// session (RFC 9429 §5.2.1).
    pub session_id: u64,
    /// Version of the `o=` line: one more with each offer, including ICE restarts.
    pub version: u64,
    /// Our credentials, fingerprint and DTLS role.
    pub transport: &'a Transport,
    /// The sections, all in one bundle; the first one carries the candidates.
    pub sections: &'a [OfferedSection<'a>],
    /// Candidates in the form `candidate:…`; usually empty, because they are trickled.
    pub candidates: &'a [String],
}

/// A section of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferedSection<'a> {
    /// Name of the section, different from those of the others.
    pub mid: &'a str,
    /// The media that it is to carry.
    pub media: LocalMedia<'a>,
}

/// One track that we send or receive, and the codecs in which that is possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalMedia<'a> {
    /// Kind of the media.
    pub kind: MediaKind,
    /// Our codecs, the best first.
    pub codecs: &'a [OfferedCodec],
    /// The track that is sent; `None`: we only receive.
    pub track: Option<&'a TrackIds>,
    /// The direction, seen from us.
    pub direction: Direction,
}

/// Identifiers of the track that is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackIds {
    /// SSRC of the media stream.
    pub ssrc: u32,
    /// SSRC of the retransmission stream.
    pub rtx_ssrc: u32,
    /// Canonical name, random and the same for all tracks of a session (RFC 7022 §4.2).
    pub cname: String,
    /// Id of the media stream: tracks with the same one belong together (RFC 8830 §2).
    pub stream: String,
}

/// Writes an offer. An ICE restart is the same offer with new credentials and the next version.
#[must_use]
pub fn offer(config: &OfferConfig<'_>) -> String {
    let bundle: Vec<_> = config.sections.iter().map(|section| section.mid).collect();
    let mut writer = Writer::new(config.session_id, config.version, &[bundle]);
    let extensions = offered_extensions();
    for (index, section) in config.sections.iter().enumerate() {
        let is_video = section.media.kind == MediaKind::Video;
        writer.rtp(&RtpSection {
            kind: section.media.kind,
            protocol: PROTOCOL,
            mid: Some(section.mid),
            transport: config.transport,
            codecs: section.media.codecs,
            feedback: if is_video { &FEEDBACK } else { &[] },
            extensions: if is_video { &extensions } else { &extensions[..1] },
            track: section.media.track,
            candidates: if index == 0 { config.candidates } else { &[] },
            end_of_candidates: false,
            direction: section.media.direction,
            is_mux_only: true,
        });
    }
    writer.text
}

/// Returns the header extensions of an offer: mid, which sound has as well, playout delay and
/// transport-wide number.
fn offered_extensions() -> Vec<Extension> {
    let uris = [EXTENSION_MID, EXTENSION_PLAYOUT_DELAY, EXTENSION_TRANSPORT_CC];
    (1..).zip(uris).map(|(id, uri)| Extension { id, uri: uri.to_owned() }).collect()
}

/// Contents of a section that carries a track.
pub(super) struct RtpSection<'a> {
    pub(super) kind: MediaKind,
    pub(super) protocol: &'a str,
    pub(super) mid: Option<&'a str>,
    pub(super) transport: &'a Transport,
    pub(super) codecs: &'a [OfferedCodec],
    pub(super) feedback: &'a [&'a str],
    pub(super) extensions: &'a [Extension],
    pub(super) track: Option<&'a TrackIds>,
    pub(super) candidates: &'a [String],
    pub(super) end_of_candidates: bool,
    pub(super) direction: Direction,
    /// True in offers, where RTCP on a port of its own is ruled out (RFC 8858 §4.2).
    pub(super) is_mux_only: bool,
}

/// Returns the attributes of the whole session about ICE, which a fragment repeats when ICE
/// restarts.
pub fn ice_attributes() -> [String; 2] {
    ["ice-options:trickle ice2".to_owned(), format!("ice-pacing:{}", TA.as_millis())]
}

/// Builds a description line by line.
pub(super) struct Writer {
    pub(super) text: String,
}

impl Writer {
    /// Creates a writer and writes the session level.
    pub(super) fn new(session_id: u64, version: u64, bundles: &[Vec<&str>]) -> Self {
        let mut writer = Self { text: String::with_capacity(2048) };
        writer.line(format_args!("v=0"));
        writer.line(format_args!("o=- {session_id} {version} IN IP4 0.0.0.0"));
        writer.line(format_args!("s=-"));
        writer.line(format_args!("t=0 0"));
        for bundle in bundles {
            writer.line(format_args!("a=group:BUNDLE {}", bundle.join(" ")));
        }
        for attribute in ice_attributes() {
            writer.line(format_args!("a={attribute}"));
        }
        writer.line(format_args!("a=msid-semantic: WMS *"));
        writer
    }

    pub(super) fn line(&mut self, line: fmt::Arguments<'_>) {
        self.text.write_fmt(line).expect("a String takes everything");
        self.text.push_str("\r\n");
    }

    /// Writes the lines that every section has, including a rejected one.
    pub(super) fn media(
        &mut self,
        media: &str,
        port: u16,
        protocol: &str,
        formats: &str,
        mid: Option<&str>,
        direction: Option<Direction>,
    ) {
        self.line(format_args!("m={media} {port} {protocol} {formats}"));
        self.line(format_args!("c=IN IP4 0.0.0.0"));
        if let Some(mid) = mid {
            self.line(format_args!("a=mid:{mid}"));
        }
        if let Some(direction) = direction {
            self.line(format_args!("a={}", direction.as_str()));
        }
    }

    pub(super) fn rtp(&mut self, section: &RtpSection<'_>) {
        let types = section.codecs.iter().flat_map(|codec| {
            [Some(codec.payload_type), codec.rtx_payload_type].into_iter().flatten()
        });
        let types: Vec<_> = types.map(|payload_type| payload_type.to_string()).collect();
        let types = types.join(" ");
        let media = section.kind.as_str();
        let direction = Some(section.direction);
        self.media(media, 9, section.protocol, &types, section.mid, direction);
        self.transport(section.transport);
        self.line(format_args!("a=rtcp-mux"));
        if section.is_mux_only {
            self.line(format_args!("a=rtcp-mux-only"));
        }
        self.line(format_args!("a=rtcp-rsize"));
        for extension in section.extensions {
            self.line(format_args!("a=extmap:{} {}", extension.id, extension.uri));
        }
        for codec in section.codecs {
            self.codec(codec, section.feedback);
        }
        if let Some(track) = section.track {
            let rtx = section.codecs.iter().any(|codec| codec.rtx_payload_type.is_some());
            // The id of the track within the media stream, which browsers only compare.
            self.track(track, section.kind.as_str(), rtx);
        }
        self.candidates(section.candidates, section.end_of_candidates);
    }

    pub(super) fn candidates(&mut self, candidates: &[String], end: bool) {
        for candidate in candidates {
            self.line(format_args!("a={candidate}"));
        }
        if end {
            self.line(format_args!("a=end-of-candidates"));
        }
    }

    pub(super) fn transport(&mut self, transport: &Transport) {
        self.line(format_args!("a=ice-ufrag:{}", transport.ufrag));
        self.line(format_args!("a=ice-pwd:{}", transport.pwd));
        self.line(format_args!("a=fingerprint:sha-256 {}", transport.fingerprint));
        self.line(format_args!("a=setup:{}", transport.setup.as_str()));
    }

    fn codec(&mut self, codec: &OfferedCodec, feedback: &[&str]) {
        let (payload_type, name) = (codec.payload_type, codec.codec.encoding_name());
        let clock_rate = codec.codec.clock_rate();
        let channels = codec.codec.channels().map(|count| format!("/{count}")).unwrap_or_default();
        self.line(format_args!("a=rtpmap:{payload_type} {name}/{clock_rate}{channels}"));
        for feedback in feedback {
            self.line(format_args!("a=rtcp-fb:{payload_type} {feedback}"));
        }
        if !codec.fmtp.is_empty() {
            self.line(format_args!("a=fmtp:{payload_type} {}", codec.fmtp));
        }
        if let Some(rtx) = codec.rtx_payload_type {
            self.line(format_args!("a=rtpmap:{rtx} rtx/{clock_rate}"));
            self.line(format_args!("a=fmtp:{rtx} apt={payload_type}"));
        }
    }

    /// Writes a codec as the peer has offered it.
    pub(super) fn remote_codec(&mut self, codec: &RemoteCodec) {
        let RemoteCodec { payload_type, name, clock_rate, channels, fmtp, .. } = codec;
        let channels = channels.map(|channels| format!("/{channels}")).unwrap_or_default();
        self.line(format_args!("a=rtpmap:{payload_type} {name}/{clock_rate}{channels}"));
        if !fmtp.is_empty() {
            self.line(format_args!("a=fmtp:{payload_type} {fmtp}"));
        }
    }

    fn track(&mut self, track: &TrackIds, id: &str, rtx: bool) {
        let TrackIds { ssrc, rtx_ssrc, cname, stream } = track;
        self.line(format_args!("a=msid:{stream} {id}"));
        if rtx {
            self.line(format_args!("a=ssrc-group:FID {ssrc} {rtx_ssrc}"));
        }
        let count = if rtx { 2 } else { 1 };
        for ssrc in [ssrc, rtx_ssrc].into_iter().take(count) {
            self.line(format_args!("a=ssrc:{ssrc} cname:{cname}"));
            // The form before RFC 8830, which some players still need to find the track.
            self.line(format_args!("a=ssrc:{ssrc} msid:{stream} {id}"));
        }
    }
}
