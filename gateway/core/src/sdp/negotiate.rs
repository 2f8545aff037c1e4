//! The result of an offer and an answer (RFC 3264, RFC 9429).

use std::time::Duration;

use super::description::{Description, Direction, RemoteCodec, Section, Transport};
use super::matching::{matches, packetization_mode};
use super::write::{LocalMedia, OfferedSection};
use super::{
    EXTENSION_MID, EXTENSION_PLAYOUT_DELAY, EXTENSION_TRANSPORT_CC, OfferedCodec, SdpError,
};
use crate::dtls_srtp::DtlsRole;
use crate::media::{Codec, MediaKind, TrackCodec};

/// The result of a negotiation: transports, and the sections that use them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// The transports, at least one: the first is that of the picture and of what is bundled with
    /// it.
    pub transports: Vec<NegotiatedTransport>,
    /// The sections that carry a track, in the order of the descriptions; at least one.
    pub sections: Vec<NegotiatedSection>,
}

/// A transport of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedTransport {
    /// Mid that candidates are trickled with: of the section whose transport the bundle uses.
    pub mid: Option<String>,
    /// The peer's credentials, fingerprint and DTLS role.
    pub remote: Transport,
    /// Our role in the DTLS handshake.
    pub role: DtlsRole,
    /// True if the peer is ICE-lite: it only answers checks, so we must be controlling.
    pub ice_lite: bool,
    /// True if the peer follows RFC 8445 (`ice2`): it nominates one pair, not several.
    pub ice2: bool,
    /// The interval between checks that the peer proposes (RFC 8839 §5.5).
    pub ice_pacing: Option<Duration>,
    /// True if candidates may follow the description.
    pub trickle: bool,
    /// Candidates in the peer's description, in the form `candidate:…`.
    pub remote_candidates: Vec<String>,
    /// True if no more candidates follow.
    pub end_of_candidates: bool,
}

/// A section that carries a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedSection {
    /// Index of our track: in the sections of the offer, or in the media of the answer.
    pub media: usize,
    /// Index of its transport among those of the negotiation.
    pub transport: usize,
    /// Kind of the media.
    pub kind: MediaKind,
    /// Mid of the section; a player may omit it.
    pub mid: Option<String>,
    /// Codec of the media stream.
    pub codec: TrackCodec,
    /// Payload type of the media stream.
    pub payload_type: u8,
    /// Payload type of the retransmission stream (RFC 4588); `None`: the peer supports none.
    pub rtx_payload_type: Option<u8>,
    /// Packetization mode of H.264 (RFC 6184 §6.2): with 0, each packet holds one whole NAL unit.
    /// Other codecs have no modes, which is 1 here.
    pub packetization_mode: u8,
    /// Id of the mid header extension.
    pub mid_extension: Option<u8>,
    /// Id of the playout delay header extension.
    pub playout_delay_extension: Option<u8>,
    /// Id of the header extension for the transport-wide number, if the peer reports on it.
    pub transport_cc_extension: Option<u8>,
    /// True if the peer sends its own estimate of what the path carries (REMB).
    pub remb: bool,
    /// True if the peer sends NACKs.
    pub nack: bool,
    /// True if the peer sends picture loss indications.
    pub pli: bool,
    /// True if the peer sends full intra requests.
    pub fir: bool,
    /// SSRC of the peer's media stream, if announced.
    pub remote_ssrc: Option<u32>,
    /// SSRC of the peer's retransmission stream, if announced.
    pub remote_rtx_ssrc: Option<u32>,
}

/// Applies the answer to our offer of `sections`.
///
/// # Errors
/// If the viewer refused every section, or if the answer has no usable transport.
pub fn apply_answer(
    sections: &[OfferedSection<'_>],
    answer: &Description,
) -> Result<Negotiated, SdpError> {
    if answer.sections.len() != sections.len() {
        return Err(SdpError::Sections);
    }
    let mut negotiated = Vec::new();
    let mut used = Vec::new();
    let mut problem = SdpError::NoVideo;
    for (index, (ours, theirs)) in sections.iter().zip(&answer.sections).enumerate() {
        match answered_section(index, &ours.media, theirs) {
            Ok(section) => {
                negotiated.push(section);
                used.push(theirs);
            }
            Err(error) if ours.media.kind == MediaKind::Video => problem = error,
            // A picture without sound is better than none.
            Err(_) => {}
        }
    }
    // Sound alone is not what was asked for, if there was to be a picture.
    let lacks_picture = sections.iter().any(|ours| ours.media.kind == MediaKind::Video)
        && negotiated.iter().all(|section| section.kind != MediaKind::Video);
    if lacks_picture {
        return Err(problem);
    }
    let carrier = *used.first().ok_or(problem)?;
    let remote = transport(carrier)?;
    let role = remote.setup.local_role().ok_or(SdpError::Setup)?;
    let transport = negotiated_transport(answer, &used, carrier, remote, role);
    Ok(Negotiated { transports: vec![transport], sections: negotiated })
}

fn answered_section(
    index: usize,
    ours: &LocalMedia<'_>,
    theirs: &Section,
) -> Result<NegotiatedSection, SdpError> {
    let codec = ours.codecs.first().ok_or(SdpError::NoVideo)?.codec;
    let refused = || SdpError::NoCommonCodec {
        sends: codec.to_string(),
        player: "the player cannot play it".to_owned(),
    };
    if theirs.is_rejected() {
        return Err(refused());
    }
    if theirs.direction == Direction::Inactive {
        return Err(SdpError::Direction);
    }
    if !theirs.rtcp_mux {
        return Err(SdpError::NoRtcpMux);
    }
    // The answerer lists its preferred codec first (RFC 3264 §6.1).
    let chosen = theirs.codecs.iter().find_map(|theirs| {
        let ours = ours.codecs.iter().find(|ours| matches(ours, theirs));
        ours.map(|ours| (ours, theirs))
    });
    let (codec, chosen) = chosen.ok_or_else(refused)?;
    Ok(negotiated_section(index, ours.kind, theirs, codec, chosen))
}

/// Describes a section in which the peer takes our codec as `chosen`.
pub(super) fn negotiated_section(
    media: usize,
    kind: MediaKind,
    section: &Section,
    ours: &OfferedCodec,
    chosen: &RemoteCodec,
) -> NegotiatedSection {
    NegotiatedSection {
        media,
        transport: 0,
        kind,
        mid: section.mid.clone(),
        codec: ours.codec,
        payload_type: chosen.payload_type,
        rtx_payload_type: rtx_of(section, chosen.payload_type),
        packetization_mode: match ours.codec {
            TrackCodec::Video(Codec::H264) => packetization_mode(&chosen.fmtp),
            TrackCodec::Video(Codec::H265 | Codec::Vp8 | Codec::Vp9 | Codec::Av1)
            | TrackCodec::Audio(_) => 1,
        },
        // One-byte headers carry 16 bytes (RFC 8285 §4.2).
        mid_extension: section
            .extension(EXTENSION_MID)
            .filter(|_| section.mid().is_some_and(|mid| mid.len() <= 16)),
        playout_delay_extension: section
            .extension(EXTENSION_PLAYOUT_DELAY)
            .filter(|_| kind == MediaKind::Video),
        transport_cc_extension: section
            .extension(EXTENSION_TRANSPORT_CC)
            .filter(|_| kind == MediaKind::Video && chosen.has_feedback("transport-cc")),
        remb: chosen.has_feedback("goog-remb"),
        nack: chosen.has_feedback("nack"),
        pli: chosen.has_feedback("nack pli"),
        fir: chosen.has_feedback("ccm fir"),
        remote_ssrc: section.ssrc,
        remote_rtx_ssrc: section.rtx_ssrc,
    }
}

/// Returns the payload type that retransmits this one (RFC 4588 §8.1).
fn rtx_of(section: &Section, payload_type: u8) -> Option<u8> {
    let apt = payload_type.to_string();
    let mut codecs = section.codecs.iter();
    let rtx = codecs.find(|codec| {
        codec.name.eq_ignore_ascii_case("rtx") && codec.parameter("apt") == Some(&apt)
    });
    rtx.map(|codec| codec.payload_type)
}

/// Returns the transport that the peer describes in the section that carries it.
pub(super) fn transport(carrier: &Section) -> Result<Transport, SdpError> {
    let missing = SdpError::Missing;
    Ok(Transport {
        ufrag: carrier.ufrag.clone().ok_or(missing("a=ice-ufrag"))?,
        pwd: carrier.pwd.clone().ok_or(missing("a=ice-pwd"))?,
        fingerprint: carrier.fingerprint.ok_or(missing("a=fingerprint line with SHA-256"))?,
        // An offer without the attribute means active (RFC 4145 §4.1).
        setup: carrier.setup.unwrap_or(super::Setup::Active),
    })
}

/// Describes the transport of these sections, all of whose candidates count.
pub(super) fn negotiated_transport(
    description: &Description,
    sections: &[&Section],
    carrier: &Section,
    remote: Transport,
    role: DtlsRole,
) -> NegotiatedTransport {
    let mut remote_candidates = Vec::new();
    for candidate in sections.iter().flat_map(|section| &section.candidates) {
        if !remote_candidates.contains(candidate) {
            remote_candidates.push(candidate.clone());
        }
    }
    NegotiatedTransport {
        mid: carrier.mid.clone(),
        remote,
        role,
        ice_lite: description.ice_lite,
        ice2: description.ice2,
        ice_pacing: description.ice_pacing,
        trickle: description.trickle,
        remote_candidates,
        end_of_candidates: sections.iter().any(|section| section.end_of_candidates),
    }
}
